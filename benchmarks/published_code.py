"""The published implementation, run from a checkout of its own (github.com/Shef-AIRE/MeDSLIP, commit 7cfceb1).

Its code is imported as it is; only its text encoder, which runs once before training, is replaced by random vectors.
It needs the packages einops and (for its dataset) opencv.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NEGATIVES = 7


def published_step(checkout: str, device: str, images: Tensor, matrix: Tensor) -> Callable[[], Any]:
    """One training step as its `train` does it: forward with losses, backward, optimiser.

    Args:
        checkout: folder of the published repository.
        device: "cpu" or "cuda".
        images: [B, 3, 224, 224] float32; matrix: [B, 51, 75] int8, 1 / 0 / -1.

    Raises:
        FileNotFoundError: `checkout` does not hold it.
    """
    _import_from(checkout)
    from models.model_MeDSLIP import MeDSLIP
    from optim import create_optimizer
    from utils import AttrDict

    MeDSLIP._get_bert_basemodel = lambda self, name, freeze_layers: _RandomEncoder()
    config = dict(d_model=256, res_base_model="resnet50", H=4, N=4, dropout=0.1, attribute_set_size=2, text_encoder="")
    tokens = {n: {"input_ids": torch.zeros(n, 1, device=device), "attention_mask": None} for n in matrix.shape[1:]}
    model = MeDSLIP(config, *tokens.values()).to(device).train()
    optimizer = create_optimizer(AttrDict(opt="adamW", lr=1e-4, weight_decay=0.02), model)
    images, matrix = images.to(device), matrix.to(device, torch.float64)  # its labels are float64
    labels_pathology, labels_anatomy = matrix.amax(dim=1), matrix.amax(dim=2)
    indices = [_indices(present).to(device) for present in (matrix.transpose(1, 2) == 1, matrix == 1)]

    def step() -> None:
        optimizer.zero_grad()
        loss, *_ = model(
            images,
            labels_pathology=labels_pathology,
            labels_anatomy=labels_anatomy,
            matrix=matrix.clone(),  # it writes into its argument
            sample_index_pathology=indices[0],
            sample_index_anatomy=indices[1],
            is_train=True,
        )
        loss.backward()
        optimizer.step()

    return step


def published_dataset(checkout: str, files: list[Path], matrix: np.ndarray, folder: Path) -> Any:
    """Its training dataset on some image files.

    Args:
        checkout: folder of the published repository.
        files: N images; matrix: [N, 51, 75], 1 / 0 / -1.
        folder: where the two files it starts from are written.
    """
    _import_from(checkout)
    from dataset.dataset import MeDSLIP_Dataset

    listing, labels = folder / "listing.json", folder / "labels.npy"
    listing.write_text(json.dumps({str(file): {"labels_id": number} for number, file in enumerate(files)}))
    np.save(labels, matrix.astype(np.float64))
    return MeDSLIP_Dataset(str(listing), str(labels), mode="train")


class _RandomEncoder(nn.Module):
    """Stands in for the text encoder: a random vector of width 768 per sentence."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=0.5 * torch.randn(len(input_ids), 1, 768, device=input_ids.device))


def _indices(present: Tensor) -> Tensor:
    """What its dataset draws for [B, queries, candidates]: -1 (the true one) and 7 negatives, or 8 where none is."""
    drawn = []
    for candidates in present.flatten(0, 1).cpu():
        others = torch.nonzero(~candidates)[:, 0].tolist()
        true = [-1] if candidates.any() else []
        drawn.append(true + random.sample(others, NEGATIVES + 1 - len(true)))
    return torch.tensor(drawn).unflatten(0, present.shape[:2])


def _import_from(checkout: str) -> None:
    folder = Path(checkout) / "PreTrain_MeDSLIP"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: not there; --published takes a checkout of github.com/Shef-AIRE/MeDSLIP")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
