"""Zero-shot grounding: where the model looks when asked for a pathology or an anatomy, scored against boxes or masks.

Maps are [n, h, w], one per image, and always come with the truth of the same rows. Unlike the published code, which
divides by the maximum of a batch, each map is normalised by itself, and thresholds come from validation rows.

Source: paper arXiv 2403.10635, zero-shot grounding; Zhang et al., "Top-down Neural Attention by Excitation Backprop",
2016 (pointing game); Boecking et al., "Making the Most of Text Semantics", 2022 (contrast-to-noise ratio).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from medslip_core.gradcam import gradcam_maps
from medslip_core.inference import batches
from medslip_core.metrics import mean_over_classes, patient_bootstrap, weighted_mean
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, DATASET_CLASSES, PATHOLOGY_INDEX, PRESENT
from medslip_core.zero_shot import check_apart

SCORES = ("pointing_game", "pointing_near", "iou", "dice", "cnr")
NEAR = 0.03
"""How far beside the truth `pointing_near` still counts, as a share of the image's side: the 15 px that Zhang et al.
allow on photographs of about 500 px."""
NO_SUMMARY = pd.DataFrame(
    columns="dataset label truth method metric value low high n threshold protocol".split()
).astype({"value": float, "low": float, "high": float, "threshold": float, "n": int})
"""What `summarise` returns where there is nothing to score."""
THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)


# -- maps -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttentionMaps:
    """Cross-attention of every query on some rows, averaged over heads and layers.

    rows: int64 [n]; pathologies: [n, P, h, w] float32; anatomies: [n, A, h, w] float32; each map sums to 1.
    """

    rows: np.ndarray
    pathologies: np.ndarray
    anatomies: np.ndarray

    def take(self, rows: np.ndarray) -> AttentionMaps:
        """The maps of some of these rows, in the order asked for, e.g. `maps.take(truth.rows)`.

        Raises:
            KeyError: a row that was not looked at.
        """
        position = {row: i for i, row in enumerate(self.rows)}
        index = np.array([position[row] for row in rows], dtype=np.int64)
        return AttentionMaps(self.rows[index], self.pathologies[index], self.anatomies[index])

    def pathology(self, name: str) -> np.ndarray:
        """[n, h, w] where the model looks for a pathology."""
        return self.pathologies[:, PATHOLOGY_INDEX[name]]

    def anatomy(self, name: str) -> np.ndarray:
        """[n, h, w] where the model looks for an anatomy."""
        return self.anatomies[:, ANATOMY_INDEX[name]]

    def pathology_x_anatomy(self, name: str, anatomies: Sequence[str] | None = None) -> np.ndarray:
        """[n, h, w] the pathology's map times the mean map of some anatomies (all 51 if none are named)."""
        columns = [ANATOMY_INDEX[anatomy] for anatomy in anatomies or ANATOMY_INDEX]
        return self.pathology(name) * self.anatomies[:, columns].mean(axis=1)


def attention_maps(
    model, corpus, rows: np.ndarray, layers: Sequence[int] | None = None, batch_size: int = 32, looks: int = 1
) -> AttentionMaps:
    """Attention maps of all pathologies and anatomies for rows of a corpus.

    Args:
        model: `MedslipModel` with its books set.
        rows: [n] rows of the corpus.
        layers: decoder layers to average over, e.g. `[-1]`; all of them if None, as published.
        looks: along each side. Each image is seen looks x looks times, moved by a fraction of a patch, and the maps
            interleave into one of a grid so many times finer. 1 is published.

    Returns:
        `AttentionMaps` on the patch grid, or the finer one.
    """
    model.eval()
    pathologies, anatomies = [], []
    with torch.inference_mode():
        for pixels in batches(model, corpus, rows, batch_size, "attention"):
            outputs = [model(view, output_attentions=True) for view in _views(pixels, model.trunk.stride, looks)]
            for attentions, collected in (
                ([output.pathology_attention for output in outputs], pathologies),
                ([output.anatomy_attention for output in outputs], anatomies),
            ):
                chosen = torch.stack(attentions) if layers is None else torch.stack(attentions)[:, list(layers)]
                means = chosen.float().mean(dim=1).unflatten(-1, outputs[0].grid)  # [looks^2, B, Q, h, w]
                collected.append(_interleaved(means, looks).cpu().numpy())
    return AttentionMaps(np.asarray(rows), np.concatenate(pathologies), np.concatenate(anatomies))


def _views(pixels: torch.Tensor, stride_px: int, looks: int) -> Iterator[torch.Tensor]:
    """The images [B, 3, S, S] moved so that patches are centred where the cells of the finer grid are, row by row."""
    moves = [round(((look + 0.5) / looks - 0.5) * stride_px) for look in range(looks)]
    padded, side = F.pad(pixels, (stride_px,) * 4, mode="replicate"), pixels.shape[-1]
    for down, right in product(moves, repeat=2):
        top, left = stride_px + down, stride_px + right
        view = padded[..., top : top + side, left : left + side]
        yield view.contiguous(memory_format=torch.channels_last)


def _interleaved(maps: torch.Tensor, looks: int) -> torch.Tensor:
    """Maps [looks^2, B, Q, h, w] of `_views` as [B, Q, h * looks, w * looks], which sum to the mean of theirs."""
    apart = maps.unflatten(0, (looks, looks)).permute(2, 3, 4, 0, 5, 1)  # [B, Q, h, looks, w, looks]
    return apart.flatten(4, 5).flatten(2, 3) / looks**2


def reported_anatomies(corpus, pathology: str, least_share: float = 0.05) -> list[str]:
    """Where the reports of a corpus's training images place a pathology; nothing but text is asked.

    Args:
        corpus: the one that the model was pre-trained on.
        least_share: of the pathology's present triplets, for an anatomy to count.

    Returns:
        anatomies, most frequent first, without "unspecified" and "other"; empty if no report places the pathology.
    """
    triplets = corpus.triplets
    chosen = triplets[
        (triplets["source"] == "report")
        & (triplets["state"] == PRESENT)
        & (triplets["pathology"] == PATHOLOGY_INDEX[pathology])
        & triplets["row"].isin(corpus.rows("train"))
        & ~triplets["anatomy"].isin([ANATOMY_INDEX["unspecified"], ANATOMY_INDEX["other"]])
    ]
    shares = chosen["anatomy"].value_counts(normalize=True)
    return [ANATOMIES[index] for index in shares.index[shares >= least_share]]


def maps_by_method(
    model,
    corpus,
    attention: AttentionMaps,
    rows: np.ndarray,
    pathology: str,
    anatomies: Sequence[str] | None = None,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Where each of the methods that are compared looks for a pathology.

    Args:
        attention: of at least these rows.
        anatomies: where the pathology may be, e.g. from `reported_anatomies`; all 51 if None.

    Returns:
        "pathology", "pathology × anatomy", "pathology × all 51" (published), "Grad-CAM", "HiResCAM" ->
        [n, h, w].
    """
    found = attention.take(rows)
    return {
        "pathology": found.pathology(pathology),
        "pathology × anatomy": found.pathology_x_anatomy(pathology, anatomies),
        "pathology × all 51": found.pathology_x_anatomy(pathology),
        **gradcam_maps(model, corpus, rows, pathology, batch_size),
    }


def normalise(maps: np.ndarray) -> np.ndarray:
    """Each map [n, h, w] stretched to [0, 1] by its own minimum and maximum; a constant map becomes zeros."""
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    span = high - low
    return np.divide(maps - low, span, out=np.zeros_like(maps, dtype=np.float32), where=span > 0, casting="same_kind")


def upsample(maps: np.ndarray, size_px: int) -> np.ndarray:
    """Maps [n, h, w] to [n, size_px, size_px] float32, bilinear, values at the patch centres, edges held constant."""

    def neighbours(cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each pixel along one side: the cell before its centre, the cell after, and the share of the latter."""
        position = ((np.arange(size_px) + 0.5) * cells / size_px - 0.5).clip(0, cells - 1)
        before = position.astype(int)
        return before, np.minimum(before + 1, cells - 1), (position - before).astype(np.float32)

    maps = np.asarray(maps, np.float32)
    if maps.shape[1:] == (size_px, size_px):
        return maps
    above, below, share = neighbours(maps.shape[1])
    maps = maps[:, above] * (1 - share)[:, None] + maps[:, below] * share[:, None]  # [n, size_px, w]
    left, right, share = neighbours(maps.shape[2])
    return maps[:, :, left] * (1 - share) + maps[:, :, right] * share  # [n, size_px, size_px]


# -- truth ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """Where one label really is, on the rows that show it.

    label: its name; kind: "boxes" or "masks"; rows, patients: [n]; masks: [n, S, S] bool in corpus pixels.
    """

    label: str
    kind: str
    rows: np.ndarray
    patients: np.ndarray
    masks: np.ndarray

    @cached_property
    def near(self) -> np.ndarray:
        """The masks and what lies within `NEAR` of them, [n, S, S] bool."""
        return widened(self.masks, NEAR * self.masks.shape[-1])


def widened(masks: np.ndarray, radius_px: float) -> np.ndarray:
    """Masks [n, S, S] bool, with every pixel whose centre is at most `radius_px` from one of theirs."""
    reach, size = int(radius_px), masks.shape[-1]
    wide = np.zeros_like(masks)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 <= radius_px**2:
                to_rows, to_columns = (slice(max(0, step), size + min(0, step)) for step in (down, right))
                of_rows, of_columns = (slice(max(0, -step), size + min(0, -step)) for step in (down, right))
                wide[:, to_rows, to_columns] |= masks[:, of_rows, of_columns]
    return wide


def truth_from_boxes(corpus, rows: np.ndarray, labels: Sequence[str]) -> dict[str, Truth]:
    """All boxes of each label, as one mask per row. A pixel is inside if its centre is.

    Args:
        labels: classes of the dataset, as `corpus.boxes` names them.

    Returns:
        label -> `Truth` on the rows that have such a box, perhaps none.
    """
    centre = np.arange(corpus.image_size_px) + 0.5

    def masks(row: int) -> dict[str, np.ndarray]:
        found = {}
        for box in corpus.boxes(row).itertuples():
            inside_x = (centre >= box.x) & (centre < box.x + box.width)
            inside_y = (centre >= box.y) & (centre < box.y + box.height)
            found[box.label] = found.get(box.label, False) | (inside_y[:, None] & inside_x[None, :])
        return found

    return _truths(corpus, rows, labels, "boxes", masks)


def boxes_of_parts(masks: np.ndarray) -> np.ndarray:
    """Masks [n, S, S] bool with the rectangle round each connected part filled."""
    from scipy import ndimage

    filled = np.zeros_like(masks)
    for one, mask in zip(filled, masks, strict=True):
        for part in ndimage.find_objects(ndimage.label(mask, np.ones((3, 3)))[0]):
            one[part] = True
    return filled


def truth_from_masks(corpus, rows: np.ndarray, kind: str, labels: Sequence[str]) -> dict[str, Truth]:
    """The mask of each label per row.

    Args:
        kind: "pathology" or "anatomy"; labels: names of the vocabulary.

    Returns:
        label -> `Truth` on the rows that have such a mask, perhaps none.
    """
    return _truths(corpus, rows, labels, "masks", lambda row: corpus.masks(row, kind))


def _truths(
    corpus, rows: np.ndarray, labels: Sequence[str], kind: str, masks_of: Callable[[int], dict[str, np.ndarray]]
) -> dict[str, Truth]:
    found: dict[str, dict[int, np.ndarray]] = {label: {} for label in labels}
    for row in map(int, rows):
        for label, mask in masks_of(row).items():
            if label in found and mask.any():
                found[label][row] = mask
    patients = corpus.manifest["patient_id"].to_numpy()
    none = np.zeros((0, corpus.image_size_px, corpus.image_size_px), bool)
    truths = {}
    for label, masks in found.items():
        shown = np.array(list(masks), dtype=np.int64)
        truths[label] = Truth(label, kind, shown, patients[shown], np.stack(list(masks.values())) if masks else none)
    return truths


# -- questions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """One label of a corpus: what the model is asked for, and where that really is.

    query: a pathology or an anatomy of the vocabulary; test, validation: `Truth` on the rows of these splits that show
    the label, on validation perhaps none.
    """

    query: str
    test: Truth
    validation: Truth

    @property
    def label(self) -> str:
        """The label's name in its dataset."""
        return self.test.label

    def on_boxes(self) -> Question:
        """The same question of the boxes round the parts of its masks: datasets of anatomies give those."""
        test, validation = (
            replace(truth, kind="boxes", masks=boxes_of_parts(truth.masks)) for truth in (self.test, self.validation)
        )
        return Question(self.query, test, validation)


def questions(corpus, kind: str, labels: Sequence[str], most_rows: int = 0) -> list[Question]:
    """What can be asked of a corpus: those labels that at least one test row shows.

    Args:
        kind: "boxes" (labels are classes of the dataset), "masks" (pathologies) or "anatomies" (by their masks).
        most_rows: how many rows of each split to look at, from its first; 0 for all.
    """
    found = []
    for split in ("test", "validate"):
        rows = corpus.rows(split)[: most_rows or None]
        if kind == "boxes":
            found.append(truth_from_boxes(corpus, rows, labels))
        else:
            found.append(truth_from_masks(corpus, rows, "pathology" if kind == "masks" else "anatomy", labels))
    test, validation = found
    query = DATASET_CLASSES.get(corpus.header["dataset"], {})  # a label that is no class is its own query
    return [Question(query.get(one, one), test[one], validation[one]) for one in labels if len(test[one].rows)]


def rows_shown(asked: Sequence[Question]) -> np.ndarray:
    """All rows, of test and validation, that show what is asked for: int64 [n], sorted."""
    rows = [truth.rows for question in asked for truth in (question.test, question.validation)]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *rows]))


# -- scores of one image: map [S, S] in [0, 1], mask [S, S] bool with at least one pixel -----------------------------


def pointing_game(heat: np.ndarray, mask: np.ndarray) -> float:
    """1 if the maximum lies inside the truth, else 0; ties count by their share.

    A constant map thus scores the share of the image that the truth covers, which is chance.
    """
    at_maximum = heat >= heat.max() - 1e-6  # equal but for rounding in the interpolation
    return np.count_nonzero(at_maximum & mask) / np.count_nonzero(at_maximum)


def overlap(heat: np.ndarray, mask: np.ndarray, threshold: float) -> tuple[float, float]:
    """IoU and Dice of `heat >= threshold` with the truth."""
    called = heat >= threshold
    both = np.count_nonzero(called & mask)
    total = np.count_nonzero(called) + np.count_nonzero(mask)
    return both / (total - both), 2 * both / total


def contrast_to_noise(heat: np.ndarray, mask: np.ndarray) -> float:
    """(mean inside - mean outside) / sqrt(variance inside + variance outside); 0 for a constant map.

    NaN if the truth fills the image. Signed, where the source takes the absolute value: below 0 looks elsewhere.
    """
    inside, outside = heat[mask], heat[~mask]
    if len(outside) == 0:
        return float("nan")
    noise = np.sqrt(inside.var() + outside.var())
    return float((inside.mean() - outside.mean()) / noise) if noise > 0 else 0.0


# -- scoring a method -------------------------------------------------------------------------------------------------


def best_dice_threshold(maps: np.ndarray, masks: np.ndarray) -> float:
    """The threshold in `THRESHOLDS` with the highest mean Dice. For *validation* data only.

    Args:
        maps: [n, h, w]; masks: [n, S, S] bool.

    Returns:
        a threshold on normalised maps; NaN if n is 0.
    """
    if len(maps) == 0:
        return float("nan")
    size = masks.shape[-1]
    dice = [
        _dice_by_threshold(normalise(upsample(one[None], size))[0], mask) for one, mask in zip(maps, masks, strict=True)
    ]
    return float(THRESHOLDS[np.argmax(np.mean(dice, axis=0))])


def _dice_by_threshold(heat: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`overlap`'s Dice at each of `THRESHOLDS`, counted with less work."""
    inside, thresholds = heat[mask], THRESHOLDS.tolist()
    both = np.array([np.count_nonzero(inside >= threshold) for threshold in thresholds])
    called = np.array([np.count_nonzero(heat >= threshold) for threshold in thresholds])
    return 2 * both / (called + len(inside))


def score(
    method: str,
    maps: np.ndarray,
    truth: Truth,
    validation_maps: np.ndarray,
    validation_truth: Truth,
) -> pd.DataFrame:
    """Scores of a method on each image that shows the label.

    Args:
        method: name for the tables, e.g. "pathology".
        maps: [n, h, w] one map per row of `truth`; validation_maps likewise.

    Returns:
        one row per image: label, truth (boxes or masks), method, row, patient, pointing_game, pointing_near (the
        maximum lies within `NEAR` of the truth), iou, dice, cnr, threshold (the best Dice on validation; NaN, with IoU
        and Dice, if validation shows no such label).

    Raises:
        ValueError: if maps and truth differ in length, or test and validation share rows or patients.
    """
    for some_maps, some_truth in ((maps, truth), (validation_maps, validation_truth)):
        if len(some_maps) != len(some_truth.rows):
            raise ValueError(f"{len(some_maps)} maps for {len(some_truth.rows)} rows that show {some_truth.label!r}")
    check_apart(truth.rows, truth.patients, validation_truth.rows, validation_truth.patients)
    threshold = best_dice_threshold(validation_maps, validation_truth.masks)
    table = []
    for one, mask, near, row, patient in zip(maps, truth.masks, truth.near, truth.rows, truth.patients, strict=True):
        heat = normalise(upsample(one[None], mask.shape[-1]))[0]
        iou, dice = (np.nan, np.nan) if np.isnan(threshold) else overlap(heat, mask, threshold)
        pointed = (pointing_game(heat, mask), pointing_game(heat, near))
        values = (*pointed, iou, dice, contrast_to_noise(heat, mask), threshold)
        table.append((truth.label, truth.kind, method, row, patient, *values))
    return pd.DataFrame(table, columns=["label", "truth", "method", "row", "patient", *SCORES, "threshold"])


def score_question(
    question: Question, maps: Mapping[str, np.ndarray], validation_maps: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """`score` of every method on one question, then of the baselines.

    Args:
        maps: method -> [n, h, w], one map per row of `question.test`; the first method is the one that the baseline
            "mean map" averages. validation_maps: likewise for `question.validation`.
    """
    test, known = question.test, question.validation
    tables = [score(method, maps[method], test, validation_maps[method], known) for method in maps]
    baselines = score_baselines(test, known, next(iter(validation_maps.values())))
    return pd.concat([*tables, baselines], ignore_index=True)


def score_baselines(truth: Truth, validation_truth: Truth, validation_maps: np.ndarray | None = None) -> pd.DataFrame:
    """The same scores for maps that do not look at the image, so that figures mean something.

    "random point": a constant map, which hits by the share of area and has neither IoU nor Dice; "centre point":
    brightest in the middle; "mean truth": how often each pixel lay inside the truth on validation rows; "mean map":
    the method's own maps, averaged over validation rows. The last two are left out if validation lacks the label.
    """
    size = truth.masks.shape[-1]
    from_middle = np.abs(np.arange(size) - (size - 1) / 2)
    fixed_maps = {
        "random point": np.zeros((size, size), np.float32),
        "centre point": -np.hypot(from_middle[:, None], from_middle[None, :]),
    }
    if len(validation_truth.rows):
        fixed_maps["mean truth"] = validation_truth.masks.mean(axis=0)
        if validation_maps is not None:
            fixed_maps["mean map"] = normalise(validation_maps).mean(axis=0)
    tables = []
    for method, fixed in fixed_maps.items():
        repeated = [np.broadcast_to(fixed, (len(some.rows), *fixed.shape)) for some in (truth, validation_truth)]
        tables.append(score(method, repeated[0], truth, repeated[1], validation_truth))
    scores = pd.concat(tables, ignore_index=True)
    scores.loc[scores["method"] == "random point", ["iou", "dice", "threshold"]] = np.nan
    return scores


def example_cases(scores: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Three cases among the scores of one method, from good to bad: at 95 %, 50 % and 5 % of their order.

    Args:
        by: columns that order them, the first before the second.

    Returns:
        three rows of `scores` with a column case, "95 %" and so on.
    """
    ranked = scores.sort_values([*by, "row"], na_position="first").reset_index(drop=True)
    positions = [round(q * (len(ranked) - 1)) for q in (0.95, 0.5, 0.05)]
    return ranked.iloc[positions].assign(case=["95 %", "50 %", "5 %"]).reset_index(drop=True)


def summarise(
    scores: pd.DataFrame, dataset: str, protocol: str = "zero-shot", resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Mean of each score per method, kind of truth and label, and of several labels their mean ("macro").

    Args:
        scores: what `score` and `score_baselines` returned, concatenated.

    Returns:
        columns dataset, label, truth, method, metric, value, low, high, n (images), threshold, protocol.
    """
    tables = []
    for (kind, method), group in scores.groupby(["truth", "method"], sort=False):
        labels = list(dict.fromkeys(group["label"]))
        tables.append(_summary_of_method(group, labels, resamples, seed).assign(truth=kind, method=method))
    if not tables:
        return NO_SUMMARY
    return pd.concat(tables, ignore_index=True).assign(dataset=dataset, protocol=protocol)[NO_SUMMARY.columns]


def _summary_of_method(group: pd.DataFrame, labels: list[str], resamples: int, seed: int) -> pd.DataFrame:
    belongs = {label: (group["label"] == label).to_numpy() for label in labels}
    values = {metric: group[metric].to_numpy(float) for metric in SCORES}

    def means(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, labels + 1, scores], the last "label" being macro
        per_label = np.stack(
            [
                np.stack([weighted_mean(values[metric][b], weight[:, b]) for metric in SCORES], axis=1)
                for b in belongs.values()
            ],
            axis=1,
        )
        return np.concatenate([per_label, mean_over_classes(per_label)[:, None]], axis=1)

    estimate = patient_bootstrap(means, group["patient"].to_numpy(), resamples, seed)
    table = []
    for i, label in enumerate([*labels, "macro"] if len(labels) > 1 else labels):
        members = group if label == "macro" else group[belongs[label]]
        for m, metric in enumerate(SCORES):
            uses_threshold = metric in ("iou", "dice") and label != "macro"
            table.append({
                "label": label, "metric": metric, "value": estimate.value[i, m], "low": estimate.low[i, m],
                "high": estimate.high[i, m], "n": len(members),
                "threshold": members["threshold"].iloc[0] if uses_threshold else np.nan,
            })  # fmt: skip
    return pd.DataFrame(table)


def compare(
    scores: pd.DataFrame, method: str, others: Sequence[str], metrics: Sequence[str], resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """For how many labels a method scores higher than others on the same images.

    Args:
        scores: what `score` and `score_baselines` returned, concatenated, of one dataset and one kind of truth.
        method, others: the method, and what it is compared with.
        metrics: columns of `scores`.
        resamples: draws of patients; seed: of them.

    Returns:
        columns metric, against, labels, then counts of them: above and below (the 95 % interval over patients of the
        paired difference lies on that side of zero), and even; and mean and mean_other, the means over labels. No row
        for a method that is not there.
    """
    parts = {name: part.set_index(["label", "row"]) for name, part in scores.groupby("method")}
    rows = []
    for metric, other in product(metrics, others):
        if not {method, other} <= set(parts):
            continue
        theirs = parts[other][metric].rename("other")
        both = parts[method][["patient", metric]].join(theirs, how="inner").dropna().reset_index()
        belongs = [(both["label"] == label).to_numpy() for label in both["label"].unique()]
        if not belongs:
            continue
        values = both[[metric, "other"]].to_numpy(float)
        low, high = _difference_by_label(values, belongs, both["patient"].to_numpy(), resamples, seed)
        above, below = (low > 0).sum(), (high < 0).sum()
        mean, mean_other = np.mean([values[b].mean(axis=0) for b in belongs], axis=0)
        rows.append({
            "metric": metric, "against": other, "labels": len(belongs), "above": above, "below": below,
            "even": len(belongs) - above - below, "mean": mean, "mean_other": mean_other,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["metric", "against", "labels", "above", "below", "even", "mean", "mean_other"])


def _difference_by_label(
    values: np.ndarray, belongs: Sequence[np.ndarray], patients: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the mean of values[:, 0] - values[:, 1] for each label, low [labels] and high [labels]."""
    difference = values[:, 0] - values[:, 1]

    def means(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, labels]
        return np.stack([weighted_mean(difference[b], weight[:, b]) for b in belongs], axis=1)

    estimate = patient_bootstrap(means, patients, resamples, seed)
    return estimate.low, estimate.high
