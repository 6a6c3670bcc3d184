"""Grad-CAM and HiResCAM: the formulas, their independence of the batch, and nothing left behind on the model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medslip_core.gradcam import CAM_METHODS, gradcam_maps
from medslip_core.grounding.views import views
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.vocabulary import PATHOLOGY_INDEX


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)  # of those that were tried, one where the maps are not all zeros
    config = MedslipConfig(backbone="resnet10t", image_size=64, text_dim=16, hidden_dim=16, decoder_layers=1,
                           decoder_heads=2, feed_forward_dim=16)  # fmt: skip
    tiny = MedslipModel(config)
    tiny.set_books(torch.randn(51, 16), torch.randn(75, 16), "random")
    return tiny


@pytest.fixture(scope="module")
def corpus():
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    return SimpleNamespace(images=images, take=images.__getitem__)


def test_maps_follow_the_formulas(model, corpus):
    features, speaking = {}, set()
    model.eval()
    hook = model.trunk.register_forward_hook(lambda module, args, output: features.update(x=output))
    pixels = model.pixel_values(torch.from_numpy(corpus.images[2:3]))
    (moved,) = views(pixels, model.trunk.stride, model.trunk.cell_offset(64))
    logits = model(moved).pathology_logits
    hook.remove()
    seen = features["x"]
    for pathology in ("effusion", "mass", "edema", "nodule", "hernia"):
        logit = logits[0, PATHOLOGY_INDEX[pathology], 1]
        gradient = torch.autograd.grad(logit, seen, retain_graph=True)[0][0]  # [C, h, w]
        averaged = gradient.mean(dim=(1, 2))[:, None, None].expand_as(gradient)
        found = gradcam_maps(model, corpus, [2], pathology)
        for method, weight in (("Grad-CAM", averaged), ("HiResCAM", gradient)):
            expected = (weight * seen[0]).sum(dim=0).relu().detach()
            if expected.max() > expected.min():  # else nothing speaks for it, and the map is zeros
                expected = (expected - expected.min()) / (expected.max() - expected.min())
                speaking.add(method)
            np.testing.assert_allclose(found[method][0], expected.numpy(), atol=1e-3)
    assert speaking == set(CAM_METHODS)


def test_maps_do_not_depend_on_the_batch(model, corpus):
    rows = [4, 1, 3]
    together, apart = (gradcam_maps(model, corpus, rows, "mass", batch_size) for batch_size in (3, 1))
    for method in CAM_METHODS:
        assert together[method].shape == (3, 4, 4) and together[method].dtype == np.float32
        assert together[method].min() >= 0 and together[method].max() <= 1
        np.testing.assert_allclose(together[method], apart[method], atol=1e-3)
    assert all(len(maps) == 0 for maps in gradcam_maps(model, corpus, [], "mass").values())


def test_maps_are_the_same_where_the_caller_wants_no_gradients(model, corpus):
    expected = gradcam_maps(model, corpus, np.arange(2), "effusion")
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            found = gradcam_maps(model, corpus, np.arange(2), "effusion")
        for method in CAM_METHODS:
            np.testing.assert_allclose(found[method], expected[method], atol=1e-5)


def test_nothing_is_left_on_the_model(model, corpus):
    gradcam_maps(model, corpus, [0], "mass")
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_trunk_has_maps_too(model, corpus):
    expected = gradcam_maps(model, corpus, [0], "mass")["HiResCAM"]
    model.requires_grad_(False)
    try:
        np.testing.assert_allclose(gradcam_maps(model, corpus, [0], "mass")["HiResCAM"], expected, atol=1e-5)
    finally:
        model.requires_grad_(True)


def test_errors_are_not_swallowed_and_hooks_go(model, corpus):
    with pytest.raises(IndexError):
        gradcam_maps(model, corpus, [99], "mass")
    with pytest.raises(ValueError, match="no pathology is called 'broken heart'"):
        gradcam_maps(model, corpus, [0], "broken heart")
    assert not any(module._forward_hooks for module in model.modules())
