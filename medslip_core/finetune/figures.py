"""Figures of fine-tuning: learning curves over label fractions, predicted masks beside the truth.

Each comes with its alternative text, and is drawn in the style of `medslip_core.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medslip_core.figures import COLOURS, WIDTH_INCHES, Described, described, page_style
from medslip_core.finetune.results import Run, mask_scores
from medslip_core.finetune.segmenter import Masks
from medslip_core.grounding.scores import example_cases
from medslip_core.image_figures import outline, show_image
from medslip_core.naming import METRIC_NAMES, readable


def learning_curves(
    summary: pd.DataFrame, metric: str, chance: float | None = None, zero_shot: pd.DataFrame | None = None
) -> Described:
    """A metric over the fraction of labels, one panel per protocol, one line per kind of initial weights.

    Args:
        summary: of one task, as `compare.over_seeds` returns it.
        metric: which metric.
        chance: where to draw a line for chance.
        zero_shot: like `summary`, of weights that answered without a label: a horizontal line in their colour.

    Points are means over seeds with their 95 % interval over test patients; small points are single seeds' extremes.
    """
    chosen = summary[summary["metric"] == metric]
    protocols, weights = list(dict.fromkeys(chosen["protocol"])), list(dict.fromkeys(chosen["weights"]))
    fractions = sorted(chosen["fraction"].unique())
    told = []
    unlearned = summary.iloc[:0] if zero_shot is None else zero_shot
    unlearned = unlearned[(unlearned["metric"] == metric) & unlearned["task"].isin(chosen["task"])]
    with page_style() as plt:
        figure, axes = plt.subplots(
            1, len(protocols), figsize=(WIDTH_INCHES if len(protocols) > 1 else 4.2, 2.9), sharey=True, squeeze=False
        )
        for axis, protocol in zip(axes[0], protocols, strict=True):
            if chance is not None:
                axis.axhline(chance, color="0.6", linewidth=0.8, linestyle="--")
            for w, name in enumerate(weights):
                line = chosen[(chosen["protocol"] == protocol) & (chosen["weights"] == name)].sort_values("fraction")
                x = np.log10(line["fraction"]) + 0.03 * (w - (len(weights) - 1) / 2)  # beside each other
                value = line["value"].to_numpy(float)
                spread = [value - line["low"].to_numpy(float), line["high"].to_numpy(float) - value]
                axis.errorbar(x, value, yerr=np.maximum(spread, 0), marker="osD^vPX*"[w % 8], markersize=4.5,
                              linewidth=1.3, color=COLOURS[w % len(COLOURS)], label=readable(name))  # fmt: skip
                for end in ("least", "most"):
                    axis.plot(x, line[end], ".", color=COLOURS[w % len(COLOURS)], alpha=0.5, markersize=3)
                points = [f"{f:.0%} {v:.2f}" for f, v in zip(line["fraction"], value, strict=True)]
                told.append(f"{protocol}, {readable(name)}: {', '.join(points)}")
            for one in unlearned.itertuples():
                colour = COLOURS[
                    (weights.index(one.weights) if one.weights in weights else len(weights)) % len(COLOURS)
                ]
                axis.axhspan(one.low, one.high, color=colour, alpha=0.15, linewidth=0)
                axis.axhline(one.value, color=colour, linewidth=1.1, linestyle=(0, (5, 2)),
                             label=f"{readable(one.weights)}, no label")  # fmt: skip
            axis.set_title(protocol)
            axis.set_xticks(np.log10(fractions), [f"{100 * fraction:g} %" for fraction in fractions])
            axis.grid(axis="y", color="0.9")
            axis.set_axisbelow(True)
        axes[0, 0].set_ylabel(METRIC_NAMES.get(metric, metric))
        figure.supxlabel("labels used", fontsize=9)
        named = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True))
        named = {**{readable(name): named[readable(name)] for name in weights}, **named}  # weights before dashed lines
        figure.legend(named.values(), named, loc="outside upper center", ncols=min(len(named), 2 + len(protocols)))
    told += [f"{readable(one.weights)}, no label: {one.value:.2f}" for one in unlearned.itertuples()]
    return described(figure, f"{METRIC_NAMES.get(metric, metric)} by share of labels. {'; '.join(told)}.")


@dataclass(frozen=True)
class MaskCase:
    """One image of a mask figure: [S, S] uint8, its truth [S, S] bool, and per method a predicted mask and its Dice."""

    title: str
    image: np.ndarray
    truth: np.ndarray
    predicted: Mapping[str, np.ndarray]
    dice: Mapping[str, float]


def mask_cases(corpus, masks: Masks, runs: Mapping[str, Run]) -> list[MaskCase]:
    """Three cases, from good to bad: at 95 %, 50 % and 5 % of the order of the first run's Dice over positives.

    Args:
        corpus: of the task; masks: its truth; runs: name -> run on the same test images.
    """
    scores = {name: mask_scores(run) for name, run in runs.items()}
    first = next(iter(scores.values())).table
    positives = first[first["positive"]]
    if len(positives) == 0:
        return []
    cases = []
    for one in example_cases(positives, "dice_positives").drop_duplicates("row").itertuples():
        place = {name: int(np.flatnonzero(score.table["row"] == one.row)[0]) for name, score in scores.items()}
        predicted = {
            name: np.unpackbits(score.masks[place[name]], axis=-1, count=masks.size_px).astype(bool)
            for name, score in scores.items()
        }
        dice = {name: float(score.table["dice_positives"].iloc[place[name]]) for name, score in scores.items()}
        cases.append(MaskCase(one.case, corpus.images[one.row], masks[[one.row]][0], predicted, dice))
    return cases


def mask_panel(cases: Sequence[MaskCase]) -> Described:
    """The image and one predicted mask per method, the truth outlined; one row per case."""
    methods = list(cases[0].predicted)
    columns = 1 + len(methods)
    cell = min(WIDTH_INCHES / columns, 1.9)
    told = []
    with page_style() as plt:
        figure, axes = plt.subplots(
            len(cases), columns, figsize=(columns * cell, len(cases) * (cell + 0.3)), squeeze=False
        )
        for row, case in zip(axes, cases, strict=True):
            for axis in row:
                show_image(axis, case.image)
            row[0].set_title(case.title, fontsize=8)
            for axis, method in zip(row[1:], methods, strict=True):
                shown = np.ma.masked_equal(case.predicted[method].astype(float), 0)
                axis.imshow(shown, cmap="autumn", vmin=0, vmax=1, alpha=0.5, interpolation="nearest")
                axis.set_title(f"{readable(method)}, Dice {case.dice[method]:.2f}", fontsize=8)
                told.append(f"{case.title}, {readable(method)}: Dice {case.dice[method]:.2f}")
                outline(axis, case.truth)
    return described(figure, f"Predicted masks with the truth outlined. {'; '.join(told)}.")
