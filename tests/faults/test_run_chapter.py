"""A chapter that did not reach its end is never counted as done, whatever papermill's exit says.

Kills at random moments, of kernel and driver, are in campaigns/kill_chapters.py.
"""

import dataclasses
import json
import re
from pathlib import Path

import nbformat
import pytest
from tiny_book import write_chapter

from pipeline.chapter import Chapter
from pipeline.parameters import ParametersError
from pipeline.run_chapter import ChapterFailed, ChapterRun, main, run_chapter

KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
FAULTS = {
    "exception": ("1 / 0", "ZeroDivisionError"),
    "killed kernel": (KILL, "DeadKernelError"),
    "cell timeout": ("import time\ntime.sleep(60)", "CellTimeoutError"),
    "sys.exit(0)": ("import sys\nsys.exit(0)", "no end marker"),
}


@pytest.fixture
def run(tmp_path: Path) -> ChapterRun:
    return ChapterRun("one", "demo", tmp_path / "book", tmp_path / "params", tmp_path / "runs")


def test_finished_chapter(run: ChapterRun) -> None:
    write_chapter(run.book, "one", 'chapter.number("auroc", 0.87123, "{:.2f}", interval=(0.8, 0.9), headline="AUROC")')
    assert run_chapter(run) == run.folder / "one.ipynb"
    results = json.loads((run.folder / "results.json").read_text())
    assert results["finished"] is True and results["seed"] == 0
    assert results["numbers"]["auroc"] == {
        "value": 0.87123,
        "text": "0.87",
        "interval": [0.8, 0.9],
        "interval_text": "0.80 to 0.90",
        "headline": "AUROC",
    }
    assert {path.name for path in run.folder.iterdir()} == {"one.ipynb", "results.json", "tables"}


def test_what_is_edited_while_a_chapter_runs_is_newer_than_its_results(run: ChapterRun) -> None:
    write_chapter(run.book, "one", "from pathlib import Path\nPath('one.ipynb').touch()")
    assert run_chapter(run).stat().st_mtime < run.source.stat().st_mtime


def test_a_chapter_that_is_not_there_leaves_nothing_behind(run: ChapterRun, caplog: pytest.LogCaptureFixture) -> None:
    write_chapter(run.book, "one", "pass")
    folders = [f"--{name}={getattr(run, name)}" for name in ("book", "params", "runs")]
    assert main(["oen", *folders]) == 1
    assert "oen.ipynb: no such chapter; there are one" in caplog.text and not run.runs.exists()


def test_the_executed_copy_is_not_run_where_it_lies(run: ChapterRun, monkeypatch: pytest.MonkeyPatch) -> None:
    write_chapter(run.book, "one", "pass")
    monkeypatch.chdir(run_chapter(run).parent)
    with pytest.raises(FileNotFoundError, match="executed copy of a chapter, kept to be read: run the one in book/"):
        Chapter("one", {})
    assert Path("results.json").is_file()


@pytest.mark.parametrize(
    ("profile", "file", "said"),
    [
        ("nosuch", None, "nosuch: no such profile; there are demo, mine"),
        ("mine", "oen.yaml", r"oen\.yaml: belongs to no chapter; did you mean one\.yaml\?"),
        ("mine", "one.yml", r"one\.yml: belongs to no chapter; did you mean one\.yaml\?"),
    ],
)
def test_a_profile_that_would_not_be_read_stops_before_the_first_chapter(run, caplog, profile, file, said) -> None:
    write_chapter(run.book, "one", "pass")
    (run.params / "mine").mkdir(parents=True)
    if file:
        (run.params / "mine" / file).write_text("seed: 1\n")
    folders = [f"--{name}={getattr(run, name)}" for name in ("book", "params", "runs")]
    assert main(["one", "--profile", profile, *folders]) == 1
    assert re.search(said, caplog.text) and not run.runs.exists()


def test_mistakes_in_the_files_of_later_chapters_stop_before_the_first_chapter_all_at_once(run, caplog) -> None:
    for name in ("one", "two", "three"):
        write_chapter(run.book, name, "pass")
    (run.params / "mine").mkdir(parents=True)
    for name, text in {"one": "steps: 4", "two": "sclae: 2.0", "three": "steps: many", "four": "a: 1"}.items():
        (run.params / "mine" / f"{name}.yaml").write_text(text)
    folders = [f"--{name}={getattr(run, name)}" for name in ("book", "params", "runs")]
    assert main(["one", "--profile", "mine", *folders]) == 1
    assert "two.yaml: the chapter has no parameter 'sclae'; did you mean 'scale'?" in caplog.text
    assert "three.yaml: parameter 'steps' must be int, found 'many'" in caplog.text
    assert "four.yaml: belongs to no chapter" in caplog.text and "one.yaml" not in caplog.text
    assert not run.runs.exists()


def test_data_that_are_not_there_stop_before_the_first_chapter(run, caplog) -> None:
    write_chapter(run.book, "one", "pass")
    folders = [f"--{name}={getattr(run, name)}" for name in ("book", "params", "runs")]
    assert main(["one", "--data", str(run.book / "nosuch"), *folders]) == 1
    assert re.search("DATA=.*nosuch: no such folder", caplog.text) and not run.runs.exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_failing_chapter_is_not_done(run: ChapterRun, fault: str) -> None:
    source, reason = FAULTS[fault]
    if fault == "cell timeout":
        run = dataclasses.replace(run, cell_timeout_s=2)
    write_chapter(run.book, "one", "print('never')", first=f"# the failing cell\n{source}")
    with pytest.raises(ChapterFailed, match=f"chapter one failed at cell 2 .*: # the failing cell\n.*{reason}"):
        run_chapter(run)
    assert not (run.folder / "results.json").exists() and not (run.folder / "one.ipynb").exists()

    copy = nbformat.read(run.folder / "one.failed.ipynb", as_version=4)
    cells = {cell.source: cell for cell in copy.cells}
    failing = next(cell for first, cell in cells.items() if first.startswith("# the failing cell"))
    assert failing.metadata.papermill.status == "failed"
    assert any(output.output_type == "error" for output in failing.outputs)
    for never_run in ("print('never')", "chapter.finish()"):
        assert cells[never_run].metadata.papermill.status == "pending"
        assert "not-run" in cells[never_run].metadata.tags and not cells[never_run].outputs


def test_results_of_an_earlier_run_do_not_count(run: ChapterRun) -> None:
    """The end marker is printed, but results.json is an old one."""
    old = "import json\npath = chapter.folder / 'results.json'\nold = dict(finished=True, run_id='old')"
    path = write_chapter(run.book, "one", old)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\npath.write_text(json.dumps(old));"
    nbformat.write(notebook, path)
    with pytest.raises(ChapterFailed, match="not of this run"):
        run_chapter(run)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("sclae: 2.0", r"demo/one\.yaml: .*no parameter 'sclae'; did you mean 'scale'"),
        ("steps: 2.5", r"'steps' must be int, found 2\.5"),
        ("steps: true", r"'steps' must be int, found True"),
        ("scale: 1e-4", r"'scale' must be float, found '1e-4' \(str\); YAML reads 1e-4 as text"),
        ("names: a", r"'names' must be list\[str\], found 'a'"),
        ("data_dir: ${DATA}/x", r"'data_dir' .*no data folder was given: add DATA=folder"),
        ("- steps", "expected `name: value` lines, found a list"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_params_file_that_does_not_fit(run: ChapterRun, yaml: str, message: str) -> None:
    write_chapter(run.book, "one")
    params = run.params / "demo" / "one.yaml"
    params.parent.mkdir(parents=True)
    params.write_text(yaml)
    with pytest.raises(ParametersError, match=message):
        run_chapter(run)


def test_exit_code_and_message(run: ChapterRun, caplog: pytest.LogCaptureFixture) -> None:
    folders = ["--book", str(run.book), "--params", str(run.params), "--runs", str(run.runs)]
    write_chapter(run.book, "one", parameters="run_dir = 'untyped'")
    assert main(["one", *folders]) == 1
    assert "may hold only `name: type = literal` lines" in caplog.text
    assert main(["absent", *folders]) == 1
