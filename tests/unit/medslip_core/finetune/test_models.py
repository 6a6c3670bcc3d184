"""Networks and losses of fine-tuning: what learns and what stays, shapes, losses by hand, where weights come from."""

import numpy as np
import pytest
import torch
from tiny_model import MODEL

from medslip_core.finetune import initial
from medslip_core.finetune.classifier import Classifier, LinearHead, PooledFeatures, known_label_loss
from medslip_core.finetune.segmenter import Segmenter, mask_loss
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig


@pytest.fixture
def model() -> MedslipModel:
    return initial.starting_model("random", "random", MedslipConfig(**MODEL), seed=0)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("features", ["trunk", "streams"])
def test_classifier_learns_in_all_that_it_uses(model, pixels, features):
    network = Classifier(model, 3, features)
    torch.nn.init.normal_(network.head.linear.weight)
    logits = network(pixels)
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    used = ["trunk"] if features == "trunk" else ["trunk", "gate", "pathology_projection", "anatomy_projection"]
    for name in used:
        assert any(p.grad is not None and p.grad.any() for p in model.get_submodule(name).parameters()), name


def test_stream_features_are_both_memories(model, pixels):
    model.eval()
    pathology, anatomy, _ = model.memories(pixels)
    expected = torch.cat([pathology.mean(dim=1), anatomy.mean(dim=1)], dim=1)
    torch.testing.assert_close(PooledFeatures(model, "streams").eval()(pixels), expected)


def test_a_single_image_can_be_trained_on(model, pixels):
    network = Classifier(model, 2).train()
    assert torch.isfinite(network(pixels[:1])).all()


def test_known_label_loss_against_a_loop():
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(5, 3)))
    labels = torch.from_numpy(generator.choice([0, 1, np.nan], (5, 3)))
    terms = [
        -np.log(p if y else 1 - p)
        for p, y in zip(logits.sigmoid().ravel().tolist(), labels.ravel().tolist(), strict=True)
        if y == y
    ]
    assert float(known_label_loss(logits, labels)) == pytest.approx(np.mean(terms), rel=1e-5)
    assert known_label_loss(logits, torch.full_like(labels, torch.nan)) == 0


def test_answers_begin_at_the_frequency_of_each_class():
    labels = torch.tensor([[1, 0, 1], [0, 0, np.nan], [0, 0, 1], [0, 0, 1]])
    head = LinearHead(4, 3).eval()
    head.start_from(labels)
    probabilities = head(torch.randn(2, 4)).sigmoid().detach().numpy()
    np.testing.assert_allclose(probabilities, [[1.5 / 5, 0.5 / 5, 3.5 / 4]] * 2, rtol=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_segmenter_gives_a_logit_per_pixel(model, size):
    network = Segmenter(model).eval()
    assert network(torch.randn(2, 3, size, size)).shape == (2, size, size)
    assert len(network.blocks) == len(model.trunk.stage_channels())


def test_segmenter_uses_every_stage(model, pixels):
    network = Segmenter(model)
    found = [stage.detach().requires_grad_() for stage in model.trunk.stages(pixels)]
    network.trunk.stages = lambda _: found
    network(pixels).square().sum().backward()
    assert all(stage.grad.any() for stage in found)


def test_the_last_stage_is_the_trunk(model, pixels):
    model.eval()
    torch.testing.assert_close(model.trunk.stages(pixels)[-1], model.trunk(pixels))


def test_a_trunk_of_one_stride_has_no_pyramid():
    config = MedslipConfig(**{**MODEL, "backbone": "test_vit", "image_size": 160})
    with pytest.raises(ValueError, match="a U-Net needs a convolutional trunk"):
        Segmenter(MedslipModel(config))


def test_mask_loss_by_hand():
    logits, masks = torch.zeros(1, 2, 2), torch.tensor([[[True, False], [False, False]]])
    dice = (2 * 0.5 + 1) / (2 + 1 + 1)
    assert float(mask_loss(logits, masks)) == pytest.approx(np.log(2) + 1 - dice)
    right = mask_loss(torch.where(masks, 20.0, -20.0), masks)
    assert float(right) == pytest.approx(0, abs=1e-6)
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert float(mask_loss(torch.full((1, 2, 2), -20.0), nothing)) == pytest.approx(0, abs=1e-6)


def test_mask_of_another_size():
    with pytest.raises(ValueError, match=r"masks are \(1, 4, 4\), predictions \(1, 8, 8\)"):
        mask_loss(torch.zeros(1, 8, 8), torch.zeros(1, 4, 4, dtype=torch.bool))


def test_random_weights_follow_from_the_seed():
    config = MedslipConfig(**MODEL)
    models = [initial.starting_model("random", "random", config, seed) for seed in (0, 0, 1)]
    prints = [initial.fingerprint(model, model.config) for model in models]
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_gives_its_own_weights(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    again = initial.starting_model("ours", str(tmp_path / "model"), MedslipConfig(**MODEL), seed=5)
    assert initial.fingerprint(again, again.config) == initial.fingerprint(model, model.config)


def test_a_checkpoint_of_another_architecture(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    other = MedslipConfig(**{**MODEL, "backbone": "resnet18"})
    with pytest.raises(ValueError, match="another architecture: backbone is 'test_resnet', not 'resnet18'. Compare"):
        initial.starting_model("ours", str(tmp_path / "model"), other, seed=0)


def test_a_trunk_of_one_size_of_image_keeps_it(tmp_path):
    vit = {**MODEL, "backbone": "vit_tiny_patch16_224", "image_size": 64}
    MedslipModel(MedslipConfig(**vit)).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="another architecture: image_size is 64, not 96"):
        initial.starting_model("ours", str(tmp_path / "model"), MedslipConfig(**{**vit, "image_size": 96}), seed=0)


def test_no_model_and_no_architecture(tmp_path):
    with pytest.raises(FileNotFoundError, match="no saved model there"):
        initial.architecture({"ours": str(tmp_path)}, {})
    with pytest.raises(ValueError, match="no architecture"):
        initial.architecture({"random": "random"}, {})
