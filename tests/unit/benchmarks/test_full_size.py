import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def gathered(benchmark) -> Callable[[Path], dict[str, Any]]:
    return benchmark("full_size").gathered


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run without its last chapter leaves."""
    for hour, name in enumerate(("phantom", "corpus", "pretraining", "zero_shot")):
        add(tmp_path, name, hour)
    add(tmp_path, "pretraining", 2, images_per_s={"value": 4000.0, "text": "4,000"})
    (tmp_path / "pretraining" / "history.csv").write_text("step,epoch,split,total\n1,1.0,train,2.5\n")
    return tmp_path


def add(run: Path, name: str, hour: int, **numbers: dict) -> None:
    numbers[name] = {"value": 1.0, "text": "1.0", "headline": f"of {name}"}
    content = dict(numbers=numbers, duration_s=60.0, started=f"2026-01-01T0{hour}:00", parameters={"seed": 0})
    (run / name).mkdir(exist_ok=True)
    (run / name / "results.json").write_text(json.dumps(content | {"environment": {"of": name}}))


def test_gathers_what_has_finished(gathered, run: Path) -> None:
    found = gathered(run)
    assert list(found["figures"]) == ["phantom", "corpus", "pretraining", "zero_shot"]
    assert found["images_per_s"] == 4000.0 and found["environment"] == {"of": "pretraining"}
    assert found["history"] == {"columns": ["step", "epoch", "split", "total"], "data": [[1, 1.0, "train", 2.5]]}
    add(run, "grounding", 4)
    assert "grounding" in gathered(run)["figures"]


def test_refuses_what_is_missing_or_older_than_what_it_stands_on(gathered, run: Path) -> None:
    add(run, "corpus", 5)
    with pytest.raises(ValueError, match="corpus was run again since"):
        gathered(run)
    (run / "corpus" / "results.json").unlink()
    with pytest.raises(FileNotFoundError, match="corpus has not finished"):
        gathered(run)
