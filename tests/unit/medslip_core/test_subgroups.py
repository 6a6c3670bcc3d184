"""Figures by view, sex and age: who belongs to a group, the same classes for all of an attribute, thresholds of all."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from medslip_core.subgroups import COLUMNS, evaluate_groups, groups_of
from medslip_core.zero_shot import ClassPredictions

GENERATOR = np.random.default_rng(0)
N = 400


def manifest() -> pd.DataFrame:
    return pd.DataFrame({
        "patient_id": [f"p{i // 2}" for i in range(N)], "view": ["AP", "PA"] * (N // 2),
        "sex": np.repeat(["M", "F", "M", None], N // 4), "age_years": np.tile([30.0, 59.9, 60.0, np.nan], N // 4),
    })  # fmt: skip


def predictions(rows: np.ndarray, classes: tuple[str, ...] = ("Mass", "Nodule")) -> ClassPredictions:
    labels = (GENERATOR.random((len(rows), len(classes))) < 0.4).astype(np.float32)
    noise = np.where(rows % 2, 0.2, 1.5)[:, None]  # views PA are told better
    scores = 1 / (1 + np.exp(-2 * (labels - 0.5) - noise * GENERATOR.standard_normal(labels.shape)))
    return ClassPredictions("nih", classes, rows, np.array([f"p{i // 2}" for i in rows]), labels, scores)


def test_groups_are_told_by_view_sex_and_age_and_the_unknown_are_in_none() -> None:
    groups = groups_of(manifest())
    assert {attribute: list(of) for attribute, of in groups.items()} == {
        "view": ["AP", "PA"], "sex": ["women", "men"], "age": ["younger than 60", "60 or older"],
    }  # fmt: skip
    assert [int(one.sum()) for one in groups["sex"].values()] == [N // 4, N // 2]
    assert [int(one.sum()) for one in groups["age"].values()] == [N // 2, N // 4]


def test_a_group_of_few_patients_and_an_attribute_of_one_group_are_left_out() -> None:
    few = manifest()
    few["view"] = ["AP"] * 18 + ["PA"] * (N - 18)  # 9 patients
    few["sex"] = "F"
    assert list(groups_of(few)) == ["age"]


def test_a_group_that_is_told_worse_shows_and_thresholds_are_those_of_all() -> None:
    rows = np.arange(N)
    test, validation = predictions(rows), predictions(rows + N)
    found = evaluate_groups(test, validation, manifest(), resamples=20)
    assert list(found.columns) == list(COLUMNS) and len(found) == 6 * 3
    value = found.set_index(["group", "metric"])["value"]
    assert value["PA", "auroc"] > value["AP", "auroc"] + 0.05
    assert value["PA", "sensitivity"] > value["AP", "sensitivity"]
    pa = rows % 2 == 1
    alone = [roc_auc_score(test.labels[pa, c], test.probabilities[pa, c]) for c in (0, 1)]
    assert value["PA", "auroc"] == pytest.approx(np.mean(alone))
    count = found.set_index(["group", "metric"])[["n", "classes"]].loc[("PA", "auroc")]
    assert count.tolist() == [N // 2, 2]


def test_groups_are_compared_by_the_classes_that_each_of_them_shows() -> None:
    rows = np.arange(N)
    test, validation = predictions(rows), predictions(rows + N)
    test.labels[rows % 2 == 1, 1] = 0  # no nodule in a PA view
    found = evaluate_groups(test, validation, manifest(), resamples=5)
    assert found.groupby("attribute")["classes"].first().to_dict() == {"view": 1, "sex": 2, "age": 2}
    validation.labels[:, 0] = 0  # nothing to choose a threshold by
    assert set(evaluate_groups(test, validation, manifest(), resamples=5)["attribute"]) == {"sex", "age"}
    nothing = evaluate_groups(test, validation, manifest().assign(view="PA", sex="F", age_years=30.0), resamples=5)
    assert nothing.empty and list(nothing.columns) == list(COLUMNS)
