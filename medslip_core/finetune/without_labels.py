"""What a pre-trained model says of a task's test images without any label of the task: the bar that labels must pass.

The same images, classes and draws of patients as for the fine-tuned runs, so that the two can be paired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medslip_core.finetune import initial
from medslip_core.finetune.compare import Case, Values, case_of
from medslip_core.loading import load_config
from medslip_core.metrics import METRICS, class_metrics, mean_over_classes, patients_behind_macro
from medslip_core.zero_shot import ClassPredictions, asked_by_name, classify, predict_classes

if TYPE_CHECKING:
    from medslip_core.finetune.grid import Grid

PROTOCOL = "zero-shot"
SCORES = ("auroc", "average_precision")
"""Those that need no threshold, hence no labelled validation image either."""


def zero_shot_cases(grid: Grid, resamples: int = 1000) -> list[Case]:
    """Zero-shot, each pre-trained model of a grid on each classification task whose classes it knows.

    Left out are weights that are no model's folder or have no text to be asked with, and tasks with a class that
    `zero_shot.asked_by_name` has not.

    Args:
        resamples: draws of patients, as many as for `compare.cases`.
    """
    return [_case(grid, task, weights, resamples) for task in _tasks(grid) for weights in _models(grid)]


def _models(grid: Grid) -> list[str]:
    folders = {name: source for name, source in grid.params.weights.items() if initial.is_folder(source)}
    return [name for name, folder in folders.items() if load_config(folder).text_encoder is not None]


def _tasks(grid: Grid) -> list[str]:
    return [
        name
        for name, task in grid.tasks.items()
        if task.params.kind == "classification" and set(task.classes) <= set(asked_by_name(task.corpus))
    ]


def _case(grid: Grid, task_name: str, weights: str, resamples: int) -> Case:
    task = grid.tasks[task_name]
    dataset, rows = task.corpus.header["dataset"], task.whole.rows("test")
    model = grid.model(weights, grid.params.seeds[0]).to(grid.device)
    existence = classify(model, task.corpus, rows, batch_size=64)
    pathologies = asked_by_name(task.corpus)
    said = predict_classes(existence, task.corpus, rows, {name: pathologies[name] for name in task.classes})
    named = {"task": task_name, "dataset": dataset, "kind": "classification", "features": "queries",
             "protocol": PROTOCOL, "fraction": 0.0, "weights": weights}  # fmt: skip
    patients = task.patients[rows]
    speaking = [patients_behind_macro(metric, said.labels.T, patients) for metric in SCORES]
    return case_of(named, (), SCORES, _macro(said), rows, patients, speaking, 0, resamples)


def _macro(said: ClassPredictions) -> Values:
    """weights [R, n] -> `SCORES`, mean over the classes, [R, 1, scores]."""
    truth, prob = (table.T.astype(float) for table in (said.labels, said.probabilities))  # [C, n]
    chosen = [METRICS.index(name) for name in SCORES]

    def of_class(weight: np.ndarray) -> np.ndarray:  # [R, C, scores]
        every = [class_metrics(*one, np.nan, weight) for one in zip(truth, prob, strict=True)]
        return np.stack(every, axis=1)[..., chosen]

    defined = ~np.isnan(of_class(np.ones((1, len(said.rows)))))[0]
    return lambda weight: mean_over_classes(of_class(weight), defined)[:, None]
