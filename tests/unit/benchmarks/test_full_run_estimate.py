import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "full_run_estimate.py"


@pytest.fixture(scope="module")
def estimate():
    spec = importlib.util.spec_from_file_location("full_run_estimate", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_hours_and_cost_by_hand(estimate) -> None:
    run = estimate.FullRun(
        images_per_s=100, images=360_000, epochs=2, validation_share=0.5, validation_speed=5, scaling_efficiency=0.5,
        price_per_gpu_hour=4,
    )  # fmt: skip
    assert run.hours(1) == pytest.approx(2.2)  # one hour an epoch, and a tenth for validation
    assert run.hours(8) == pytest.approx(2.2 / 8 / 0.5)
    assert (run.cost(1), run.cost(8)) == pytest.approx((8.8, 17.6))
    assert run.cores_for_input(8, 400) == pytest.approx(2)


def test_speed_is_read_from_a_measurement(tmp_path: Path) -> None:
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps({"contenders": [{"name": "ours, bf16", "images_per_s": 1000.0}]}))

    def run(name: str) -> subprocess.CompletedProcess:
        command = [sys.executable, SCRIPT, "--measured", measured, "--name", name]
        return subprocess.run(command, capture_output=True, text=True)

    assert "at 1,000 images/s" in run("ours, bf16").stdout
    assert "it has ours, bf16" in run("theirs").stderr
