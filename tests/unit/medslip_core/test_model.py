from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medslip_core.losses.objective import medslip_objective
from medslip_core.losses.protocl import sample_negatives
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.parameters import ParameterError
from medslip_core.text import PACKAGED_MINILM

TEXT_DIM, SIZE = 24, 64


def tiny(**options: object) -> MedslipModel:
    """A model with a small trunk and decoder, and books, in eval mode."""
    torch.manual_seed(0)
    settings = dict(backbone="resnet18", image_size=SIZE, text_dim=TEXT_DIM, hidden_dim=32, feed_forward_dim=64)
    model = MedslipModel(MedslipConfig(**(settings | dict(decoder_layers=2) | options)))
    model.set_books(torch.randn(51, TEXT_DIM), torch.randn(75, TEXT_DIM), "random")
    return model.eval()


@pytest.fixture(scope="module")
def model() -> MedslipModel:
    return tiny()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_published_setting_is_the_default() -> None:
    model = MedslipModel(MedslipConfig())
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == 21.24
    assert model.anatomy_book.shape == (51, 768) and model.pathology_book.shape == (75, 768)
    assert model.gate.weight.std().item() == pytest.approx(0.02, rel=0.02)
    with pytest.raises(ValueError, match="no text books"):
        model(torch.zeros(1, 3, 64, 64))


def test_attention_is_drawn_as_published_or_as_torch_draws_it() -> None:
    published, wide = (
        tiny(hidden_dim=64, wide_attention=wide).anatomy_decoder.layers[0].cross_attention for wide in (False, True)
    )
    for part in (published.query, published.key, published.value, published.output):
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.05) and not part.bias.any()
    of_torch = torch.nn.MultiheadAttention(64, 1).in_proj_weight
    assert wide.key.weight.std().item() == pytest.approx(of_torch.std().item(), rel=0.05) and not wide.key.bias.any()


def test_shapes(model: MedslipModel, images: torch.Tensor) -> None:
    with torch.no_grad():
        output = model(images, output_attentions=True)
    assert output.pathology_logits.shape == (3, 75, 2) and output.anatomy_logits.shape == (3, 51, 2)
    assert output.pathology_features.shape == (3, 75, 32) and output.anatomy_features.shape == (3, 51, 32)
    assert output.pathology_prototypes.shape == (3, 75, TEXT_DIM)
    assert output.anatomy_prototypes.shape == (3, 51, TEXT_DIM)
    assert output.icl_logits.shape == (3, 51, 75) and output.grid == (4, 4)
    assert output.pathology_attention.shape == (2, 3, 75, 16) and output.anatomy_attention.shape == (2, 3, 51, 16)
    torch.testing.assert_close(output.pathology_attention.sum(-1), torch.ones(2, 3, 75))
    torch.testing.assert_close(output.anatomy_attention.sum(-1), torch.ones(2, 3, 51))


def test_attention_is_returned_only_when_asked_and_changes_nothing(model: MedslipModel, images: torch.Tensor) -> None:
    with torch.no_grad():
        quiet, asked = model(images), model(images, output_attentions=True)
    assert quiet.pathology_attention is None and quiet.anatomy_attention is None
    torch.testing.assert_close(quiet.icl_logits, asked.icl_logits, rtol=1e-4, atol=1e-4)


def test_result_does_not_depend_on_the_batch(model: MedslipModel, images: torch.Tensor) -> None:
    with torch.no_grad():
        together = model(images)
        alone = [model(image[None]) for image in images]
    for name in ("pathology_logits", "anatomy_logits", "icl_logits"):
        apart = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(together, name), apart, rtol=1e-4, atol=1e-5)


OPTIONS = dict(
    gate_activation="sigmoid",
    final_norm="separate",
    memory_norm=True,
    memory_position="sincos2d",
    query_residual=True,
    center_books=True,
    feature_norm=True,
    icl_scale=10.0,
    protocl_temperature=0.1,
)


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["published", "all options"])
def test_saved_model_comes_back_bit_for_bit(options: dict, images: torch.Tensor, tmp_path: Path) -> None:
    model = tiny(**options)
    model.save_pretrained(tmp_path)
    again = MedslipModel.from_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file() and not again.training
    assert again.config == model.config
    state = again.state_dict()
    assert state.keys() == model.state_dict().keys() >= {"anatomy_book", "pathology_book"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(model(images).icl_logits, again(images).icl_logits)


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - {"protocl_temperature"}))
def test_every_option_of_the_forward_pass_does_something(
    option: str, model: MedslipModel, images: torch.Tensor
) -> None:
    changed = tiny(**{option: OPTIONS[option]})
    missing, unexpected = changed.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    if option in ("final_norm", "query_residual"):  # these start where the published setting stands; only then part
        assert missing
        with torch.no_grad():
            for name in missing:
                weight = changed.get_parameter(name)
                weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        assert not torch.allclose(changed(images).icl_logits, model(images).icl_logits)


@pytest.mark.parametrize("fault", ["missing", "unexpected", "mismatched"])
def test_loading_is_strict(fault: str, model: MedslipModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    if fault == "missing":
        del weights["query_projection.weight"]
    elif fault == "unexpected":
        weights["query_projection.extra"] = torch.zeros(1)
    else:
        weights["query_projection.weight"] = torch.zeros(32, TEXT_DIM + 1)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"{fault}: .*query_projection"):
        MedslipModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["published", "all options"])
def test_training_step_reaches_every_parameter(options: dict, images: torch.Tensor) -> None:
    model = tiny(**options).train()
    matrix = torch.randint(-1, 2, (3, 51, 75), generator=torch.Generator().manual_seed(2), dtype=torch.int8)
    output = model(images)
    negatives = sample_negatives(matrix, 7, torch.Generator().manual_seed(3))
    terms = medslip_objective(
        output, matrix, *model.text_books(), negatives, temperature=model.config.protocl_temperature
    )
    terms.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_other_vocabulary() -> None:
    config = MedslipConfig(backbone="resnet18", text_dim=8, anatomies=["left", "right"], pathologies=["a", "b", "c"])
    model = MedslipModel(config).eval()
    model.set_books(torch.randn(2, 8), torch.randn(3, 8), "random")
    assert model(torch.randn(1, 3, 64, 64)).icl_logits.shape == (1, 2, 3)


def test_centred_books() -> None:
    anatomy_book, pathology_book = tiny(center_books=True).text_books()
    torch.testing.assert_close(anatomy_book.norm(dim=1), torch.full((51,), TEXT_DIM**0.5))
    torch.testing.assert_close(pathology_book.norm(dim=1), torch.full((75,), TEXT_DIM**0.5))


def test_books_of_the_wrong_shape(model: MedslipModel) -> None:
    with pytest.raises(ValueError, match=r"pathology_book from 'x' has shape \(74, 24\)"):
        model.set_books(torch.randn(51, TEXT_DIM), torch.randn(74, TEXT_DIM), "x")


def test_books_keep_the_pooling_that_their_encoder_has_by_itself() -> None:
    model, books = tiny(), (torch.randn(51, TEXT_DIM), torch.randn(75, TEXT_DIM))
    model.set_books(*books, PACKAGED_MINILM)
    assert model.config.text_pooling == "mean"
    model.set_books(*books, PACKAGED_MINILM, "cls")
    assert model.config.text_pooling == "cls"


def test_books_that_are_not_finite(model: MedslipModel) -> None:
    with pytest.raises(ValueError, match="pathology_book from 'x' has values that are not finite"):
        model.set_books(torch.zeros(51, TEXT_DIM), torch.full((75, TEXT_DIM), torch.nan), "x")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_answers_in_it(images: torch.Tensor, dtype: torch.dtype) -> None:
    model = tiny(memory_norm=True, memory_position="sincos2d", center_books=True)
    new = torch.randn(2, TEXT_DIM)
    with torch.inference_mode():
        expected = model(images, more_pathologies=new).pathology_logits.softmax(-1)
        found = model.to(dtype)(images.to(dtype), more_pathologies=new).pathology_logits
    assert found.dtype == dtype
    torch.testing.assert_close(found.float().softmax(-1), expected, atol=0.02, rtol=0)


def test_pixel_values_come_to_the_model_from_any_device() -> None:
    model = tiny().to("meta")
    assert model.pixel_values(torch.zeros(1, SIZE, SIZE)).device.type == "meta"
    assert model.pixel_values(np.zeros((1, SIZE, SIZE), np.uint8)).device.type == "meta"


def test_pixel_values(model: MedslipModel) -> None:
    grey = torch.full((2, 80, 80), 255, dtype=torch.uint8)
    pixels = model.pixel_values(grey)
    assert pixels.shape == (2, 3, SIZE, SIZE) and pixels.dtype == torch.float32
    expected = (1 - torch.tensor(model.config.image_mean)) / torch.tensor(model.config.image_std)
    torch.testing.assert_close(pixels[1, :, 5, 7], expected)
    torch.testing.assert_close(pixels, model.pixel_values(grey.float() / 255))
    for array in (grey.numpy(), grey.numpy()[:, ::-1], grey.numpy() / 255, (grey.numpy() / 255).astype(np.float16)):
        torch.testing.assert_close(model.pixel_values(array), pixels)


@pytest.mark.parametrize(("option", "value"), [("gate_activation", "relu"), ("memory_position", "learned")])
def test_config_rejects_unknown_choices(option: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"{option}: '{value}' is none of"):
        MedslipConfig(**{option: value})


def test_compiles_as_one_graph(images: torch.Tensor) -> None:
    model = tiny(**OPTIONS)
    with torch.no_grad():
        expected = model(images)
        model.compile(backend="eager", fullgraph=True)
        torch.testing.assert_close(model(images).icl_logits, expected.icl_logits)
    assert all(not name.startswith("_orig_mod") for name in model.state_dict())


def test_without_gate_both_streams_see_the_whole_image(images: torch.Tensor) -> None:
    model = tiny(gated=False).train()
    assert not any(name.startswith("gate") for name in model.state_dict())
    model.anatomy_projection.load_state_dict(model.pathology_projection.state_dict())
    pathology, anatomy, _ = model.eval().memories(images)
    assert torch.equal(pathology, anatomy)
    gated = tiny()
    gated.anatomy_projection.load_state_dict(gated.pathology_projection.state_dict())
    pathology, anatomy, _ = gated.memories(images)
    assert not torch.allclose(pathology, anatomy)


def test_more_pathologies_stand_behind_the_stored_ones(images: torch.Tensor) -> None:
    model = tiny(query_residual=True)
    with torch.no_grad():
        model.pathology_residual.normal_()
    seen = {}
    model.pathology_decoder.register_forward_pre_hook(lambda _, given: seen.update(queries=given[0]))
    with torch.no_grad():
        output = model(images, more_pathologies=torch.randn(2, TEXT_DIM))
        asked = seen["queries"]
        model(images)
    assert output.pathology_logits.shape == (3, 77, 2)
    assert torch.equal(asked[:, :75], seen["queries"])


@pytest.mark.parametrize("images, said", [
    (torch.full((1, 64, 64), 4095, dtype=torch.int16), "images are torch.int16: give uint8"),
    (torch.full((1, 64, 64), 255.0), "images lie in 255..255: floats must lie in 0..1"),
    (torch.full((1, 64, 64), -1024.0), "images lie in -1024"),
    (torch.full((1, 64, 64), float("nan")), "images lie in nan"),
    (torch.zeros(1, 64, 60), r"images have shape \[1, 64, 60\], not \[B, H, H\]: grey and square"),
    (torch.zeros(1, 3, 64, 64), "images have shape"),
    ([np.zeros((64, 64), np.uint8)], "images are a list, not an array or tensor: np.stack"),
])  # fmt: skip
def test_what_is_no_batch_of_grey_images_is_refused(model: MedslipModel, images: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model.pixel_values(images)
