from types import ModuleType

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function


@pytest.fixture(scope="module")
def loop(benchmark) -> ModuleType:
    return benchmark("training_loop")


def test_calls_are_found_within_the_steps_and_nowhere_else(loop) -> None:
    """On a CPU, with `aten::item` in the place of what waits for a GPU."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        with record_function("steps"):
            torch.ones(3).sum().item()
        torch.ones(3).sum().item()
    assert loop.named_within(profiler.events(), "steps", ("aten::item", "aten::nonzero")) == {"aten::item": 1}
