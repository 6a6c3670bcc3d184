"""Means over images and labels, and methods side by side."""

import numpy as np
import pandas as pd
import pytest

from medslip_core.grounding.summary import compare, summarise


def test_summary_means_by_label_and_over_labels():
    scores = pd.DataFrame({
        "label": ["a", "a", "a", "b"], "truth": "masks", "method": "m", "row": [0, 1, 2, 2], "patient": [1, 1, 2, 2],
        "pointing_game": [1.0, 1.0, 0.0, 0.0], "pointing_near": 1.0, "iou": 0.5, "dice": 0.6,
        "cnr": [1.0, np.nan, 2.0, 3.0], "threshold": 0.4,
    })  # fmt: skip
    summary = summarise(scores, "nih", resamples=200).set_index(["label", "metric"])
    assert summary.loc[("a", "pointing_game"), "value"] == pytest.approx(2 / 3)
    assert summary.loc[("macro", "pointing_game"), "value"] == pytest.approx(1 / 3)
    assert summary.loc[("a", "cnr"), "value"] == 1.5
    assert summary.loc[("a", "dice"), "threshold"] == 0.4 and summary.loc[("macro", "dice"), "n"] == 3
    assert np.isnan(summary.loc[("a", "pointing_game"), ["low", "high"]].astype(float)).all(), "two patients"
    many = pd.concat([scores.assign(patient=scores["patient"] + 10 * i, row=scores["row"] + 10 * i) for i in range(5)])
    ends = summarise(many, "nih", resamples=200).set_index(["label", "metric"]).loc[("a", "pointing_game")]
    assert 0 <= ends["low"] < 2 / 3 < ends["high"] <= 1


def test_a_mean_over_labels_has_an_interval_if_each_of_them_has():
    """Nine patients show "b", ten of twenty have a CNR of "a"; nobody has one of "b"."""
    scores = pd.DataFrame({
        "label": ["a"] * 20 + ["b"] * 9, "truth": "masks", "method": "m", "row": range(29), "patient": range(29),
        "pointing_game": [0.0, 1.0] * 10 + [1.0] * 9, "pointing_near": 1.0, "iou": 0.5, "dice": 0.6,
        "cnr": [1.0, np.nan] * 10 + [np.nan] * 9, "threshold": 0.4,
    })  # fmt: skip
    summary = summarise(scores, "nih", resamples=50).set_index(["label", "metric"])
    known = summary["low"].notna()
    assert known[("a", "pointing_game")] and not known[("b", "pointing_game")] and not known[("macro", "pointing_game")]
    assert known[("a", "cnr")] and known[("macro", "cnr")], "of the labels that have a value"
    others = pd.concat([scores, scores.assign(method="o", iou=0.3)])
    (row,) = compare(others, "m", ["o"], ["iou"], resamples=50).to_dict("records")
    assert (row["above"], row["even"]) == (1, 1) and row["value"] == pytest.approx(0.2)
    assert np.isnan(row["low"]) and np.isnan(row["high"])


def test_compared_label_by_label():
    """By the difference on each image: what is hard for both does not count."""
    draw = np.random.default_rng(0)
    hard = draw.uniform(0, 0.8, 40)  # of an image, far more than methods differ
    shift = {"a": 0.1, "b": -0.1, "c": 0.0}
    tables = [
        pd.DataFrame(dict(method=method, label=label, row=np.arange(40), patient=[str(n // 2) for n in range(40)],
                          iou=hard + (shift[label] + draw.normal(0, 0.05, 40) if method == "m" else 0)))
        for method in "mo" for label in shift
    ]  # fmt: skip
    scores = pd.concat(tables, ignore_index=True)
    scores.loc[0, "iou"] = np.nan  # one image of "a" without a score counts for neither
    table = compare(scores.sample(frac=1, random_state=0), "m", ["o", "not there"], ["iou"], resamples=200)
    assert table.iloc[:, :6].to_numpy().tolist() == [["iou", "o", 3, 1, 1, 1]]
    assert table["mean_other"].item() == pytest.approx((hard[1:].mean() + 2 * hard.mean()) / 3)
    known = scores[scores["iou"].notna() & (scores["method"] == "m")]
    assert table["mean"].item() == pytest.approx(known.groupby("label")["iou"].mean().mean())
    assert table["value"].item() == pytest.approx(table["mean"].item() - table["mean_other"].item())
    paired = table["high"].item() - table["low"].item()
    apart = [known[known["label"] == label]["iou"].std() / 40**0.5 for label in shift]
    assert table["low"].item() < table["value"].item() < table["high"].item() and paired < np.mean(apart)
    assert compare(scores.iloc[:0], "m", ["o"], ["iou"]).empty
