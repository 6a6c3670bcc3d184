"""Charts of training and evaluation, each with its alternative text.

Drawn to be read at 700 px: 7 inches wide with letters of 8 points or more, colours that the colour-blind can tell
apart, and a white ground of their own, so that they stay legible on a dark page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medslip_core.metrics import auroc, has_interval, patient_bootstrap, patients_behind, reliability
from medslip_core.naming import LOSS_NAMES, METRIC_NAMES, readable
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES, PRESENT
from medslip_core.zero_shot import ClassPredictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_INCHES = 7.0
BLUE, ORANGE, GREEN, RED, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, "#ca9161", "#56b4e9", "#949494")
"""Seaborn's "colorblind" palette."""


class Described(NamedTuple):
    """A figure and the text that stands for it where it cannot be seen; a notebook shows one and keeps both."""

    figure: Figure
    alt: str

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        from IPython.core.pylabtools import print_figure

        return {"image/png": print_figure(self.figure, base64=True)}, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        return self.alt


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


SMOOTHING_ROWS = 10
"""Each point of a smoothed loss is the median of so many logged rows up to it."""


def loss_curves(history: pd.DataFrame) -> Described:
    """One panel per term of the loss, on a logarithmic scale: training (its median over its raw course) and validation.

    The median and not the mean: on a logarithmic scale the first, large values would hold a mean far above the course.

    Args:
        history: as `pretrain` returns it; columns step, split ("train" or "validate") and one per term.
    """
    train = history[history["split"] == "train"].sort_values("step")
    validate = history[history["split"] == "validate"].sort_values("step")
    changes = []
    with page_style() as plt:
        figure, axes = plt.subplots(2, 3, figsize=(WIDTH_INCHES, 4.0), sharex=True)
        for axis, (term, title) in zip(axes.flat, LOSS_NAMES.items(), strict=True):
            smooth = train[term].rolling(SMOOTHING_ROWS, min_periods=1).median()
            axis.plot(train["step"], train[term], color=BLUE, alpha=0.5, linewidth=0.8)
            axis.plot(train["step"], smooth, color=BLUE, label=f"training, median of the last {SMOOTHING_ROWS} rows")
            axis.plot(validate["step"], validate[term], color=ORANGE, marker="o", markersize=3, label="validation")
            axis.set_title(title)
            axis.margins(x=0.02)
            _logarithmic(axis.yaxis)
            _at_least_two_ticks(axis.yaxis)
            if len(smooth):
                changes.append(f"{title} from {smooth.iloc[0]:.2g} to {smooth.iloc[-1]:.2g}")
        figure.supxlabel("optimiser step", fontsize=9)
        figure.supylabel("loss", fontsize=9)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return described(
        figure,
        "Training and validation loss by term. Trailing median of training, first to last: " + "; ".join(changes) + ".",
    )


def _logarithmic(axis) -> None:
    """A logarithmic axis with plain numbers that do not touch, few for many decades and several for one."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 30 * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,.12g}")


def _at_least_two_ticks(axis) -> None:
    """A finer logarithmic scale where fewer than two numbers stand in view, as of a loss that hardly falls."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = axis.get_view_interval()
    for locator in (LogLocator(subs=(1, 2, 5)), LogLocator(subs=(1, 1.5, 2, 3, 5, 7)), MaxNLocator(3)):
        ticks = axis.get_majorticklocs()
        if np.count_nonzero((ticks >= low) & (ticks <= high)) >= 2:
            return
        axis.set_major_locator(locator)


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


def roc_curves(predictions: ClassPredictions, title: str, resamples: int = 1000, seed: int = 0) -> Described:
    """One ROC curve per class, its AUROC and 95 % interval over patients in the legend; `title` above all.

    The interval is left out where `metrics.has_interval` grants none. Classes whose known labels are all alike keep an
    empty panel that says so.
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
        for axis in axes.flat[max(0, len(predictions.classes) - columns) : len(predictions.classes)]:
            axis.tick_params(labelbottom=True)  # the lowest of each column, also where the last row is short
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
            patients = predictions.patients[known]
            area = patient_bootstrap(_auroc_of(truth, prob), patients, resamples, seed)
            known_well = has_interval("auroc", patients_behind("auroc", truth, patients))
            interval = f"\n[{area.low:.2f}, {area.high:.2f}]" if known_well else ""
            axis.plot(fall_out, recall, color=BLUE, label=f"AUROC {area.value:.2f}{interval}")
            axis.legend(loc="lower right", handlelength=0, handletextpad=0, borderpad=0.1)
            told.append(f"{readable(name)} {area.value:.2f}")
        figure.suptitle(title, fontsize=9, fontweight="bold")
        figure.supxlabel("false positive rate", fontsize=9)
        figure.supylabel("true positive rate", fontsize=9)
    return described(figure, f"ROC curves on {title}. AUROC: {', '.join(told)}.")


def _auroc_of(truth: np.ndarray, prob: np.ndarray):
    return lambda weight: auroc(truth, prob, weight)


def forest(
    table: pd.DataFrame,
    metric: str,
    row: str = "class",
    group: str | None = None,
    chance: float | None = None,
    columns: int = 1,
    of_seeds: Sequence[str] = (),
) -> Described:
    """Values with their intervals, one row per class or label, sorted; "macro" last.

    Args:
        table: tidy results with columns metric, value, low, high, `row` and, if given, `group`.
        metric: which metric to draw.
        row: column that names the rows, "class" or "label".
        group: column whose values are told apart by colour and shape, e.g. "method".
        chance: where to draw a line for chance.
        columns: panels side by side that share the rows, for many of them.
        of_seeds: columns of the table with values of single training seeds, drawn as open rings beside those.
    """
    chosen = table[(table["metric"] == metric) & table["value"].notna()]
    groups = list(dict.fromkeys(chosen[group])) if group else [None]
    leading = chosen if group is None else chosen[chosen[group] == groups[0]]
    ranked = leading[leading[row] != "macro"].sort_values("value", ascending=False)[row]
    others = [name for name in dict.fromkeys(chosen[row]) if name != "macro" and name not in set(ranked)]
    names = [*ranked, *others] + ["macro"] * ("macro" in set(chosen[row]))  # from top to bottom
    length = -(-len(names) // columns)
    only_mean = group and "macro" in names  # else the description would be longer than the page
    told = []
    with page_style() as plt:
        height = 0.9 + max(0.24, 0.13 * len(groups)) * length
        figure, axes = plt.subplots(1, columns, figsize=(WIDTH_INCHES, height), sharex=True, squeeze=False)
        for g, name in enumerate(groups):
            members = (chosen if group is None else chosen[chosen[group] == name]).set_index(row).reindex(names)
            value, low, high = (members[column].to_numpy(float) for column in ("value", "low", "high"))
            look = {"fmt": "osD^vPX*"[g % 8], "color": COLOURS[g % len(COLOURS)], "label": name and readable(name)}
            spread = np.stack([np.maximum(value - low, 0), np.maximum(high - value, 0)])
            for panel, axis in enumerate(axes[0]):
                here = slice(panel * length, (panel + 1) * length)
                y = np.arange(len(value[here])) + (g - (len(groups) - 1) / 2) * 0.8 / len(groups)
                axis.errorbar(value[here], y, xerr=spread[:, here], **look, markersize=4.5, linewidth=1.3)
                for column in of_seeds:
                    axis.plot(members[column].to_numpy(float)[here], y, "o", markerfacecolor="none", markersize=7,
                              markeredgewidth=0.8, color=look["color"])  # fmt: skip
            told += [f"{readable(n)}{f', {readable(name)}' if name else ''}: {v:.2f}"
                     for n, v in zip(names, value, strict=True) if n == "macro" or not only_mean]  # fmt: skip
        for panel, axis in enumerate(axes[0]):
            here = names[panel * length : (panel + 1) * length]
            axis.set_yticks(np.arange(len(here)), [readable(name) for name in here])
            axis.set_ylim(length - 0.3, -0.7)
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
            if chance is not None:
                axis.axvline(chance, color="0.6", linewidth=0.8, linestyle="--")
            if here[-1:] == ["macro"]:
                axis.axhline(len(here) - 1.5, color="0.3", linewidth=0.8)
        drawn = "95 % interval over patients"
        drawn = f"\n{drawn}; rings: least and most of a training seed" if of_seeds else f" ({drawn})"
        figure.supxlabel(METRIC_NAMES.get(metric, metric) + drawn, fontsize=9)
        if group:
            handles, labels = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(groups)))
    return described(figure, f"{METRIC_NAMES.get(metric, metric)} with 95 % intervals. {'; '.join(told)}.")


def reliability_diagram(
    predictions: Mapping[str, ClassPredictions], bins: int = 10, least_labels: int = 10
) -> Described:
    """Observed frequency against predicted probability, all classes pooled and each class thin; below, how many.

    Args:
        predictions: title -> predictions, one panel each, side by side.
        least_labels: a point stands for at least so many: the frequency of fewer says little.
    """
    told = []
    with page_style() as plt:
        columns = len(predictions)
        figure, axes = plt.subplots(
            2, columns, figsize=(min(WIDTH_INCHES, 3.5 * columns), 3.6 if columns > 1 else 4.6), sharex=True,
            sharey="row", squeeze=False, gridspec_kw={"height_ratios": [3, 1]},
        )  # fmt: skip
        for (title, one), (axis, counts) in zip(predictions.items(), axes.T, strict=True):
            axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle="--", label="perfect")
            of_classes = [reliability(*pair, bins) for pair in zip(one.labels.T, one.probabilities.T, strict=True)]
            pooled = reliability(one.labels.ravel(), one.probabilities.ravel(), bins)
            look = {"color": BLUE, "alpha": 0.5, "linewidth": 0.8}
            for curve in of_classes:
                enough = curve[curve["n"] >= least_labels].set_index("bin").reindex(range(bins))  # gaps stay gaps
                axis.plot(enough["probability"], enough["frequency"], **look, label="single class")
            enough = pooled[pooled["n"] >= least_labels].set_index("bin").reindex(range(bins))
            axis.plot(enough["probability"], enough["frequency"], color=ORANGE, marker="o", markersize=4, label="all")
            axis.set(title=fill(title, 24), xlim=(-0.04, 1.04), ylim=(-0.02, 1.02))
            axis.set(xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"])
            counts.bar((pooled["bin"] + 0.5) / bins, pooled["n"], width=0.9 / bins, color=ORANGE)
            points = enough[["probability", "frequency"]].dropna().to_numpy()
            told.append(f"{title}: " + ", ".join(f"{p:.2f} {f:.2f}" for p, f in points))
        axes[0, 0].set_ylabel("observed frequency")
        axes[1, 0].set_ylabel("labels (log scale)")
        axes[1, 0].set_ylim(bottom=0.7)  # so that a single label has a bar
        _logarithmic(axes[1, 0].yaxis)
        figure.supxlabel("predicted probability", fontsize=9)
        kinds = {label: line for line, label in zip(*axes[0, 0].get_legend_handles_labels(), strict=True)}
        figure.legend(kinds.values(), kinds.keys(), loc="outside upper center", ncols=3)
    return described(figure, f"Predicted probability and observed frequency, all classes pooled. {'; '.join(told)}.")


def _densest(counts: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, at most so many, that hold as much as can be had of each other, largest sums first.

    Counted among the shown only, a row whose partners are left out gives way to one that has something to show.
    """
    chosen_rows = np.arange(len(counts))
    while True:
        sums = counts[chosen_rows].sum(axis=0)
        chosen_columns = np.argsort(-sums, kind="stable")[: min(columns, np.count_nonzero(sums))]
        sums = counts[:, chosen_columns].sum(axis=1)
        found = np.argsort(-sums, kind="stable")[: min(rows, np.count_nonzero(sums))]
        if set(found) == set(chosen_rows):
            return found, chosen_columns
        chosen_rows = found


def label_cooccurrence(triplets: pd.DataFrame, anatomies: int = 20, pathologies: int = 25) -> Described:
    """How many studies state a pathology as present at an anatomy: the most frequent of both.

    Args:
        triplets: columns row, anatomy, pathology, state (indices into the vocabulary), as in a prepared corpus.
        anatomies, pathologies: how many to show at most.
    """
    from matplotlib.colors import LogNorm

    present = triplets[triplets["state"] == PRESENT].drop_duplicates(["row", "anatomy", "pathology"])
    counts = np.zeros((len(ANATOMIES), len(PATHOLOGIES)), np.int64)
    np.add.at(counts, (present["anatomy"].to_numpy(int), present["pathology"].to_numpy(int)), 1)
    rows, columns = _densest(counts, anatomies, pathologies)
    shown = counts[np.ix_(rows, columns)]
    with page_style() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH_INCHES, 1.4 + 0.2 * max(len(rows), 1)))
        norm = LogNorm(0.5, max(2, shown.max(initial=2)))  # so that a single study is not white
        image = axis.imshow(np.ma.masked_equal(shown, 0), cmap="Blues", norm=norm, aspect="auto")
        axis.set_xticks(range(len(columns)), [readable(PATHOLOGIES[i]) for i in columns], rotation=90)
        axis.set_yticks(range(len(rows)), [readable(ANATOMIES[i]) for i in rows])
        axis.spines[:].set_visible(False)
        axis.set_title(f"the {len(columns)} pathologies and {len(rows)} anatomies with the most studies in common")
        figure.colorbar(image, label="studies", pad=0.01, aspect=30, format="%d", ticks=[1, 10, 100, 1000, 10000])
    top = [divmod(i, len(PATHOLOGIES)) for i in np.argsort(-counts, axis=None, kind="stable")[:5] if counts.flat[i]]
    pairs = [f"{PATHOLOGIES[p]} at {readable(ANATOMIES[a])} ({counts[a, p]})" for a, p in top]
    return described(figure, f"Studies by pathology (columns) and anatomy (rows). Most frequent: {', '.join(pairs)}.")


def labels_together(present: np.ndarray, classes: Sequence[str], name: str) -> Described:
    """How many images have two labels at once; beside a label's name stands how many have it at all.

    Args:
        present: [n, C] bool, whether an image has a label.
        classes: the C labels.
        name: of the images, for the description.
    """
    import seaborn as sns

    together = present.T.astype(int) @ present.astype(int)
    own = together.diagonal().copy()
    np.fill_diagonal(together, 0)
    words = [readable(name) for name in classes]
    with page_style() as plt:
        figure, axis = plt.subplots(figsize=(WIDTH_INCHES, 5.4))
        sns.heatmap(
            together, annot=True, fmt="d", mask=together == 0, cmap="Blues", vmin=0, vmax=max(1, together.max()),
            square=True, cbar=False, annot_kws={"size": 8}, ax=axis, xticklabels=words,
            yticklabels=[f"{word} ({count:,})" for word, count in zip(words, own, strict=True)],
        )  # fmt: skip
    return described(
        figure,
        f"Images of {name} with two different labels together, for each pair of labels; darker is more often.",
    )


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
