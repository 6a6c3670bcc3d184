"""Which chapters of a seed are run again."""

import json
import sys
from pathlib import Path

import pytest


def results(runs: Path, name: str, chapter: str, run_id: str, inputs: dict, **parameters: object) -> None:
    folder = runs / name / chapter
    folder.mkdir(parents=True, exist_ok=True)
    content = {"run_id": run_id, "inputs": inputs, "parameters": {"run_dir": name, **parameters}}
    (folder / "results.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("epochs", "corpus", "current"), [(2, "c1", True), (3, "c1", False), (2, "c2", False)])
def test_a_chapter_counts_for_the_same_parameters_and_corpora(benchmark, tmp_path, epochs, corpus, current) -> None:
    for name, seed in (("demo", 0), ("demo-seed1", 1)):
        results(tmp_path, name, "corpus", "c1", {})
        results(tmp_path, name, "pretraining", f"p{seed}", {"corpus": corpus}, epochs=2, seed=seed)
    results(tmp_path, "demo", "pretraining", "p0", {"corpus": "c1"}, epochs=epochs, seed=0)
    assert benchmark("seeds").is_of(tmp_path, "demo", "demo-seed1", "pretraining") is current


def test_what_stops_it_is_a_line(benchmark, monkeypatch, tmp_path, capsys, caplog) -> None:
    seeds = benchmark("seeds")
    monkeypatch.setattr(sys, "argv", ["seeds.py", "--profile", "nosuch", "--runs", str(tmp_path)])
    with pytest.raises(SystemExit):
        seeds.main()
    assert "nosuch/pretraining/results.json: the chapter pretraining has not finished" in capsys.readouterr().err

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "run_seed", interrupted)
    with pytest.raises(SystemExit) as end:
        seeds.main()
    assert end.value.code == 130 and "the same command goes on" in caplog.text
