"""What a table of scores says of single labels, in a line of Markdown; guesses that could not be made are left out."""

from __future__ import annotations

import pandas as pd

from medslip_core.naming import readable


def least_hit(scores: pd.DataFrame, method: str, labels: int = 5) -> str:
    """The labels that a method hits least often, beside *mean truth*.

    Args:
        scores: what `summary.summarise` returned for one dataset and one kind of truth.
        method: whose maps.
        labels: how many to name.
    """
    hits, near = _by_label(scores, "pointing_game"), _by_label(scores, "pointing_near")
    told = []
    for label, one in hits.sort_values(method).head(labels).iterrows():
        guess = f", *mean truth* {one['mean truth']:.2f}" if one.notna().get("mean truth") else ""
        told.append(f"{readable(label)} {one[method]:.2f} (within 3 % {near.loc[label, method]:.2f}{guess})")
    return f"Least often hit by *{method}*: {', '.join(told)}."


def not_outlined(scores: pd.DataFrame, method: str) -> str:
    """The labels that a method does not outline better, by IoU, than the mean of its own maps; arguments as above."""
    iou = _by_label(scores, "iou")
    known = iou.dropna(subset="mean map") if "mean map" in iou else iou[:0]
    if not len(known):
        return f"no image of the validation split shows a label, so that there is no *mean map* beside *{method}*."
    below = known[known[method] <= known["mean map"]]
    told = [f"{readable(label)} {one[method]:.2f} ({one['mean map']:.2f})" for label, one in below.iterrows()]
    where = f"not above *mean map* (in brackets) for {', '.join(told)}" if told else "above *mean map* for each label"
    without = iou.index.difference(known.index).map(readable)
    but = f" but {', '.join(without)}, which have none" if len(without) else ""
    return f"by IoU, *{method}* is {where}{but}."


def _by_label(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by label and method, without the mean over labels."""
    chosen = scores[(scores["metric"] == metric) & (scores["label"] != "macro")]
    return chosen.pivot(index="label", columns="method", values="value")
