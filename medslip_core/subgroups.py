"""Does a figure hold for everybody? Classification by view, sex and age, each group under the thresholds of all.

A mean over all images does not show that a model misses findings more often in some groups of patients, which models of
chest radiographs have been found to do: Seyyed-Kalantari et al., "Underdiagnosis bias of artificial intelligence
algorithms applied to chest radiographs in under-served patient populations", Nature Medicine 2021.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from medslip_core.metrics import LEAST_PATIENTS
from medslip_core.zero_shot import ClassPredictions, evaluate

OLD_YEARS = 60
"""From this age on a patient belongs to the older group."""

COLUMNS = ("attribute", "group", "classes", "metric", "value", "low", "high", "n", "positives")


def groups_of(manifest: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Attribute -> group -> which rows of a manifest belong to it, [n] bool.

    A group needs `LEAST_PATIENTS` patients, an attribute two groups; where a value is unknown, a row is in none.
    """
    known = {
        "view": {str(view): manifest["view"] == view for view in sorted(manifest["view"].dropna().unique())},
        "sex": {"women": manifest["sex"] == "F", "men": manifest["sex"] == "M"},
        "age": {
            f"younger than {OLD_YEARS}": manifest["age_years"] < OLD_YEARS,
            f"{OLD_YEARS} or older": manifest["age_years"] >= OLD_YEARS,
        },
    }
    kept = {
        attribute: {
            name: rows.to_numpy(bool)
            for name, rows in groups.items()
            if manifest.loc[rows, "patient_id"].nunique() >= LEAST_PATIENTS
        }
        for attribute, groups in known.items()
    }
    return {attribute: groups for attribute, groups in kept.items() if len(groups) > 1}


def evaluate_groups(
    test: ClassPredictions,
    validation: ClassPredictions,
    manifest: pd.DataFrame,
    metrics: tuple[str, ...] = ("auroc", "sensitivity", "specificity"),
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of each group, of several classes their mean, with 95 % intervals over its patients.

    The groups of an attribute are asked about the same classes: those of which each of them has both labels, as has
    `validation`, whose images choose the thresholds as in `zero_shot.evaluate`.

    Args:
        manifest: of the corpus, whole; `test.rows` are rows of it.

    Returns:
        columns `COLUMNS`: classes, of which the value is the mean; n images and positives of the group.
    """
    rows = []
    for attribute, groups in groups_of(manifest.iloc[test.rows].reset_index(drop=True)).items():
        asked = [
            c
            for c in range(len(test.classes))
            if _has_both(validation.labels[:, c]) and all(_has_both(test.labels[one, c]) for one in groups.values())
        ]
        if not asked:
            continue
        for group, members in groups.items():
            found = evaluate(_part(test, members, asked), _part(validation, slice(None), asked), "", resamples, seed)
            overall = found.drop_duplicates("metric", keep="last").set_index("metric").loc[list(metrics)].reset_index()
            rows.append(overall.assign(attribute=attribute, group=group, classes=len(asked)))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)] if rows else pd.DataFrame(columns=COLUMNS)


def _has_both(labels: np.ndarray) -> bool:
    return {0.0, 1.0} <= set(labels)


def _part(predictions: ClassPredictions, rows: np.ndarray | slice, classes: list[int]) -> ClassPredictions:
    return replace(
        predictions,
        classes=tuple(predictions.classes[c] for c in classes),
        rows=predictions.rows[rows],
        patients=predictions.patients[rows],
        labels=predictions.labels[rows][:, classes],
        probabilities=predictions.probabilities[rows][:, classes],
    )
