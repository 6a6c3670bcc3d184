import time
from types import ModuleType

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function


@pytest.fixture(scope="module")
def contenders(benchmark) -> ModuleType:
    return benchmark("contenders")


class Slow:
    """Stands in for a contender in a process of its own."""

    name, profiled = "slow", False

    def __init__(self, timing: object) -> None:
        self.timing = timing

    def wait(self) -> None: ...

    def close(self) -> None: ...

    def turn(self) -> object:
        time.sleep(0.05)
        return self.timing


def test_calls_are_found_within_the_steps_and_nowhere_else(contenders) -> None:
    """On a CPU, with `aten::item` in the place of what waits for a GPU."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        with record_function("steps"):
            torch.ones(3).sum().item()
        torch.ones(3).sum().item()
    assert contenders.named_within(profiler.events(), "steps", ("aten::item", "aten::nonzero")) == {"aten::item": 1}


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 1), (float("inf"), 4)])
def test_no_round_begins_when_the_time_is_over_and_one_counts(contenders, seconds, rounds) -> None:
    slow = Slow(contenders.Timing(0.05, 0.01, 1.0))
    (row,) = contenders.in_turn([slow], rounds=4, seconds=seconds)
    assert len(row["turns_wall_s"]) == rounds and row["wall_s"] == 0.05


def test_what_a_step_on_a_gpu_reaches_is_set_beside_what_it_should(benchmark) -> None:
    train_step = benchmark("train_step")

    def row(name: str, images_per_s: float, **more: object) -> dict[str, object]:
        return dict(name=name, images_per_s=images_per_s, batch=64, **more)

    ours = row("ours, bf16, compiled", 3000.0, waits={"cudaStreamSynchronize": 2}, launches={})
    reached = train_step.targets([ours, row("trunk alone, bf16, compiled", 4100.0), row("published code", 100.0)])
    assert {name: (round(one["value"], 3), one["held"]) for name, one in reached.items()} == {
        "images/s": (3000, True),
        "waits for the card": (2, False),
        "share of the trunk's rate": (0.732, False),
        "times the published code's rate": (30, True),
    }
    assert list(train_step.targets([ours])) == ["images/s", "waits for the card"]
    assert train_step.targets([row("ours", 9000.0)]) == {}
