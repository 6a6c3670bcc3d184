"""Charts of training and evaluation. Each function returns the figure and its alternative text.

Drawn to be read at 700 px: 7 inches wide with letters of 8 points or more, colours that the colour-blind can tell
apart, and a white ground of their own, so that they stay legible on a dark page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medslip_core.metrics import auroc, patient_bootstrap, reliability
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES, PRESENT
from medslip_core.zero_shot import ClassPredictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES = 7.0
BLUE, ORANGE, GREEN, RED, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, "#ca9161", "#56b4e9", "#949494")
"""Seaborn's "colorblind" palette."""


class Described(NamedTuple):
    """A figure and the text that stands for it where it cannot be seen."""

    figure: Figure
    alt: str


@contextmanager
def page_style():
    """Matplotlib as all figures of the book want it; restores what was set before."""
    import matplotlib.pyplot as plt

    style = {
        "figure.dpi": 160, "savefig.dpi": 160, "figure.facecolor": "white", "savefig.facecolor": "white",
        "axes.facecolor": "white", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": 8,
        "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False, "axes.spines.top": False,
        "axes.spines.right": False, "lines.linewidth": 1.5, "text.color": "black", "axes.labelcolor": "black",
        "figure.constrained_layout.use": True,
    }  # fmt: skip
    with plt.rc_context({**style, "axes.prop_cycle": plt.cycler(color=COLOURS)}):
        yield plt


def described(figure: Figure, alt: str) -> Described:
    """Hand a figure over; closed, so that a notebook shows it where the page says, and only once."""
    import matplotlib.pyplot as plt

    plt.close(figure)
    return Described(figure, alt)


def readable(name: str) -> str:
    """A name of the vocabulary or of a table as words: "left_costophrenic" -> "left costophrenic"."""
    return name.replace("_", " ")


METRIC_NAMES = {
    "auroc": "AUROC", "average_precision": "average precision", "f1": "F1", "ece": "ECE", "brier": "Brier score",
    "pointing_game": "pointing game", "pointing_near": "pointing within 3 %", "iou": "IoU", "dice": "Dice",
    "cnr": "contrast-to-noise ratio",
}  # fmt: skip


def loss_curves(history: pd.DataFrame, smoothing_steps: int = 25) -> Described:
    """One panel per term of the loss: training (smoothed over its raw course) and validation.

    Args:
        history: as `pretrain` returns it; columns step, split ("train" or "validate") and one per term.
        smoothing_steps: logged training rows averaged together.
    """
    terms = {
        "total": "total", "existence_pathology": "existence, pathology", "existence_anatomy": "existence, anatomy",
        "icl": "ICL", "protocl_pathology": "ProtoCL, pathology", "protocl_anatomy": "ProtoCL, anatomy",
    }  # fmt: skip
    train = history[history["split"] == "train"].sort_values("step")
    validate = history[history["split"] == "validate"].sort_values("step")
    changes = []
    with page_style() as plt:
        figure, axes = plt.subplots(2, 3, figsize=(WIDTH_INCHES, 4.0), sharex=True)
        for axis, (term, title) in zip(axes.flat, terms.items(), strict=True):
            smooth = train[term].rolling(smoothing_steps, min_periods=1, center=True).mean()
            axis.plot(train["step"], train[term], color=BLUE, alpha=0.25, linewidth=0.8)
            axis.plot(train["step"], smooth, color=BLUE, label="training")
            axis.plot(validate["step"], validate[term], color=ORANGE, marker="o", markersize=3, label="validation")
            axis.set_title(title)
            axis.margins(x=0.02)
            if len(smooth):
                changes.append(f"{title} from {smooth.iloc[0]:.2f} to {smooth.iloc[-1]:.2f}")
        figure.supxlabel("optimiser step", fontsize=9)
        figure.supylabel("loss", fontsize=9)
        axes[0, 0].legend()
    return described(
        figure, "Training and validation loss by term. Training, first to last: " + "; ".join(changes) + "."
    )


def book_similarity(books: Mapping[str, Tensor], names: Sequence[str]) -> Described:
    """Cosine between the rows of text books, one panel per book.

    Args:
        books: title -> [n, T] embeddings; names: n names of the rows.
    """
    import seaborn as sns

    words = [readable(name) for name in names]
    with page_style() as plt:
        figure, axes = plt.subplots(1, len(books), figsize=(WIDTH_INCHES, 4.2), sharey=True, squeeze=False)
        for axis, (title, book) in zip(axes[0], books.items(), strict=True):
            unit = torch.nn.functional.normalize(book, dim=1)
            sns.heatmap((unit @ unit.T).cpu().numpy(), ax=axis, vmin=-1, vmax=1, cmap="RdBu_r", square=True,
                        xticklabels=words, yticklabels=words, cbar_kws={"shrink": 0.5, "location": "top"})  # fmt: skip
            axis.set_title(title)
    return described(figure, f"Cosine similarity between the text embeddings of {', '.join(words)}.")


def roc_curves(predictions: ClassPredictions, resamples: int = 1000, seed: int = 0) -> Described:
    """One ROC curve per class, its AUROC and 95 % interval over patients in the legend.

    Classes whose known labels are all alike keep an empty panel that says so.
    """
    from sklearn.metrics import roc_curve

    columns = min(4, len(predictions.classes))
    rows = -(-len(predictions.classes) // columns)
    told = []
    with page_style() as plt:
        width = WIDTH_INCHES if columns > 2 else 3.5 * columns
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, rows * width / columns * 1.12), sharex=True, sharey=True, squeeze=False
        )
        for axis in axes.flat[len(predictions.classes) :]:
            axis.set_visible(False)
        for c, name in enumerate(predictions.classes):
            axis = axes.flat[c]
            axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--")
            axis.set(title=readable(name), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
            axis.set(xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"], yticks=[0, 0.5, 1], yticklabels=["0", ".5", "1"])
            known = ~np.isnan(predictions.labels[:, c])
            truth, prob = predictions.labels[known, c], predictions.probabilities[known, c]
            if len(np.unique(truth)) < 2:
                axis.text(0.5, 0.25, "one label only", ha="center", fontsize=8)
                continue
            fall_out, recall, _ = roc_curve(truth, prob)
            area = patient_bootstrap(_auroc_of(truth, prob), predictions.patients[known], resamples, seed)
            axis.plot(fall_out, recall, color=BLUE, label=f"AUROC {area.value:.2f}\n[{area.low:.2f}, {area.high:.2f}]")
            axis.legend(loc="lower right", handlelength=0, handletextpad=0, borderpad=0.1)
            told.append(f"{readable(name)} {area.value:.2f}")
        figure.supxlabel("false positive rate", fontsize=9)
        figure.supylabel("true positive rate", fontsize=9)
    return described(figure, f"ROC curves on {predictions.dataset}. AUROC: {', '.join(told)}.")


def _auroc_of(truth: np.ndarray, prob: np.ndarray):
    return lambda weight: auroc(truth, prob, weight)


def forest(
    table: pd.DataFrame, metric: str, row: str = "class", group: str | None = None, chance: float | None = None
) -> Described:
    """Values with their intervals, one row per class or label, sorted; "macro" last.

    Args:
        table: tidy results with columns metric, value, low, high, `row` and, if given, `group`.
        metric: which metric to draw.
        row: column that names the rows, "class" or "label".
        group: column whose values are told apart by colour and shape, e.g. "method".
        chance: where to draw a line for chance.
    """
    chosen = table[(table["metric"] == metric) & table["value"].notna()]
    groups = list(dict.fromkeys(chosen[group])) if group else [None]
    leading = chosen if group is None else chosen[chosen[group] == groups[0]]
    ranked = leading[leading[row] != "macro"].sort_values("value")[row]
    others = [name for name in dict.fromkeys(chosen[row]) if name != "macro" and name not in set(ranked)]
    names = (["macro"] if "macro" in set(chosen[row]) else []) + others + list(ranked)
    told = []
    with page_style() as plt:
        height = 0.9 + max(0.24, 0.13 * len(groups)) * len(names)
        figure, axis = plt.subplots(figsize=(WIDTH_INCHES, height))
        if chance is not None:
            axis.axvline(chance, color="0.6", linewidth=0.8, linestyle="--")
        for g, name in enumerate(groups):
            members = (chosen if group is None else chosen[chosen[group] == name]).set_index(row).reindex(names)
            y = np.arange(len(names)) - (g - (len(groups) - 1) / 2) * 0.8 / len(groups)
            value, low, high = (members[column].to_numpy(float) for column in ("value", "low", "high"))
            spread = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
            axis.errorbar(value, y, xerr=spread, fmt="osD^vPX*"[g % 8], markersize=4.5, linewidth=1.3,
                          color=COLOURS[g % len(COLOURS)], label=name and readable(name))  # fmt: skip
            told += [f"{readable(n)}{f', {readable(name)}' if name else ''}: {v:.2f}"
                     for n, v in zip(names, value, strict=True) if n == "macro" or not group]  # fmt: skip
        axis.set_yticks(np.arange(len(names)), [readable(name) for name in names])
        axis.set_ylim(-0.7, len(names) - 0.3)
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
        if names[0] == "macro":
            axis.axhline(0.5, color="0.3", linewidth=0.8)
        axis.set_xlabel(f"{METRIC_NAMES.get(metric, metric)} (95 % interval over patients)")
        if group:
            figure.legend(loc="outside upper center", ncols=min(4, len(groups)))
    return described(figure, f"{METRIC_NAMES.get(metric, metric)} with 95 % intervals. {'; '.join(told)}.")


def reliability_diagram(predictions: ClassPredictions, bins: int = 10) -> Described:
    """Observed frequency against predicted probability, all classes pooled and each class thin; below, how many."""
    with page_style() as plt:
        figure, (axis, counts) = plt.subplots(
            2, 1, figsize=(4.2, 4.6), sharex=True, gridspec_kw={"height_ratios": [3, 1]}
        )
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--", label="perfect")
        for c in range(len(predictions.classes)):
            one = reliability(predictions.labels[:, c], predictions.probabilities[:, c], bins)
            label = "single class" if c == 0 else None
            axis.plot(one["probability"], one["frequency"], color=BLUE, alpha=0.25, linewidth=0.8, label=label)
        pooled = reliability(predictions.labels.ravel(), predictions.probabilities.ravel(), bins)
        axis.plot(pooled["probability"], pooled["frequency"], color=ORANGE, marker="o", markersize=4, label="all")
        axis.set(ylabel="observed frequency", xlim=(0, 1), ylim=(-0.02, 1.02))
        axis.legend(loc="upper left")
        counts.bar((pooled["bin"] + 0.5) / bins, pooled["n"], width=0.9 / bins, color=ORANGE)
        counts.set(xlabel="predicted probability", ylabel="labels", yscale="log")
    points = ", ".join(f"{p:.2f}: {f:.2f}" for p, f in zip(pooled["probability"], pooled["frequency"], strict=True))
    return described(figure, f"Predicted probability against observed frequency on {predictions.dataset}: {points}.")


def label_cooccurrence(triplets: pd.DataFrame, anatomies: int = 20, pathologies: int = 25) -> Described:
    """How many studies state a pathology as present at an anatomy: the most frequent of both.

    Args:
        triplets: columns row, anatomy, pathology, state (indices into the vocabulary), as in a prepared corpus.
        anatomies, pathologies: how many to show.
    """
    from matplotlib.colors import LogNorm

    present = triplets[triplets["state"] == PRESENT].drop_duplicates(["row", "anatomy", "pathology"])
    counts = np.zeros((len(ANATOMIES), len(PATHOLOGIES)), np.int64)
    np.add.at(counts, (present["anatomy"].to_numpy(int), present["pathology"].to_numpy(int)), 1)
    rows = [i for i in np.argsort(-counts.sum(axis=1), kind="stable")[:anatomies] if counts[i].any()]
    columns = [i for i in np.argsort(-counts.sum(axis=0), kind="stable")[:pathologies] if counts[:, i].any()]
    shown = counts[np.ix_(rows, columns)]
    with page_style() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH_INCHES, 1.4 + 0.2 * max(len(rows), 1)))
        norm = LogNorm(0.5, max(2, shown.max(initial=2)))  # so that a single study is not white
        image = axis.imshow(np.ma.masked_equal(shown, 0), cmap="Blues", norm=norm, aspect="auto")
        axis.set_xticks(range(len(columns)), [readable(PATHOLOGIES[i]) for i in columns], rotation=90)
        axis.set_yticks(range(len(rows)), [readable(ANATOMIES[i]) for i in rows])
        axis.spines[:].set_visible(False)
        figure.colorbar(image, label="studies", pad=0.01, aspect=30, format="%d", ticks=[1, 10, 100, 1000, 10000])
    top = np.argsort(-counts, axis=None, kind="stable")[:5]
    pairs = [f"{PATHOLOGIES[i % len(PATHOLOGIES)]} at {readable(ANATOMIES[i // len(PATHOLOGIES)])} "
             f"({counts.flat[i]})" for i in top if counts.flat[i]]  # fmt: skip
    return described(figure, f"Studies by pathology (columns) and anatomy (rows). Most frequent: {', '.join(pairs)}.")


def counts_by_split(manifest: pd.DataFrame, classes: Sequence[str]) -> Described:
    """Share of positives per class in each split of a prepared corpus."""
    splits = [split for split in ("train", "validate", "test") if (manifest["split"] == split).any()]
    with page_style() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH_INCHES, 0.8 + 0.3 * len(classes)))
        told = []
        for s, split in enumerate(splits):
            labels = manifest.loc[manifest["split"] == split, [f"label:{name}" for name in classes]]
            share = 100 * labels.mean().to_numpy(float)
            y = np.arange(len(classes)) + (s - (len(splits) - 1) / 2) * 0.8 / len(splits)
            axis.barh(y, share, height=0.8 / len(splits), color=COLOURS[s], label=f"{split} (n = {len(labels)})")
            told.append(f"{split} {np.nanmean(share):.0f} %")
        axis.set_yticks(range(len(classes)), [readable(name) for name in classes])
        axis.invert_yaxis()
        axis.set_xlabel("positive, % of known labels")
        axis.legend()
    return described(figure, f"Share of positive labels per class and split; mean over classes: {', '.join(told)}.")
