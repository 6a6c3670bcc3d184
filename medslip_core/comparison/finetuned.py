"""What a pre-trained variant answers on test images after fine-tuning, in the same table as what it answers before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from medslip_core.comparison.answers import COLUMNS, of_classes
from medslip_core.finetune.grid import Grid
from medslip_core.finetune.params import GridParams
from medslip_core.finetune.results import Run, class_predictions, mask_scores
from medslip_core.naming import corpus_title, readable


def finetuned_answers(params: GridParams, folder: Path) -> pd.DataFrame:
    """The test images' answers of every run of a grid of one kind of weights: columns `answers.COLUMNS`.

    Args:
        params: of the grid.
        folder: of its runs; interrupted, it goes on there.

    Raises:
        ParameterError, SplitError, CorpusError, ValueError, FileNotFoundError: see `finetune.grid.Grid`.
    """
    grid = Grid(params, folder)
    tables = [_of_run(run, _title(grid, run.table.iloc[0])) for run in grid.run()]
    return pd.concat(tables or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)[COLUMNS]


def _title(grid: Grid, told: pd.Series) -> str:
    """What was learned from; with the task's name, where others of the kind learn from the same."""
    kinds = [(task.corpus.header["dataset"], task.params.kind) for task in grid.tasks.values()]
    title = corpus_title(told["dataset"], grid.tasks[told["task"]].corpus)
    return title + (f" ({readable(told['task'])})" if kinds.count((told["dataset"], told["kind"])) > 1 else "")


def _of_run(run: Run, title: str) -> pd.DataFrame:
    told = run.table.iloc[0]
    asked = f"{title}, {told['protocol']}, {100 * told['fraction']:g} % of labels"
    if told["kind"] == "classification":
        answered = of_classes(class_predictions(run), f"AUROC, {asked}")
    else:
        table = mask_scores(run).table
        answered = pd.DataFrame({
            "figure": f"Dice of positives, {asked}", "metric": "dice_positives", "label": told["class"],
            "row": table["row"], "patient": table["patient"], "truth": np.nan, "score": table["dice_positives"],
            "way": "",
        })  # fmt: skip
    return answered.assign(protocol=told["protocol"])
