"""A fine-tuning grid as people read it: differences by fraction, in words, and how many labels it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medslip_core.finetune.compare import DIFFERENCE, Case, compare, difference
from medslip_core.naming import METRIC_NAMES
from medslip_core.reporting import interval_text

LEADING = {"classification": "auroc", "segmentation": "dice_positives"}
"""The metric that stands for a kind of task where one must."""

LEVEL = 0.05
"""Of one interval: how often it leaves out 0 where there is no difference."""


def share(fraction: float) -> str:
    """A fraction of the labels: "10 %"."""
    return f"{100 * fraction:g}\u00a0%"


def differences(comparison: pd.DataFrame) -> pd.DataFrame:
    """One row per task, protocol and metric, one column per fraction: "above: 0.066 [0.058, 0.073] (3/3)".

    The last are the seeds whose own difference has that sign, where there are several.

    Args:
        comparison: rows of `compare.compare`, against one kind of weights.
    """

    def text(row: pd.Series) -> str:
        if row["apart"] == "undefined":
            return "–"
        told = interval_text(row["difference"], row["difference_low"], row["difference_high"], 3)
        return f"{row['apart']}: {told}" + (f" ({row['agreeing']}/{row['seeds']})" if row["seeds"] > 1 else "")

    if comparison.empty:
        return pd.DataFrame(columns=["task", "metric"])
    told = comparison.assign(
        text=comparison.apply(text, axis=1), task=comparison["task"] + ", " + comparison["protocol"],
        metric=comparison["metric"].map(lambda name: METRIC_NAMES.get(name, name)),
    )  # fmt: skip
    rows = ["task", "metric"]
    wide = told.pivot(index=rows, columns="fraction", values="text").fillna("–")
    wide = wide.rename(columns=share).rename_axis(columns=None).reset_index()
    return told[rows].drop_duplicates().merge(wide, on=rows)


def in_words(comparison: pd.DataFrame, ours: str) -> str:
    """Markdown: in how many comparisons ours is above and below, by other weights and kind of task."""
    lines = []
    for (other, kind), part in comparison.groupby(["against", "kind"], sort=False):
        most = part["fraction"].max()
        full, fewer = part[part["fraction"] == most], part[part["fraction"] < most]
        told = f": {_above(fewer)} with fewer than {share(most)} of the labels, {_above(full)} with {share(most)}"
        below = int((part["apart"] == "below").sum())
        lines.append(
            f"- *{ours}* against *{other}*, {kind}: above in {_above(part)}{told if len(fewer) else ''}; "
            f"below in {below or 'none'}."
        )
    known = int((comparison["apart"] != "undefined").sum())
    if known:
        lines.append(f"\nOf {known} intervals of 95 %, about {LEVEL * known:.0f} would leave out 0 by chance alone.")
    return "\n".join(lines)


def _above(part: pd.DataFrame) -> str:
    return f"{(part['apart'] == 'above').sum()} of {len(part)}"


def labels_needed(found: Sequence[Case], ours: str, others: Sequence[str]) -> pd.DataFrame:
    """Which fraction of the labels takes ours to where other weights come with the most of them.

    Args:
        found: cases of a grid.

    Returns:
        columns against, task, protocol, metric, level (of the other with the most labels), fraction_other and
        fraction: the least of the grid's with which the other, or ours, is not below that level beyond chance; NaN if
        there is none.
    """
    rows = []
    most = max((case.named["fraction"] for case in found), default=1.0)
    keys = ["task", "protocol", "metric"]
    for other in others:
        of_ours = compare(found, ours, other, list(LEADING.values()), most)
        of_other = compare(found, other, other, list(LEADING.values()), most)
        for named, part in of_ours.groupby(keys, sort=False):
            same = of_other[(of_other[keys] == list(named)).all(axis=1)]
            rows.append(
                {"against": other, **dict(zip(keys, named, strict=True)), "level": part["value_other"].iloc[0],
                 "fraction_other": _least(same), "fraction": _least(part)}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["against", *keys, "level", "fraction_other", "fraction"])


def _least(part: pd.DataFrame) -> float:
    reached = part[part["apart"].isin(["above", "no"])]
    return float(reached["fraction"].min()) if len(reached) else np.nan


def labels_table(needed: pd.DataFrame, ours: str) -> pd.DataFrame:
    """`labels_needed` for people: one row per task, protocol and other weights."""
    text = {name: needed[name].map(lambda one: "–" if np.isnan(one) else share(one)).astype(str)
            for name in ("fraction_other", "fraction")}  # fmt: skip
    return pd.DataFrame(
        {"task": needed["task"] + ", " + needed["protocol"], "other weights": needed["against"],
         "metric": needed["metric"].map(METRIC_NAMES), "level with all labels": needed["level"].astype(float),
         "they need": text["fraction_other"], f"{ours} needs": text["fraction"]}
    )  # fmt: skip


def without_labels(zero: Sequence[Case], found: Sequence[Case]) -> pd.DataFrame:
    """Zero-shot beside what the same weights reach by fine-tuning on the same images.

    Args:
        zero: as `without_labels.zero_shot_cases` gives them; found: cases of the grid.

    Returns:
        columns task, weights, protocol and fraction (of the fine-tuned), and `compare.DIFFERENCE`: zero-shot is ours,
        the fine-tuned the other.
    """
    rows = [
        {"task": one.named["task"], "weights": one.named["weights"], "protocol": case.named["protocol"],
         "fraction": case.named["fraction"], **difference(one, case, "auroc")}
        for one in zero for case in found
        if all(one.named[name] == case.named[name] for name in ("task", "weights"))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "weights", "protocol", "fraction", *DIFFERENCE])


def without_labels_in_words(beside: pd.DataFrame) -> str:
    """Markdown: zero-shot, and its difference from fine-tuning with the most labels of the grid."""
    if beside.empty:
        return "No pre-trained model here knows the classes of a task, so nothing can be asked without labels."
    lines = []
    for (task, weights), part in beside.groupby(["task", "weights"], sort=False):
        first = part.iloc[0]
        lines.append(
            f"\n*{weights}* without a label of *{task}*: AUROC "
            f"{interval_text(first['value'], first['low'], first['high'], 3)} on the same test images.\n"
        )
        for one in part[part["fraction"] == part["fraction"].max()].itertuples():
            told = interval_text(one.difference, one.difference_low, one.difference_high, 3)
            where = {"above": "It lies above", "below": "It lies below"}.get(one.apart, "It cannot be told apart from")
            lines.append(
                f"- {where} *{one.protocol}* with {share(one.fraction)} of the labels "
                f"({one.value_other:.3f}): difference {told}."
            )
    return "\n".join(lines)
