"""How weights change: learning-rate schedule, the optimiser and its state, frozen parts of the trunk, averaged weights.

Source: paper section "Implementation" and the published configuration: AdamW 1e-4, weight decay 0.02 (none on biases
and 1-d weights), five epochs of warm-up from 1e-5, cosine to 1e-5 over 100 epochs. Ours does what that says, at every
step: it is a function of the step alone, and needs no state. The published loop does something else with it: the rate
rises within the first 500 steps (train_MeDSLIP.py moves the schedule on every 100 of them), and then follows the cosine
over all 100 epochs, once an epoch; `warmup_epochs` 0.15 comes near that on MIMIC-CXR.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medslip_core.pretrain_params import PretrainParams


def learning_rate(params: PretrainParams, epochs_done: float) -> float:
    """Learning rate after `epochs_done` epochs (a fraction within an epoch): linear warm-up, then cosine."""
    if epochs_done < params.warmup_epochs:
        share = epochs_done / params.warmup_epochs
        return params.warmup_learning_rate + share * (params.learning_rate - params.warmup_learning_rate)
    share = (epochs_done - params.warmup_epochs) / (params.epochs - params.warmup_epochs)
    falling = (1 + math.cos(math.pi * min(share, 1))) / 2
    return params.final_learning_rate + falling * (params.learning_rate - params.final_learning_rate)


def make_optimizer(model: nn.Module, params: PretrainParams) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only, and a learning rate of its own for trunk and text encoder."""
    groups, pre_trained = [], ("trunk.", "text_encoder.")
    for in_trunk in (True, False):
        for decays in (True, False):
            members = [
                parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
                and name.startswith(pre_trained) == in_trunk
                and (parameter.ndim > 1) == decays
            ]
            if members:
                scale = params.trunk_learning_rate_scale if in_trunk else 1.0
                decay = params.weight_decay if decays else 0.0
                groups.append(dict(params=members, weight_decay=decay, learning_rate_scale=scale))
    return torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of the coming step, scaled per group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["learning_rate_scale"]


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as tensors named `<parameter>/<entry>`."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{entry}": value
        for parameter, entries in optimizer.state.items()
        for entry, value in entries.items()
    }


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state saved by `optimizer_tensors` back, in the memory layout of each parameter."""
    saved = optimizer.state_dict()
    numbers = {id(p): number for number, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    state: dict[int, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        entries = {key.rpartition("/")[2]: value for key, value in tensors.items() if key.rpartition("/")[0] == name}
        if entries:
            # The layout decides how the update is vectorised, and so its last bit.
            state[numbers[id(parameter)]] = {
                entry: torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                for entry, value in entries.items()
            }
    optimizer.load_state_dict({**saved, "state": state})


def freeze_stages(trunk: nn.Module, stages: int) -> list[nn.Module]:
    """Stop the first stages of a trunk (stem included) from learning; returns the frozen modules.

    Args:
        trunk: its `network` is timm's, with `feature_info`, and ends with its `stage`.
        stages: feature stages to freeze; 0 freezes nothing.

    Raises:
        ValueError: it has fewer stages.
    """
    if stages == 0:
        return []
    names = [feature["module"] for feature in trunk.network.feature_info][: trunk.stage + 1]
    if stages > len(names):
        raise ValueError(f"frozen_stages={stages}: the trunk has {len(names)} stages ({', '.join(names)})")
    last, frozen, reached = names[stages - 1], [], False
    for name, module in trunk.network.named_modules():
        inside = name == last or name.startswith(f"{last}.")
        if reached and not inside:
            break
        reached = reached or inside
        frozen.append(module)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    return frozen


def training_mode(model: nn.Module, frozen: list[nn.Module], frozen_batch_norm: bool) -> None:
    """Put the model into training mode, but keep batch-norm statistics of frozen parts (or of all) as they are."""
    model.train()
    for module in model.modules() if frozen_batch_norm else frozen:
        if isinstance(module, _BatchNorm):
            module.eval()


class WeightAverage:
    """Exponential moving average of a model's weights and buffers; validation and the result use it.

    Args:
        model: whose weights to follow.
        decay: share of the old average kept per step, 0 < decay < 1. Early on it is less, (1 + t) / (10 + t) after t
            steps, so that a short run is not held back by its initial weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's weights by one step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = model.state_dict()
        floating = [name for name, tensor in current.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[n] for n in floating], [current[n] for n in floating], 1 - decay)
        for name in current.keys() - set(floating):
            self.tensors[name].copy_(current[name])

    @contextlib.contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """The model with averaged weights, inside the `with` block."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def load(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Continue from a saved average."""
        self.updates = updates
        for name, tensor in tensors.items():
            self.tensors[name].copy_(tensor)
