"""How far apart two runs may end whose arithmetic is not the same each time, as on a GPU outside deterministic mode."""

from pathlib import Path

from safetensors.torch import load_file

from medslip_core.checkpoint import list_checkpoints

from .tiny_run import rows_seen

FACTOR = 10.0
"""Runs that nobody stopped differ by different amounts, one pair of ten five times as much as another."""
LEAST = 1e-3
"""Of the weights' norm: less than one lost optimiser step of 120 changes them (0.0015 of it, on a CPU)."""


def apart(one: Path, other: Path) -> float:
    """Distance of two finished runs' last weights, relative to the norm of the first's."""
    first, second = (load_file(list_checkpoints(run / "checkpoints")[0] / "model.safetensors") for run in (one, other))
    floats = [name for name in first if first[name].is_floating_point()]
    distance = sum((first[name].double() - second[name].double()).square().sum() for name in floats) ** 0.5
    return float(distance / sum(first[name].double().square().sum() for name in floats) ** 0.5)


def tolerance(clean: list[Path]) -> float:
    """Most that a run may lie from one that nobody stopped: `FACTOR` times what these differ by, or `LEAST`."""
    return max(LEAST, FACTOR * max(apart(clean[0], other) for other in clean[1:]))


def too_far(run: Path, clean: Path, most: float) -> str:
    """What of a finished run is not as in a clean one, in words; empty if the rows are and the weights are close."""
    try:
        if rows_seen(run) != rows_seen(clean):
            return "rows seen"
        distance = apart(clean, run)
    except (OSError, ValueError, IndexError) as error:
        return repr(error)
    return "" if distance <= most else f"weights {distance:.1e} away, and {most:.1e} is allowed"
