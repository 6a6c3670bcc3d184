import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def loop():
    sys.path.insert(0, str(BENCHMARKS))  # as when it is run: it uses its neighbours
    spec = importlib.util.spec_from_file_location("training_loop", BENCHMARKS / "training_loop.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules[spec.name]


def test_calls_are_found_within_the_steps_and_nowhere_else(loop) -> None:
    """On a CPU, with `aten::item` in the place of what waits for a GPU."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        with record_function("steps"):
            torch.ones(3).sum().item()
        torch.ones(3).sum().item()
    assert loop.named_within(profiler.events(), "steps", ("aten::item", "aten::nonzero")) == {"aten::item": 1}
