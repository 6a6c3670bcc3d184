import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def estimate(benchmark) -> ModuleType:
    return benchmark("full_run_estimate")


def test_hours_by_hand(estimate) -> None:
    run = estimate.FullRun(
        images_per_s=100, images=360_000, epochs=2, validation_share=0.5, validation_speed=5, scaling_efficiency=0.5
    )
    assert run.hours(1) == pytest.approx(2.2)  # one hour an epoch, and a tenth for validation
    assert run.hours(8) == pytest.approx(2.2 / 8 / 0.5)


def test_a_step_is_counted(estimate) -> None:
    """ResNet-50 to stage 3 alone takes 3.24 GMAC forward (4.09 less stage 4 and the head), thrice that to learn."""
    assert 3 * 2 * 3.2 < estimate.operations_per_image() / 1e9 < 2 * 3 * 2 * 3.2


def test_what_was_measured_replaces_what_is_estimated(estimate) -> None:
    rows = estimate.estimate({"ours": 5.0}, {}, 28e9, price=2.0, card="H100")
    assert [row["speed"] for row in rows] == ["measured"] + 4 * ["estimated"]
    assert rows[0]["cost"] is None and rows[1]["images_per_s_each"] == pytest.approx(0.05 * 989.4e12 / 28e9)
    rows = estimate.estimate({"ours": 5.0}, {"ours, bf16": 1000.0}, 28e9, price=2.0, card="H200")
    assert [row["machine"] for row in rows[1:]] == ["1 H200, ours, bf16", "8 H200, ours, bf16"]
    assert [row["speed"] for row in rows] == ["measured", "measured", "extrapolated"]
    assert rows[1]["cost"] == pytest.approx(2.0 * rows[1]["hours"])
    assert rows[2]["cost"] == pytest.approx(rows[1]["cost"] / 0.9)  # a tenth of the speed is lost


def test_speeds_are_read_from_a_measurement(estimate, tmp_path: Path) -> None:
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps({"contenders": [{"name": "ours, bf16", "images_per_s": 1000.0}]}))
    assert estimate.speeds(measured) == {"ours, bf16": 1000.0}
    measured.write_text(json.dumps({"images_per_s": 4000.0, "history": {}}))
    assert estimate.speeds(measured) == {"ours, a whole run": 4000.0}
