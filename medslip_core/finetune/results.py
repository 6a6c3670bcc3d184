"""Results of finished runs: one tidy table, and what each run predicted.

A run's folder holds `result.json` (identity, rows of the table, course of the training) and `predictions.npz`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medslip_core.files import write_whole
from medslip_core.finetune.scores import MASK_METRICS, MaskScores, Thresholds
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
    """Write a finished run; an older result goes first and the new one comes last, so a folder with one is complete."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **predictions)
    (folder / RESULT).unlink(missing_ok=True)
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
