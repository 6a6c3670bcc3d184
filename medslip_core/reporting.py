"""Results as people read them: tables of "value [low, high]", and what a small training set means for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medslip_core.augment import AugmentParams
from medslip_core.model_config import MedslipConfig
from medslip_core.naming import METRIC_NAMES
from medslip_core.pretrain_params import PretrainParams

ENOUGH_TRAINING_IMAGES = 2000
"""Below, figures of a model pre-trained on them say more about their number than about the method."""


def interval_text(value: float, low: float, high: float, digits: int = 2) -> str:
    """ "0.85 [0.81, 0.89]", the interval without a line break in it; what is undefined (NaN) is left out, or "–"."""
    if np.isnan(value):
        return "–"
    value, low, high = (f"{round(one, digits) + 0.0:.{digits}f}" for one in (value, low, high))  # no minus before zero
    told = value if low == "nan" else f"{value} [{low},\u00a0{high}]"
    return told.replace("-", "\u2212")


def with_intervals(results: pd.DataFrame, rows: Sequence[str], metrics: Sequence[str], digits: int = 2) -> pd.DataFrame:
    """One row per case and one column per metric, each cell a value with its interval.

    Args:
        results: tidy, as `zero_shot.evaluate` and `grounding.summary.summarise` return them: columns metric, value,
            low, high and those in `rows`.
        rows: columns that tell the cases apart, or are the same within one.
        metrics: which metrics, in this order.

    Returns:
        columns `rows`, then the metrics by their readable names; cases in the order of `results`.

    Raises:
        ValueError: if `rows` do not tell two cases apart.
    """
    rows = list(rows)
    chosen = results[results["metric"].isin(metrics)]
    if chosen.duplicated([*rows, "metric"]).any():
        raise ValueError(f"results hold several values of a metric for the same {rows}: name more columns")
    text = [interval_text(*one, digits) for one in chosen[["value", "low", "high"]].to_numpy(float)]
    wide = chosen.assign(text=text).pivot(index=rows, columns="metric", values="text").reindex(columns=list(metrics))
    table = chosen[rows].drop_duplicates().merge(wide.reset_index(), on=rows)
    return table.rename(columns=METRIC_NAMES).rename_axis(columns=None)


def beside_published(params: PretrainParams, config: MedslipConfig) -> pd.DataFrame:
    """What a run does otherwise than the published setting: columns parameter, published, here, what it is."""
    published = MedslipConfig().to_dict() | PretrainParams().fixed()
    here = config.to_dict() | params.fixed()
    fields = [*dataclasses.fields(MedslipConfig), *dataclasses.fields(PretrainParams)]
    meanings = {field.name: field.metadata["meaning"] for field in fields}
    meanings |= {f"augment.{field.name}": field.metadata["meaning"] for field in dataclasses.fields(AugmentParams)}
    differing = [name for name in published if published[name] != here[name]]
    return pd.DataFrame({
        "parameter": differing,
        "published": [_short(published[name]) for name in differing],
        "here": [_short(here[name]) for name in differing],
        "what it is": [meanings[name] for name in differing],
    })  # fmt: skip


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def training_set_note(images: int) -> str:
    """Markdown that says how many images a model was pre-trained on and, where these are few, what that means."""
    if images >= ENOUGH_TRAINING_IMAGES:
        return f"The model was pre-trained on {images:,} images."
    return (
        f"> **Few images.** The model was pre-trained on {images:,} images only. The figures below are weak for that "
        "reason: they show that the study runs on these data, not what the method can do."
    )
