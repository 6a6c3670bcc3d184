"""What the first page says beside the numbers of a run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.build_book import glance_table

CHAPTER = SimpleNamespace(
    name="one",
    results={"started": "2026-01-01T00:00:00+00:00", "numbers": {
        "auroc": {"value": 0.87123, "text": "0.871", "interval_text": "0.8 to 0.9", "headline": "AUROC",
                  "beside": "guessing 0.5"},
        "untold": {"value": 3, "text": "3"},
    }},
)  # fmt: skip


def row(repository: Path) -> str:
    return glance_table([CHAPTER], "demo", repository).splitlines()[-1]


def test_a_number_stands_beside_its_range_over_training_seeds(tmp_path: Path) -> None:
    assert row(tmp_path) == "| [AUROC](one) | **0.871** | 0.8 to 0.9 |  | guessing 0.5 |"
    results = tmp_path / "benchmarks" / "results" / "demo_seeds.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"figures": [{"name": "auroc", "values": [0.91, 0.8712, 0.8]}]}))
    assert row(tmp_path) == "| [AUROC](one) | **0.871** | 0.8 to 0.9 | 0.800 to 0.910 | guessing 0.5 |"


def test_seeds_of_another_study_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "benchmarks" / "results" / "demo_seeds.json"
    results.parent.mkdir(parents=True)
    results.write_text(json.dumps({"figures": [{"name": "auroc", "values": [0.91, 0.875, 0.8]}]}))
    assert row(tmp_path).endswith("| 0.8 to 0.9 |  | guessing 0.5 |")
    monkeypatch.setitem(CHAPTER.results["numbers"], "other", {"value": 0.5, "text": "0.5"})
    by_chance = [{"name": "auroc", "values": [0.91, 0.8712]}, {"name": "other", "values": [0.5, 0.6]}]
    results.write_text(json.dumps({"figures": by_chance}))
    assert "0.8 to 0.9 |  | guessing" in row(tmp_path), "no seed gave both"
