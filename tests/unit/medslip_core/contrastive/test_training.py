"""Contrasted models trained as MeDSLIP is: resumed to the bit, saved, loaded and asked."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_reports import REPORTS, TinyReports

from data_prep.geometry import Geometry
from medslip_core.augment import AugmentParams
from medslip_core.contrastive.config import CONTRASTIVE_METHODS
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.contrastive.reports import with_sides_swapped
from medslip_core.contrastive.task import ContrastiveTask
from medslip_core.grounding.maps import attention_maps
from medslip_core.parameters import ParameterError
from medslip_core.pretrain import pretrain, starting_model
from medslip_core.pretrain_params import PretrainParams
from medslip_core.training_run import TrainingRun
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

PARAMS = PretrainParams(
    method="convirt", seed=3, epochs=2, batch_size=4, learning_rate=1e-3, warmup_epochs=0.5, validation_min_count=1,
    checkpoint_every_steps=1, log_every_steps=1, tensorboard=False, text_encoder="packaged-minilm", device="cpu",
    model=dict(backbone="test_resnet", image_size=32, embedding_dim=8, prototypes=4),
    augment=AugmentParams(crop_scale=(0.6, 1.0), gamma=0.2),
)  # fmt: skip
STEPS = 6  # 9 training images with a statement, in batches of 4, 4 and 1, twice


class Killed(BaseException):
    """Stands for a kill: nothing in the library may catch it."""


def train(folder: Path, params: PretrainParams):
    torch.set_num_threads(1)
    return pretrain(params, TinyReports(), folder)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_a_given_model_is_of_the_method(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method 'mgca': the model is one of 'convirt'"):
        pretrain(replace(PARAMS, method="mgca"), TinyReports(), tmp_path / "run", model=starting_model(PARAMS))


@pytest.mark.parametrize("method", CONTRASTIVE_METHODS)
def test_killed_and_resumed_ends_bit_equal(method: str, tmp_path: Path) -> None:
    params = replace(PARAMS, method=method)
    whole = train(tmp_path / "whole", params)
    assert whole.steps == STEPS
    history, terms = whole.history, list(whole.model.towers.terms)
    assert np.isfinite(history[["total", *terms]].to_numpy(float)).all()
    total = history[terms] @ np.array(whole.model.towers.weights)
    np.testing.assert_allclose(history["total"], total, rtol=1e-5)

    original = TrainingRun.train_step
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):

        def train_step(run: TrainingRun) -> int:
            if run.step == 4:
                raise Killed
            return original(run)

        patch.setattr(TrainingRun, "train_step", train_step)
        train(tmp_path / "killed", params)
    train(tmp_path / "killed", params)
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")

    folder = tmp_path / "whole" / "model"
    loaded = ContrastiveModel.from_pretrained(folder)
    pixel_values = loaded.pixel_values(torch.from_numpy(TinyReports().take(np.arange(3))))
    with torch.no_grad():
        again, first = loaded(pixel_values, output_attentions=True), whole.model(pixel_values, output_attentions=True)
    torch.testing.assert_close(again.pathology_logits, first.pathology_logits)
    assert again.pathology_logits.shape == (3, len(PATHOLOGIES), 2)
    assert again.anatomy_attention.shape == (1, 3, len(ANATOMIES), again.grid[0] * again.grid[1])
    card = (folder / "README.md").read_text()
    assert f"# {method}: images contrasted with reports" in card and "9 images in the layout of 'tiny'" in card
    assert "Not a medical device" in card
    code = card.split("```python\n")[1].split("```")[0].replace('"."', repr(str(folder)))
    (image,) = TinyReports().take(np.arange(1))
    Image.fromarray(image).save(tmp_path / "radiograph.png")
    told = {}
    exec(code.replace("radiograph.png", str(tmp_path / "radiograph.png")), told)  # what the card shows
    pixel_values = loaded.pixel_values(Geometry(*image.shape, 32).image(image)[None])
    torch.testing.assert_close(told["present"], loaded(pixel_values).pathology_logits.softmax(dim=-1)[..., 1])


def test_answers_are_those_of_prompts(tmp_path: Path) -> None:
    """Presence is the cosine with the sentence of presence, less that with the one of absence."""
    model = starting_model(PARAMS).eval()
    pixel_values = model.pixel_values(torch.from_numpy(TinyReports().take(np.arange(3))))
    number = list(PATHOLOGIES).index("effusion")
    with torch.no_grad():
        answered = model(pixel_values).pathology_logits[:, number]
        for state, prompt in enumerate(("There is no pleural effusion.", "There is pleural effusion.")):
            told = model(pixel_values, [[prompt]] * 3)
            cosine = (told.seen.whole * told.read.whole).sum(dim=1)
            torch.testing.assert_close(answered[:, state], cosine / 0.1, atol=1e-5, rtol=1e-5)
    maps = attention_maps(model, TinyReports(), np.arange(3))
    assert maps.pathology("effusion").shape == (3, *told.grid)


def test_a_flipped_view_has_its_text_mirrored() -> None:
    params = replace(PARAMS, augment=AugmentParams(flip_prob=0.5))
    task = ContrastiveTask(params, TinyReports(), starting_model(params), torch.device("cpu"))
    sides = 0
    for step in range(STEPS):
        batch = task.batch(step)
        for row, flipped, text in zip(batch.rows, batch.views.flipped.tolist(), batch.texts, strict=True):
            (sentence,) = text  # ConVIRT reads one
            original = with_sides_swapped(sentence) if flipped else sentence
            assert original.rstrip(".") in " ".join(REPORTS[row % 3].split())
            sides += flipped and original != sentence
    assert sides > 0


@pytest.mark.parametrize("method", ["gloria", "mgca"])
def test_of_a_long_report_no_more_is_read_than_memory_is_given_for(method: str) -> None:
    params = replace(PARAMS, method=method)
    short = replace(params, model={**params.model, "max_sentences": 1})
    whole, cut = (
        ContrastiveTask(one, TinyReports(), starting_model(one), torch.device("cpu")) for one in (params, short)
    )
    for step in range(STEPS):
        texts = whole.batch(step).texts
        assert max(map(len, texts)) == 2 and cut.batch(step).texts == [text[:1] for text in texts]


def test_images_without_a_statement_are_not_trained_on_and_not_counted() -> None:
    task = ContrastiveTask(PARAMS, TinyReports(), starting_model(PARAMS), torch.device("cpu"))
    assert sorted(np.concatenate([task.batch(step).rows for step in range(3)])) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    batch = task.validation_batch(np.array([10, 11, 14]), 0)
    assert batch.texts[2] == [] and task.counts(batch).tolist() == [2]
    model, pixel_values = task.model.eval(), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        with_silent = task.losses(task.output(model, pixel_values, batch), batch)
        told = task.validation_batch(np.array([10, 11]), 0)
        without = task.losses(task.output(model, pixel_values[:2], told), told)
        silent = task.validation_batch(np.array([14, 15]), 0)
        nothing = task.losses(task.output(model, pixel_values[:2], silent), silent)
    torch.testing.assert_close(with_silent, without)
    assert nothing.tolist() == [0] and task.counts(silent).tolist() == [0]


def test_a_learning_text_encoder_is_trained_and_saved(tmp_path: Path) -> None:
    params = replace(PARAMS, epochs=1, warmup_epochs=0.0, result="last", model={**PARAMS.model, "text_layers": 1})
    began = starting_model(params).state_dict()
    ended = train(tmp_path, params).model.state_dict()
    moved = {name for name, weights in ended.items() if not torch.equal(weights, began[name])}
    assert any(name.startswith("text_encoder.model.encoder.layer.5.") for name in moved)
    assert not any(name.startswith("text_encoder.model.encoder.layer.4.") for name in moved)
    loaded = ContrastiveModel.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(loaded[name], weights) for name, weights in ended.items())


@pytest.mark.parametrize("method", CONTRASTIVE_METHODS)
def test_half_precision_trains_and_answers(method: str, tmp_path: Path) -> None:
    half = train(tmp_path / "half", replace(PARAMS, method=method, precision="bf16")).history
    full = train(tmp_path / "full", replace(PARAMS, method=method)).history
    first = [one[one["split"] == "train"]["total"].iloc[0] for one in (half, full)]
    assert first[0] == pytest.approx(first[1], rel=0.05) and np.isfinite(half["total"]).all()


def test_compiled_once_whatever_the_texts() -> None:
    model = starting_model(PARAMS).eval()
    model.compile(backend="eager")
    graphs = torch._dynamo.utils.counters["stats"]
    pixel_values, counted = torch.randn(2, 3, 32, 32), []
    for text in (["One."], ["Two sentences.", "Of some words."], ["A much longer sentence, of a great many words."]):
        model(pixel_values, [text, ["Another."]])
        counted.append(graphs["unique_graphs"])
    assert 0 < counted[0] == counted[-1]


def test_a_batch_of_which_nothing_is_said_teaches_nothing() -> None:
    task = ContrastiveTask(PARAMS, TinyReports(), starting_model(PARAMS), torch.device("cpu"))
    silent = task.validation_batch(np.array([14, 15]), 0)
    task.losses(task.output(task.model, torch.randn(2, 3, 32, 32), silent), silent).sum().backward()
    assert not any(one.grad.any() for one in task.model.parameters() if one.grad is not None)


def test_a_batch_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="contrasts the images of a batch with one another.*2 parts"):
        train(tmp_path, replace(PARAMS, accumulation_steps=2))


def test_a_corpus_without_reports_is_refused(tmp_path: Path) -> None:
    class Silent(TinyReports):
        silent = tuple(range(16))

    with pytest.raises(ParameterError, match="of the source 'report', and no training image of the 'tiny' corpus"):
        pretrain(PARAMS, Silent(), tmp_path)


@pytest.mark.parametrize("options, said", [
    ({"gated": False}, "gated: unknown parameter"),
    ({"embedding_dim": 0}, "embedding_dim: 0 is out of range"),
    ({"backbone": 3}, "backbone"),
])  # fmt: skip
def test_options_of_another_model_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        replace(PARAMS, model={**PARAMS.model, **options})
