"""A comparison as people read it: its options, one table, a chart of differences, and a sentence per figure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from medslip_core.comparison.answers import ZERO_SHOT
from medslip_core.figures import Described, forest
from medslip_core.naming import short_title

LEVEL = 0.05


def zero_shot(comparison: pd.DataFrame, variants: Collection[str]) -> pd.DataFrame:
    """What was asked without labels of the first variant and of some others: rows of figures that both have."""
    return _of(comparison[comparison["protocol"] == ZERO_SHOT], variants)


def finetuned(comparison: pd.DataFrame, variants: Collection[str]) -> dict[str, pd.DataFrame]:
    """The same with labels: what is learned -> its rows, whose figures are the shares of labels ("1 % of labels")."""
    part = _of(comparison[comparison["protocol"] != ZERO_SHOT], variants)
    learned = part["figure"].str.rsplit(", ", n=1, expand=True).reindex(columns=[0, 1])
    return dict(list(part.assign(figure=learned[1]).groupby(learned[0], sort=False)))


def _of(asked: pd.DataFrame, variants: Collection[str]) -> pd.DataFrame:
    part = asked[asked["variant"].isin([*asked["variant"].head(1), *variants])]
    return part[part.groupby("figure")["variant"].transform("size") > 1]


def is_certain(comparison: pd.DataFrame) -> pd.Series:
    """Rows whose difference is beyond chance: p after Holm's adjustment below `LEVEL`."""
    return comparison["p_holm"] < LEVEL


def options(variant: Mapping[str, Any]) -> str:
    """What a variant differs in: "icl_weight 0.0, model.gated False"."""
    flat = {name: value for name, value in variant.items() if name != "model"}
    flat |= {f"model.{name}": value for name, value in variant.get("model", {}).items()}
    return ", ".join(f"{name} {value}" for name, value in flat.items())


def budget(pretraining: Mapping[str, Any]) -> str:
    """How long each variant was trained: "2 epochs in batches of 16"."""
    return f"{pretraining['epochs']} epochs in batches of {pretraining['batch_size']}"


def _reference(comparison: pd.DataFrame) -> pd.Series:
    """The variant that each row is compared with: the first of its figure."""
    return comparison.groupby("figure")["variant"].transform("first")


def differences(comparison: pd.DataFrame) -> pd.DataFrame:
    """One row per variant, a column per figure: "0.951 (-0.012*)"; a star for what `is_certain`, a dash: not asked.

    Where there are several ways to ask, the variant's stands behind: "0.951 (-0.012*) by maps".
    """

    def text(row: pd.Series) -> str:
        if np.isnan(row["value"]):
            return "–"
        way = f" by {row['way']}" if row["way"] else ""
        if row["variant"] == row["reference"]:
            return f"{row['value']:.3f}{way}"
        star = "*" if row["certain"] else ""
        difference = round(row["difference"], 3) + 0.0  # no minus before zero
        return f"{row['value']:.3f} ({difference:+.3f}{star})".replace("-", "−") + way

    told = comparison.assign(certain=is_certain(comparison), reference=_reference(comparison))
    told["text"] = told.apply(text, axis=1)
    wide = told.pivot(index="variant", columns="figure", values="text")
    ordered = wide.loc[comparison["variant"].unique(), comparison["figure"].unique()]
    return ordered.fillna("–").rename(columns=short_title).rename_axis(columns=None).reset_index()


def forest_of_differences(part: pd.DataFrame) -> Described:
    """The differences of one figure from the first variant, with their intervals, and those of single seeds.

    Args:
        part: rows of one figure.
    """
    others = part[part["variant"] != _reference(part)]
    metric = f"{part['figure'].iloc[0]}: difference from {part['variant'].iloc[0]}"
    renamed = {"difference": "value", "difference_low": "low", "difference_high": "high"}
    drawn = others.drop(columns=list(renamed.values())).rename(columns=renamed).assign(metric=metric)
    of_seeds = ("difference_least", "difference_most") if (others["seeds"] > 1).all() else ()
    return forest(drawn, metric, row="variant", chance=0.0, of_seeds=of_seeds)


def in_words(comparison: pd.DataFrame) -> str:
    """Markdown: of each figure, the variants below and above the first beyond chance, with the ends of their seeds."""
    lines = []
    for name, part in comparison.groupby("figure", sort=False):
        certain = part[is_certain(part)]
        below, above = certain[certain["difference"] < 0], certain[certain["difference"] > 0]
        told = [
            f"{where} *{part['variant'].iloc[0]}* beyond chance: {', '.join(map(_with_seeds, chosen.itertuples()))}"
            for where, chosen in (("below", below), ("above", above))
            if len(chosen)
        ]
        nothing = (
            "no variant differs beyond chance" if part["p"].notna().any() else "not tested (one seed, or few patients)"
        )
        lines.append(f"- **{short_title(name)}**: {'; '.join(told) or nothing}.")
    return "\n".join(lines)


def _with_seeds(row: Any) -> str:
    """A variant's name; of several seeds, with the least and the most difference of one."""
    if row.seeds == 1:
        return row.variant
    ends = sorted((row.difference_least, row.difference_most), key=abs)
    span = " to ".join(f"{end:+.3f}" for end in ends).replace("-", "\u2212")
    return f"{row.variant} ({span})"
