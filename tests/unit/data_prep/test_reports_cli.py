"""The command line: both forms of a line, errors by line number, the same answer from one process or several."""

import json
import subprocess
import sys
from functools import partial

import pytest

from data_prep.reports.__main__ import main
from data_prep.reports.lexicon import load_lexicon


def run(tmp_path, lines, *arguments, what="findings"):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    status = main([what, str(source), str(out), *arguments])
    return status, [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_both_forms_of_a_line(tmp_path):
    status, (sections, whole, number) = run(
        tmp_path,
        [
            {"id": "a", "findings": "Small left effusion.", "impression": None},
            "",
            {"id": "b", "text": "INDICATION: effusion\nIMPRESSION: No effusion."},
            {"id": 3, "findings": "", "impression": "Cardiomegaly."},
        ],
    )
    assert status == 0
    assert sections == {"id": "a", "findings": ["Effusion"], "pairs": [["Effusion", "left"]], "locs": []}
    assert (whole["findings"], number["id"], number["findings"]) == (["Normal"], 3, ["Cardiomegaly"])


def test_a_report_that_says_nothing_is_not_called_normal(tmp_path):
    silent = [
        {"id": 1, "text": ""},
        {"id": 2, "findings": None, "impression": None},
        {"id": 3, "text": "HISTORY: cough"},
    ]
    _, answers = run(tmp_path, silent)
    assert [answer["findings"] for answer in answers] == [[], [], []]


def test_the_file_to_be_read_is_not_written_over(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "text": "Edema."}\n')
    with pytest.raises(SystemExit):
        main(["findings", str(source), str(source)])
    assert "name another one to write" in capsys.readouterr().err and "Edema" in source.read_text()


def test_the_command_itself_reads_in_several_processes(tmp_path):
    """As a module that is run, whose functions worker processes would look for in vain."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"id": {i}, "text": "Edema."}}\n' for i in range(600)))
    command = [sys.executable, "-m", "data_prep.reports", "findings", source, out, "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == list(range(600))


def test_sections_given_apart_are_read_whole(tmp_path):
    _, (answer,) = run(tmp_path, [{"id": 1, "findings": "Comparison: none. Small effusion.", "impression": ""}])
    assert answer["findings"] == ["Effusion"]


def test_triplets_carry_spans_in_the_text(tmp_path):
    text = "Small left effusion."
    _, (answer,) = run(tmp_path, [{"id": 1, "text": text}], what="triplets")
    assert answer["triplets"] == [["left_pleural", "effusion", 1, 11, 19]]
    _, (answer,) = run(tmp_path, [{"id": 1, "findings": "Ok.", "impression": text}], what="triplets")
    assert answer["triplets"] == [["left_pleural", "effusion", 1, 16, 24]]


@pytest.mark.parametrize(("policy", "found"), [("drop", ["Normal"]), ("present", ["Edema"]), ("absent", ["Normal"])])
def test_uncertain_policy(tmp_path, policy, found):
    _, (answer,) = run(tmp_path, [{"id": 1, "text": "Possible edema."}], "--uncertain", policy)
    assert answer["findings"] == found


@pytest.mark.parametrize(("policy", "state"), [("drop", -1), ("present", 1), ("absent", 0)])
def test_uncertain_policy_gives_triplets_their_state(tmp_path, policy, state):
    _, (answer,) = run(tmp_path, [{"id": 1, "text": "Possible edema."}], "--uncertain", policy, what="triplets")
    assert {triplet[2] for triplet in answer["triplets"]} == {state}


def test_malformed_lines_are_named_and_the_others_kept(tmp_path, caplog):
    good = {"id": 1, "text": "Edema."}
    bad = ["{", "[1]", {"text": "no id"}, {"id": 2}, {"id": 3, "text": 4}, "[" * 100_000]
    status, answers = run(tmp_path, [good, *bad, good])
    assert status == 1
    assert len(answers) == 2
    for number in range(2, 8):
        assert f"line {number}:" in caplog.text


def test_a_missing_file_is_an_error_and_leaves_nothing(tmp_path):
    assert main(["findings", str(tmp_path / "none.jsonl"), str(tmp_path / "out.jsonl")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_broken_lexicon_is_told_in_a_line(tmp_path, monkeypatch, caplog):
    broken = tmp_path / "lexicon.toml"
    broken.write_text("[findings.twin\n")
    monkeypatch.setattr("data_prep.reports.reader.load_lexicon", partial(load_lexicon, broken))
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "Edema."}\n')
    assert main(["triplets", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")]) == 2
    assert f"{broken}: not TOML" in caplog.text and not (tmp_path / "out.jsonl").exists()


def test_help_shows_the_form_of_a_line(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert '{"id", "text": whole report}' in capsys.readouterr().out


def test_processes_change_nothing(tmp_path):
    lines = [{"id": number, "text": f"Small {'left' if number % 2 else 'right'} effusion."} for number in range(600)]
    assert run(tmp_path, lines, "--processes", "2") == run(tmp_path, lines, "--processes", "1")
