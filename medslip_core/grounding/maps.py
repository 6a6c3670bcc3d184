"""Where the model looks: attention maps, their products and gradient maps, [n, h, w], one per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from medslip_core.evaluating import evaluating
from medslip_core.gradcam import gradcam_maps
from medslip_core.grounding.views import interleaved, views
from medslip_core.inference import batches
from medslip_core.vocabulary import (
    ANATOMIES,
    ANATOMY_INDEX,
    PATHOLOGY_INDEX,
    PLACED_ANATOMIES,
    PRESENT,
    position,
    require_vocabulary,
)


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
        return self.pathologies[:, position(name, PATHOLOGY_INDEX)]

    def anatomy(self, name: str) -> np.ndarray:
        """[n, h, w] where the model looks for an anatomy."""
        return self.anatomies[:, position(name, ANATOMY_INDEX)]

    def pathology_x_anatomy(self, name: str, anatomies: Sequence[str] | None = None) -> np.ndarray:
        """[n, h, w] the pathology's map times the mean map of some anatomies (all 51 if none are named)."""
        columns = [position(anatomy, ANATOMY_INDEX) for anatomy in anatomies or ANATOMY_INDEX]
        return self.pathology(name) * self.anatomies[:, columns].mean(axis=1)


def attention_maps(model, corpus, rows: np.ndarray, batch_size: int = 32, looks: int = 1) -> AttentionMaps:
    """Attention maps of all pathologies and anatomies for rows of a corpus, the mean over decoder layers, as published.

    Args:
        model: `MedslipModel` with its books set.
        corpus: `PreparedCorpus`, or `inference.Images`.
        rows: [n] rows of the corpus.
        looks: along each side. Each image is seen looks x looks times, moved by a fraction of a patch, and the maps
            interleave into one of a grid so many times finer. Published is one look, without the move by the trunk's
            `cell_offset` that keeps maps from lying half a cell beside what they show.

    Returns:
        `AttentionMaps` on the patch grid, or the finer one.

    Raises:
        ValueError: the model has other names than the vocabulary, or in another order; there are no rows, or no looks.
    """
    if looks < 1:
        raise ValueError(f"looks: {looks} leave nothing to see; take 1 or more")
    require_vocabulary(model.config)
    pathologies, anatomies = [], []
    stride_px, offset_px = model.trunk.stride, model.trunk.cell_offset(model.config.image_size)
    with evaluating(model), torch.inference_mode():
        for pixels in batches(model, corpus, rows, batch_size, "attention"):
            moved = views(pixels, stride_px, offset_px, looks)
            outputs = [model(view, output_attentions=True) for view in moved]
            for attentions, collected in (
                ([output.pathology_attention for output in outputs], pathologies),
                ([output.anatomy_attention for output in outputs], anatomies),
            ):
                means = torch.stack(attentions).float().mean(dim=1)  # [looks^2, L, B, Q, N] -> [looks^2, B, Q, N]
                means = means.unflatten(-1, outputs[0].grid)  # [looks^2, B, Q, h, w]
                collected.append(interleaved(means, looks).cpu().numpy())
    return AttentionMaps(np.asarray(rows), np.concatenate(pathologies), np.concatenate(anatomies))


def reported_anatomies(corpus, pathology: str, least_share: float = 0.05) -> list[str]:
    """Where the reports of a corpus's training images place a pathology; nothing but text is asked.

    Args:
        corpus: the one that the model was pre-trained on.
        least_share: of the pathology's present triplets that name a place, for an anatomy to count.

    Returns:
        anatomies that name a place, most frequent first; empty if no report places the pathology.
    """
    triplets = corpus.triplets
    chosen = triplets[
        (triplets["source"] == "report")
        & (triplets["state"] == PRESENT)
        & (triplets["pathology"] == position(pathology, PATHOLOGY_INDEX))
        & triplets["row"].isin(corpus.rows("train"))
        & triplets["anatomy"].isin([ANATOMY_INDEX[name] for name in PLACED_ANATOMIES])
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
    """Each map [n, h, w] stretched to [0, 1] by its own minimum and maximum; a constant map becomes zeros.

    Raises:
        ValueError: values that are not finite.
    """
    if not np.isfinite(maps).all():
        raise ValueError("maps have values that are not finite: look at the model that made them")
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    span = high - low
    return np.divide(maps - low, span, out=np.zeros_like(maps, dtype=np.float32), where=span > 0, casting="same_kind")


def upsample(maps: np.ndarray, size_px: int) -> np.ndarray:
    """Maps [n, h, w] to [n, size_px, size_px] float32, bilinear, values at the patch centres, edges held constant."""
    coarse = torch.tensor(np.asarray(maps, np.float32))[:, None]
    return F.interpolate(coarse, (size_px, size_px), mode="bilinear")[:, 0].numpy()


def stretched(one: np.ndarray, size_px: int) -> np.ndarray:
    """One map [h, w] as it is drawn and scored: upsampled to [size_px, size_px] and normalised."""
    return normalise(upsample(one[None], size_px))[0]
