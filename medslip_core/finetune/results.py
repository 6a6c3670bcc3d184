"""Results of finished runs: one tidy table, means over seeds, and what each run predicted.

A run's folder holds `result.json` (identity, rows of the table, course of the training) and `predictions.npz`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medslip_core.files import write_whole
from medslip_core.finetune.scores import MASK_METRICS, MaskScores, Thresholds, mask_values
from medslip_core.metrics import METRICS, best_f1_threshold, class_metrics, mean_over_classes, patient_bootstrap
from medslip_core.reporting import interval_text
from medslip_core.zero_shot import ClassPredictions

RESULT, PREDICTIONS = "result.json", "predictions.npz"
CASE = ["task", "dataset", "kind", "features", "protocol", "fraction", "weights"]
"""Columns that tell what was compared, the seeds aside."""

COLUMNS = [*CASE, "seed", "class", "metric", "value", "low", "high", "n", "positives", "threshold", "train_patients",
           "train_images", "split", "weights_sha256", "note"]  # fmt: skip
"""Of the tidy table. `split` is the SHA-256 of the split file, `low` and `high` are 95 % over test patients."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what it is, its rows of the table, and the course of its training."""

    folder: Path
    identity: dict[str, Any]
    table: pd.DataFrame
    history: list[dict[str, float]]


def write_run(folder: Path, identity: dict, table: pd.DataFrame, history: list, predictions: dict) -> None:
    """Write a finished run; the result comes last, so a folder that has one is complete."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **predictions)
    write_whole(folder / PREDICTIONS, packed.getvalue())
    content = {"identity": identity, "history": history, "table": json.loads(table.to_json(orient="records"))}
    write_whole(folder / RESULT, json.dumps(content, indent=1).encode())


def read_run(folder: Path) -> Run | None:
    """A finished run; None if there is none, or its result was torn."""
    try:
        content = json.loads((folder / RESULT).read_text())
        table = pd.DataFrame(content["table"]).reindex(columns=COLUMNS)
        numbers = ["value", "low", "high", "threshold", "fraction"]
        table[numbers] = table[numbers].astype(float)
        return Run(folder, content["identity"], table, content["history"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def class_predictions(run: Run, part: str = "test") -> ClassPredictions:
    """What a classification run predicted on "test" or "validate"."""
    with np.load(run.folder / PREDICTIONS) as file:
        return ClassPredictions(
            dataset=str(file["dataset"]),
            classes=tuple(file["classes"].tolist()),
            **{name: file[f"{part}_{name}"] for name in ("rows", "patients", "labels", "probabilities")},
        )


def packed_classes(test: ClassPredictions, validation: ClassPredictions) -> dict[str, np.ndarray]:
    """Both as arrays for `write_run`."""
    arrays = {"dataset": np.array(test.dataset), "classes": np.array(test.classes)}
    for part, one in (("test", test), ("validate", validation)):
        arrays |= {f"{part}_{name}": getattr(one, name) for name in ("rows", "labels", "probabilities")}
        arrays[f"{part}_patients"] = one.patients.astype(str)
    return arrays


def mask_scores(run: Run) -> MaskScores:
    """What a segmentation run predicted on the test images."""
    with np.load(run.folder / PREDICTIONS) as file:
        table = pd.DataFrame({name: file[name] for name in ("row", "patient", "positive", *MASK_METRICS)})
        return MaskScores(table, file["masks"], Thresholds(*file["thresholds"].tolist()))


def packed_masks(scores: MaskScores) -> dict[str, np.ndarray]:
    """As arrays for `write_run`."""
    arrays = {name: column.to_numpy() for name, column in scores.table.items()}
    thresholds = np.array([scores.thresholds.all_images, scores.thresholds.positives])
    return {**arrays, "patient": arrays["patient"].astype(str), "masks": scores.masks, "thresholds": thresholds}


def collect(runs: Sequence[Run]) -> pd.DataFrame:
    """All rows of all runs."""
    tables = [run.table for run in runs]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def over_seeds(
    runs: Sequence[Run], resamples: int = 1000, seed: int = 0, held: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The mean over seeds of every case, macro over the classes.

    Args:
        held: as `grid.empty_cells` returns it; with it, classification has a metric "auroc_learnable" too: AUROC, macro
            over the classes of which a seed's training labels held both a positive and a negative.

    Returns:
        columns `CASE`, metric, value (mean over seeds), low and high (95 % over test patients, of that mean), seeds,
        least and most (of the single seeds), train_patients.
    """
    cases: dict[tuple, list[Run]] = {}
    for run in runs:
        cases.setdefault(tuple(run.table.iloc[0][CASE]), []).append(run)
    rows = []
    for case, members in cases.items():
        named = dict(zip(CASE, case, strict=True))
        names, values, patients = (
            _of_classes(members, held) if named["kind"] == "classification" else _of_masks(members)
        )
        mean = patient_bootstrap(lambda weight, one=values: one(weight).mean(axis=1), patients, resamples, seed)
        each = values(np.ones((1, len(patients))))[0]  # [seeds, metrics]
        rows += [
            {**named, "metric": name, "value": mean.value[m], "low": mean.low[m], "high": mean.high[m],
             "seeds": len(members), "least": each[:, m].min(), "most": each[:, m].max(),
             "train_patients": members[0].table["train_patients"].iloc[0]}
            for m, name in enumerate(names)
        ]  # fmt: skip
    columns = [*CASE, "metric", "value", "low", "high", "seeds", "least", "most", "train_patients"]
    return pd.DataFrame(rows, columns=columns)


def compare(summary: pd.DataFrame, ours: str, other: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Two kinds of initial weights side by side, and whether their intervals are apart.

    Args:
        summary: as `over_seeds` returns it; ours, other: names of weights; metrics: which ones.

    Returns:
        columns task, protocol, fraction, metric, seeds, `ours`, `other`, difference, apart ("above", "below", "no", or
        "undefined").
    """
    keys = ["task", "kind", "features", "protocol", "fraction", "metric"]
    chosen = summary[summary["metric"].isin(metrics)]
    pairs = chosen[chosen["weights"] == ours].merge(
        chosen[chosen["weights"] == other], on=keys, suffixes=("", "_other")
    )
    pairs["difference"] = pairs["value"] - pairs["value_other"]
    rows = []
    for one in pairs.itertuples():
        apart = "above" if one.low > one.high_other else "below" if one.high < one.low_other else "no"
        if np.isnan(one.difference):
            apart = "undefined"
        rows.append(
            {"task": one.task, "protocol": one.protocol, "fraction": one.fraction, "metric": one.metric,
             "seeds": min(one.seeds, one.seeds_other), ours: interval_text(one.value, one.low, one.high, 3),
             other: interval_text(one.value_other, one.low_other, one.high_other, 3),
             "difference": one.difference, "apart": apart}
        )  # fmt: skip
    columns = ["task", "protocol", "fraction", "metric", "seeds", ours, other, "difference", "apart"]
    return pd.DataFrame(rows, columns=columns)


Values = Callable[[np.ndarray], np.ndarray]  # weights [R, n] -> [R, seeds, metrics]


def _of_classes(runs: list[Run], held: pd.DataFrame | None) -> tuple[Sequence[str], Values, np.ndarray]:
    tests = [class_predictions(run) for run in runs]
    learnable = [_learnable(run, test.classes, held) for run, test in zip(runs, tests, strict=True)]
    _check_same([test.rows for test in tests], runs)
    thresholds = [
        [best_f1_threshold(*pair) for pair in zip(one.labels.T, one.probabilities.T, strict=True)]
        for one in (class_predictions(run, "validate") for run in runs)
    ]

    def values(weight: np.ndarray) -> np.ndarray:
        per_seed = []
        for test, chosen, could in zip(tests, thresholds, learnable, strict=True):
            truth, prob = test.labels.T.astype(float), test.probabilities.T.astype(float)
            of_class = np.stack(
                [class_metrics(*one, weight) for one in zip(truth, prob, chosen, strict=True)], axis=1
            )  # [R, C, metrics]
            of_learnable = mean_over_classes(of_class[:, could, METRICS.index("auroc")])
            per_seed.append(np.column_stack([mean_over_classes(of_class), of_learnable]))
        return np.stack(per_seed, axis=1)

    return (*METRICS, "auroc_learnable"), values, tests[0].patients


def _learnable(run: Run, classes: Sequence[str], held: pd.DataFrame | None) -> np.ndarray:
    """[C] bool: classes of which the run's training labels held a positive and a negative; all if that is not told."""
    if held is None:
        return np.ones(len(classes), bool)
    named = ["task", "fraction", "seed"]
    empty = held.set_index(named)["empty"].loc[tuple(run.identity[key] for key in named)].split(", ")
    return np.array([name not in empty for name in classes])


def _of_masks(runs: list[Run]) -> tuple[Sequence[str], Values, np.ndarray]:
    tables = [mask_scores(run).table for run in runs]
    _check_same([table["row"].to_numpy() for table in tables], runs)

    def values(weight: np.ndarray) -> np.ndarray:
        return np.stack([mask_values(table, weight) for table in tables], axis=1)

    return MASK_METRICS, values, tables[0]["patient"].to_numpy()


def _check_same(rows: list[np.ndarray], runs: list[Run]) -> None:
    if any(not np.array_equal(rows[0], one) for one in rows):
        raise ValueError(
            f"{runs[0].folder.name} and its other seeds were not tested on the same images; run them again"
        )
