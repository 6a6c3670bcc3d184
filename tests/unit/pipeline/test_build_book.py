"""What the first page says beside the numbers of a run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.build_book import _revisions, glance_table

CHAPTER = SimpleNamespace(
    name="one",
    results={"started": "2026-01-01T00:00:00+00:00", "parameters": {"epochs": 6, "seed": 3}, "numbers": {
        "auroc": {"value": 0.87123, "text": "0.871", "interval_text": "0.8 to 0.9", "headline": "AUROC",
                  "beside": "guessing 0.5"},
        "untold": {"value": 3, "text": "3"},
    }},
)  # fmt: skip


def row(repository: Path) -> str:
    return glance_table([CHAPTER], "demo", repository).splitlines()[-1]


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """The file of results for several seeds."""
    file = tmp_path / "benchmarks" / "results" / "demo_seeds.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({
        "seeds": [0, 1, 2], "asked": {"one": {"epochs": 6}},
        "figures": [{"name": "auroc", "values": [0.91, 0.8712, 0.8]}],
    }))  # fmt: skip
    return file


def test_a_number_stands_beside_its_range_over_training_seeds(tmp_path: Path, seeds: Path) -> None:
    assert row(tmp_path) == "| [AUROC](one) | **0.871** | 0.8 to 0.9 | 0.800 to 0.910 | guessing 0.5 |"
    assert "| Over training seeds 0, 1, 2 |" in glance_table([CHAPTER], "demo", tmp_path)
    seeds.unlink()
    assert row(tmp_path) == "| [AUROC](one) | **0.871** | 0.8 to 0.9 |  | guessing 0.5 |"


@pytest.mark.parametrize("asked", [{"one": {"epochs": 5}}, {"one": {}}, {"one": {"epochs": 6}, "other": {}}])
def test_seeds_of_another_study_are_not_shown(tmp_path: Path, seeds: Path, asked: dict) -> None:
    seeds.write_text(json.dumps({**json.loads(seeds.read_text()), "asked": asked}))
    assert "0.8 to 0.9 |  | guessing" in row(tmp_path)


def test_chapters_of_several_revisions_are_told_apart() -> None:
    one, other = ({"git_revision": letter * 40, "git_dirty": letter == "b"} for letter in "ab")
    at = {"x": one, "y": one, "z": other}
    ran = [SimpleNamespace(name=name, results={"environment": at[name]}) for name in at]
    assert _revisions(ran[:2]) == "`aaaaaaaaaaaa`"
    assert _revisions(ran) == "several: `aaaaaaaaaaaa` (x, y); `bbbbbbbbbbbb` with local changes (z)"
