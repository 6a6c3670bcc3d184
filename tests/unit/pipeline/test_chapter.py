"""What a chapter leaves behind, run by hand (under run_chapter: tests/faults/test_run_chapter.py)."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_book import write_chapter

from pipeline import run_chapter
from pipeline.chapter import Chapter, ChapterNotFinished


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Chapter]:
    """Starts a chapter of some parameters, as its notebook does; its run folder is `tmp_path`."""

    def start(name: str, **parameters: object) -> Chapter:
        parameters = {"run_dir": str(tmp_path), **parameters}
        lines = [f"{key}: {type(value).__name__} = {value!r}" for key, value in parameters.items()]
        monkeypatch.chdir(write_chapter(tmp_path / "book", name, parameters="\n".join(lines)).parent)
        return Chapter(name, {**parameters, "no_parameter": 1})

    return start


def test_finish_writes_the_record(
    start: Callable[..., Chapter], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chapter = start("phantom", seed=3, scale=0.5)
    chapter.number("count", np.int64(7))
    chapter.number("undefined", float("nan"), "{:.2f}")
    chapter.table("sizes", pd.DataFrame({"name": ["a", "b"], "share": [0.25, np.nan]}))
    assert not (tmp_path / "phantom" / "results.json").exists()
    chapter.finish()

    results = json.loads((tmp_path / "phantom" / "results.json").read_text())
    assert results["chapter"] == "phantom" and results["finished"] is True
    assert results["seed"] == 3 and results["parameters"] == {"run_dir": str(tmp_path), "seed": 3, "scale": 0.5}
    assert results["numbers"]["count"] == {"value": 7, "text": "7"}
    assert results["numbers"]["undefined"] == {"value": None, "text": "nan"}
    assert len(results["environment"]["lock_sha256"]) == 64
    assert (tmp_path / "phantom" / results["tables"]["sizes"]).read_text() == "name,share\na,0.25\nb,\n"
    rows = json.loads((tmp_path / "phantom" / "tables" / "sizes.json").read_text())
    assert rows == [{"name": "a", "share": 0.25}, {"name": "b", "share": None}]
    assert f"Chapter phantom finished (run {results['run_id']})" in capsys.readouterr().out


def test_table_is_shown_without_a_default_index(start: Callable[..., Chapter], tmp_path: Path) -> None:
    html = start("one").table("t", pd.DataFrame({"share": [0.25, np.nan]}), "{:.1f}").to_html()
    assert 'class="dataframe"' in html and "0.2" in html and "–" in html and "row0" in html
    assert "row_heading" not in html


def test_numbers_stand_right_and_an_index_has_its_name_in_the_header(start: Callable[..., Chapter]) -> None:
    frame = pd.DataFrame({"images": [7, 5390], "kind": ["AP", "PA"], "share": [0.25, 0.5]})
    html = start("one").table("t", frame.set_index(pd.Index(["rsna", "nih"], name="corpus"))).to_html()
    assert ">5,390</td>" in html and html.count("<tr>") == 3 and ">corpus</th>" in html
    aligned = html[: html.index("</style>")]
    assert "text-align: right" in aligned and ".col0" in aligned and ".col1" not in aligned and ".col2" in aligned


def test_a_column_that_is_the_same_in_every_row_can_be_said_in_the_caption(
    start: Callable[..., Chapter], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"task": ["nih", "nih"], "seed": [0, 1], "share": [0.25, 0.5]})
    html = start("one").table("t", frame, caption="Shares", once=["task", "seed"]).to_html()
    assert "<caption>Shares; task: nih</caption>" in html and ">nih</td>" not in html and ">seed</th>" in html
    assert pd.read_csv(tmp_path / "one" / "tables" / "t.csv").columns.tolist() == ["task", "seed", "share"]


def test_input_needs_a_finished_chapter(start: Callable[..., Chapter], tmp_path: Path) -> None:
    later = start("corpus")
    with pytest.raises(ChapterNotFinished, match="run the chapter phantom first"):
        later.input("phantom")
    earlier = start("phantom")
    earlier.finish()
    assert later.input("phantom") == tmp_path / "phantom"
    later.finish()
    assert json.loads((tmp_path / "corpus" / "results.json").read_text())["inputs"] == {"phantom": earlier.run_id}


def test_starting_again_takes_the_old_results_away(start: Callable[..., Chapter], tmp_path: Path) -> None:
    start("phantom").finish()
    (tmp_path / "phantom" / "phantom.ipynb").touch()
    start("phantom")
    assert not (tmp_path / "phantom" / "results.json").exists()
    assert not (tmp_path / "phantom" / "phantom.ipynb").exists()


def test_names_no_folder_or_host_of_the_machine(start: Callable[..., Chapter], tmp_path: Path) -> None:
    chapter = start("phantom")
    chapter.finish()
    record = json.dumps(json.loads((chapter.folder / "results.json").read_text())["environment"])
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd())):
        assert private not in record


def test_a_number_without_an_interval_says_so(tmp_path, monkeypatch) -> None:
    glued = {}
    monkeypatch.setattr("pipeline.chapter._glue", glued.__setitem__)
    chapter = Chapter.__new__(Chapter)
    chapter._numbers = {}
    chapter.number("auroc", 0.91234, "{:.3f}", interval=(float("nan"), float("nan")), headline="AUROC")
    chapter.number("dice", 0.5, "{:.2f}", interval=(0.4, 0.6))
    assert glued == {
        "auroc": "0.912", "auroc_interval": "no interval", "dice": "0.50", "dice_interval": "0.40 to 0.60",
    }  # fmt: skip


def test_an_interrupted_chapter_ends_with_a_line(monkeypatch, caplog) -> None:
    def interrupted(run: run_chapter.ChapterRun) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_chapter, "check_profile", lambda *_: None)
    monkeypatch.setattr(run_chapter, "run_chapter", interrupted)
    with pytest.raises(SystemExit) as end:
        run_chapter.main(["zero_shot"])
    assert end.value.code == 130 and "the same command goes on" in caplog.text
