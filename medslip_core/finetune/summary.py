"""A grid's finished runs in one file of JSON, for a page that cannot train all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from medslip_core.finetune import initial, reading
from medslip_core.finetune.compare import Case, cases, compare, over_seeds
from medslip_core.finetune.without_labels import zero_shot_cases

if TYPE_CHECKING:
    from medslip_core.finetune.grid import Grid

COMPARED_METRICS = ("auroc", "dice_positives", "dice_all")


def compared_weights(weights: dict[str, str]) -> list[str]:
    """The names of a grid's weights, a pre-trained model's first: it is compared with each of the others."""
    return sorted(weights, key=lambda name: not initial.is_folder(weights[name]))


def comparisons(found: Sequence[Case], compared: Sequence[str]) -> pd.DataFrame:
    """As `compare` gives it, the first of some weights against each of the rest."""
    return pd.concat(
        [compare(found, compared[0], other, COMPARED_METRICS) for other in compared[1:]]
        or [compare([], "", "", COMPARED_METRICS)],
        ignore_index=True,
    )


def summarise(grid: Grid, held: pd.DataFrame) -> dict[str, Any]:
    """What the finished runs of a grid say; nothing is trained.

    Args:
        held: as `grid.empty_cells` returns it.

    Returns:
        what JSON can hold: runs, runs_in_all, missing (names), compared, summary (`over_seeds`), comparisons,
        labels_needed, zero_shot (as summary), without_labels.
    """
    runs, resamples, compared = grid.finished(), grid.params.resamples, compared_weights(grid.params.weights)
    found, zero = cases(runs, resamples, held=held), zero_shot_cases(grid, resamples)
    there = {run.folder.name for run in runs}
    tables = {
        "summary": over_seeds(found),
        "comparisons": comparisons(found, compared),
        "labels_needed": reading.labels_needed(found, compared[0], compared[1:]),
        "zero_shot": over_seeds(zero),
        "without_labels": reading.without_labels(zero, found),
    }
    return {
        "runs": len(runs), "runs_in_all": len(grid.cells),
        "missing": [cell.name for cell in grid.cells if cell.name not in there], "compared": compared,
        **{name: json.loads(table.to_json(orient="records")) for name, table in tables.items()},
    }  # fmt: skip
