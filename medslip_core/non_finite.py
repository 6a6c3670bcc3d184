"""What is left of a step whose loss or gradient became NaN or infinite: its batch, to look at and to run again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor


class NonFiniteLossError(FloatingPointError):
    """A loss or gradient became NaN or infinite; the message names the file with the batch and how to look at it."""


def save_batch(folder: Path, batch: Mapping[str, Tensor], step: int, figures: Mapping[str, float]) -> None:
    """Write `batch.safetensors` and `figures.json` (the step and its loss terms) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({name: t.cpu().contiguous() for name, t in batch.items()}, folder / "batch.safetensors")
    told = dict(step=step, **{name: str(value) for name, value in figures.items()})  # JSON knows no NaN
    (folder / "figures.json").write_text(json.dumps(told, indent=1))


def error_of(folder: Path, step: int, figures: Mapping[str, float]) -> NonFiniteLossError:
    """The error to raise once the batch of `step` (from 0) is saved in `folder`."""
    bad = ", ".join(f"{name} {value}" for name, value in figures.items() if not math.isfinite(value))
    return NonFiniteLossError(
        f"step {step}: {bad}. The batch is in {folder / 'batch.safetensors'}; look at it with "
        f"`batch = safetensors.torch.load_file({str(folder / 'batch.safetensors')!r})`: 'pixel_values' [B, 3, s, s] as "
        "the model saw them, 'rows' [B] of the corpus (`corpus.manifest.iloc[rows]`), and 'matrix' [B, A, P], if the "
        "method learns from labels. "
        "The last checkpoint is from before. A lower learning_rate, a clip_norm, or precision: no may help"
    )
