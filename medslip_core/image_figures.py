"""Figures made of radiographs: contact sheets, augmented views, and where the model looks beside where it should.

Each comes with its alternative text, and is drawn in the style of `medslip_core.figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

import numpy as np
import pandas as pd

from medslip_core.figures import WIDTH_INCHES, Described, described, page_style
from medslip_core.grounding.maps import stretched
from medslip_core.grounding.scores import example_cases, pointing_game
from medslip_core.grounding.truth import Truth, widened
from medslip_core.naming import readable

HEAT = "inferno"
TRUTH_COLOUR = "#56b4e9"
"""Light blue: stands out on grey and on every colour of the heat map, for the colour-blind too."""
CALLED_COLOUR = "white"
"""Of the part of a map that is compared with the truth; dashed, so that it is told from the truth in grey print."""
AROUND = 0.012
"""How far outside of a small finding its outline runs, as a share of the image's side."""
HIT_COLOUR, MISS_COLOUR = "#00694b", "#9c3f00"


@dataclass(frozen=True)
class GroundingCase:
    """One image of a grounding figure.

    title: what is asked for, and of which image; image: [S, S] uint8; truth: [S, S] bool;
    maps: name of the method -> [h, w]; captions: name of the method -> e.g. "hit, IoU 0.52"; thresholds: name of the
    method -> where its normalised map was cut for the IoU, only where it was.
    """

    title: str
    image: np.ndarray
    truth: np.ndarray
    maps: Mapping[str, np.ndarray]
    captions: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


def show_image(axis, image: np.ndarray) -> None:
    """A grey image without axes; uint8 [S, S] or float in [0, 1]."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, interpolation="antialiased")
    axis.set_axis_off()


def outline(axis, mask: np.ndarray, colour: str = TRUTH_COLOUR, style: str = "solid") -> None:
    """The border of a mask: dark beneath light, to be seen on any ground; also where it meets the image's edge."""
    padded = np.pad(mask, 1).astype(float)
    at = np.arange(-1, mask.shape[0] + 1)
    for width, shade in ((2.0, "black"), (1.0, colour)):
        axis.contour(at, at, padded, levels=[0.5], colors=[shade], linewidths=[width], linestyles=[style])
    axis.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))


def _heat(axis, image: np.ndarray, heat: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """A map [h, w] over an image, a ring round its maximum, dashed where it is cut; returns it as [S, S] in [0, 1].

    Opacity and colour follow the square root of the heat: an attention map is a peak of one cell and little beside
    it, of which a linear scale shows nothing. The ring is hollow, so that what it marks stays to be seen.
    """
    show_image(axis, image)
    large = stretched(heat, image.shape[-1])
    strength = np.sqrt(large)
    axis.imshow(strength, cmap=HEAT, vmin=-0.3, vmax=1, alpha=0.75 * strength)
    if threshold is not None:
        outline(axis, large >= threshold, CALLED_COLOUR, "dashed")
    top, left = np.argwhere(large >= large.max() - 1e-6).mean(axis=0)
    for width, colour in ((2.4, "black"), (1.1, "white")):  # above any outline, whole at the edge of the image
        look = {"markerfacecolor": "none", "markersize": 7, "markeredgewidth": width, "color": colour}
        axis.plot(left, top, marker="o", zorder=5, clip_on=False, **look)
    return large


def contact_sheet(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    columns: int = 5,
    masks: Sequence[np.ndarray | None] | None = None,
) -> Described:
    """Images side by side with short titles.

    Args:
        images: n of [S, S] uint8 or float in [0, 1]; titles: n; masks: n of [S, S] bool to be outlined, None for an
            image without, drawn a little outside of what they hold, so that it stays to be seen.
    """
    rows = -(-len(images) // columns)
    cell = WIDTH_INCHES / columns
    characters = int(cell * 15)
    lines = ["\n".join(wrap(title, characters)) for title in titles]
    title_inches = 0.16 * max(text.count("\n") + 1 for text in lines) if lines else 0
    with page_style() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH_INCHES, rows * (cell + title_inches)), squeeze=False)
        for axis in axes.flat[len(images) :]:
            axis.set_visible(False)
        for axis, image, text, mask in zip(axes.flat, images, lines, masks or [None] * len(images), strict=False):
            show_image(axis, np.asarray(image))
            if mask is not None and mask.any():
                outline(axis, widened(mask[None], AROUND * mask.shape[-1])[0])
            axis.set_title(text, fontsize=8)
    return described(figure, f"{len(images)} radiographs: {'; '.join(titles)}.")


def outlines(image: np.ndarray, masks: Mapping[str, np.ndarray]) -> Described:
    """The same image again and again, each time with another mask outlined.

    Args:
        image: [S, S] uint8; masks: name -> [S, S] bool.
    """
    columns = 5
    rows = -(-len(masks) // columns)
    cell = WIDTH_INCHES / columns
    with page_style() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH_INCHES, rows * (cell + 0.22)), squeeze=False)
        for axis in axes.flat[len(masks) :]:
            axis.set_visible(False)
        for axis, (name, mask) in zip(axes.flat, masks.items(), strict=False):
            show_image(axis, image)
            outline(axis, mask)
            axis.set_title(readable(name), fontsize=8)
    return described(figure, f"One radiograph with the outlines of {', '.join(readable(name) for name in masks)}.")


def augmented_batch(images: Sequence[np.ndarray], triplets: Sequence[Sequence[str]], columns: int = 4) -> Described:
    """Augmented images, and below each the triplets that it is trained with.

    Args:
        images: n of [s, s], float in [0, 1] or uint8; triplets: for each, texts such as "effusion · left pleural".
    """
    rows = -(-len(images) // columns)
    cell = WIDTH_INCHES / columns
    texts = [_first_triplets(said, int(cell * 14.5)) for said in triplets]
    text_inches = 0.15 * max((text.count("\n") + 1 for text in texts), default=0) + 0.05
    with page_style() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH_INCHES, rows * (cell + text_inches)), squeeze=False)
        for axis in axes.flat[len(images) :]:
            axis.set_visible(False)
        for axis, image, text in zip(axes.flat, images, texts, strict=False):
            show_image(axis, np.asarray(image))
            axis.set_anchor("N")
            axis.text(0, -0.03, text or "nothing stated", transform=axis.transAxes, va="top", fontsize=8)
    told = "; ".join(", ".join(said[:3]) or "nothing stated" for said in triplets)
    return described(figure, f"{len(images)} augmented training images with their triplets: {told}.")


def _first_triplets(said: Sequence[str], characters: int, most_lines: int = 6) -> str:
    """As many whole triplets as fit, and how many more there are."""
    lines, shown = [], 0
    for text in said:
        new = wrap(text, characters, subsequent_indent="   ")
        last = shown + 1 == len(said)
        if len(lines) + len(new) > most_lines - (not last):  # a line stays free for the count of the others
            break
        lines += new
        shown += 1
    return "\n".join([*lines, *([f"and {len(said) - shown} more"] if shown < len(said) else [])])


def grounding_panel(cases: Sequence[GroundingCase]) -> Described:
    """The image and one heat map per method, one row per case; a key says what the lines and the ring are.

    Args:
        cases: all with the same methods.
    """
    methods = list(cases[0].maps)
    columns = 1 + len(methods)
    cell = WIDTH_INCHES / columns
    told = []
    with page_style() as plt:
        figure = plt.figure(figsize=(WIDTH_INCHES, len(cases) * (cell + 0.52) + 0.25))
        _key(figure, any(case.thresholds for case in cases))
        rows = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
        for row, case in zip(rows, cases, strict=True):
            row.suptitle(case.title, fontsize=9, fontweight="bold", x=0.01, ha="left")
            axes = row.subplots(1, columns)
            show_image(axes[0], case.image)
            axes[0].set_title("image", fontsize=8)
            for axis, method in zip(axes[1:], methods, strict=True):
                _heat(axis, case.image, case.maps[method], case.thresholds.get(method))
                outline(axis, case.truth)
                caption = case.captions.get(method)
                axis.set_title(readable(method) + (f"\n{caption}" if caption else ""), fontsize=8)
                told.append(f"{case.title}, {readable(method)}: {caption or 'not scored'}")
    return described(figure, f"Heat maps with the truth outlined and the maximum ringed. {'; '.join(told)}.")


def _key(figure, cut: bool) -> None:
    """What truth, cut and maximum look like, above the figure; dark beneath light as they are drawn."""
    from matplotlib.lines import Line2D

    def drawn(colour: str, **look) -> tuple[Line2D, Line2D]:
        look = {"linestyle": "none", **look}
        return tuple(
            Line2D([], [], color=shade, linewidth=width, markeredgewidth=width, markerfacecolor="none", **look)
            for width, shade in ((2.4, "black"), (1.1, colour))
        )

    lines = {"truth": drawn(TRUTH_COLOUR, linestyle="solid"), "maximum": drawn("white", marker="o", markersize=7)}
    if cut:
        lines["above the threshold of the IoU"] = drawn(CALLED_COLOUR, linestyle="dashed")
    figure.legend(lines.values(), lines.keys(), loc="outside upper right", ncols=len(lines))


def grounding_cases(
    corpus,
    truth: Truth,
    scores: pd.DataFrame,
    maps_of: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    methods: Sequence[str],
) -> list[GroundingCase]:
    """Three cases of one label, at 95 %, 50 % and 5 % of all of them in order, for `grounding_panel`.

    Named by these quantiles: where a label is easy, the case at 5 % may be a hit too.

    Args:
        truth: where the label is; scores: of `truth`'s rows, all methods; the first method ranks them: by whether it
            points to the truth, or beside it, and then by IoU, or contrast-to-noise ratio where no threshold is known.
        maps_of: rows [n] -> method -> maps [n, h, w]; methods: which of them to show.
    """
    leading = scores[scores["method"] == scores["method"].iloc[0]]
    overlap = "iou" if leading["iou"].notna().any() else "cnr"
    examples = example_cases(leading, "pointing_game", "pointing_near", overlap).drop_duplicates("row")
    rows, of_row = examples["row"].to_numpy(), scores.set_index(["method", "row"])
    found, place = maps_of(rows), {row: i for i, row in enumerate(truth.rows)}
    cases = []
    for i, (row, case) in enumerate(zip(rows, examples["case"], strict=True)):
        maps = {method: found[method][i] for method in methods}
        captions = {method: _caption(of_row.loc[(method, row)]) for method in methods}
        cuts = {method: float(of_row.loc[(method, row), "threshold"]) for method in methods}
        cuts = {method: cut for method, cut in cuts.items() if not np.isnan(cut)}
        title = f"{case}: {readable(truth.label)}"
        cases.append(GroundingCase(title, corpus.images[row], truth.masks[place[row]], maps, captions, cuts))
    return cases


def _caption(scores: pd.Series) -> str:
    hit = "hit" if scores["pointing_game"] >= 0.5 else "near" if scores["pointing_near"] >= 0.5 else "miss"
    return hit if np.isnan(scores["iou"]) else f"{hit}, IoU {scores['iou']:.2f}"


def anatomy_maps(
    image: np.ndarray, maps: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], columns: int = 5
) -> Described:
    """Where the model looks for each anatomy in one image: a ring at the maximum (✓ it hits, ✗ it misses).

    Args:
        image: [S, S] uint8; maps: anatomy -> [h, w]; truth: anatomy -> [S, S] bool, may lack some.
    """
    rows = -(-len(maps) // columns)
    cell = WIDTH_INCHES / columns
    told = []
    with page_style() as plt:
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH_INCHES, rows * (cell + 0.22)), squeeze=False)
        for axis in axes.flat[len(maps) :]:
            axis.set_visible(False)
        for axis, (anatomy, heat) in zip(axes.flat, maps.items(), strict=False):
            large = _heat(axis, image, heat)
            mark, colour = "", "black"
            if anatomy in truth and truth[anatomy].any():
                outline(axis, truth[anatomy])
                hit = pointing_game(large, truth[anatomy]) >= 0.5
                mark, colour = (" ✓", HIT_COLOUR) if hit else (" ✗", MISS_COLOUR)
                told.append(f"{readable(anatomy)} {'hit' if hit else 'missed'}")
            axis.set_title(readable(anatomy) + mark, fontsize=8, color=colour)
    return described(figure, f"Heat maps of {len(maps)} anatomies on one radiograph, maxima ringed: {', '.join(told)}.")
