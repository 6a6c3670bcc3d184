"""A saved model's folder: what lies in it, what it says about itself, and what is refused."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.loading import load_model
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.vocabulary import PATHOLOGIES

SMALL = dict(backbone="resnet10t", image_size=32, text_dim=8, hidden_dim=16, decoder_layers=1, feed_forward_dim=16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = MedslipModel(MedslipConfig(**SMALL))
    model.set_books(torch.randn(51, 8), torch.randn(75, 8), "an encoder")
    model.save_pretrained(tmp_path / "model", training="32 images of a test")
    return tmp_path / "model"


def test_the_card_says_what_the_model_is_for_and_what_it_is_not(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n") and "\n## Intended use\n" in card and "Not a medical device" in card
    for fact in ("32 images of a test", "resnet10t", "32 px", "an encoder", "75 pathologies"):
        assert fact in card


def test_the_card_shows_how_to_ask_about_an_image_file(folder: Path, monkeypatch, capsys) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8)
    Image.fromarray(image).save(folder / "radiograph.png")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("medslip_core.text.embed_texts", lambda texts, **_: torch.ones(len(texts), 8))
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    told = {}
    exec(code, told)
    square = told["square"]
    assert square.shape == (32, 32) and not square[:, :5].any() and square[:, 6:26].any()  # between black bars
    assert told["present"].numpy().shape == (1, 75) and told["found"].shape == (1, 1)
    likeliest = ast.literal_eval(capsys.readouterr().out)
    model = MedslipModel.from_pretrained(folder)
    prob = model(model.pixel_values(square[None])).pathology_logits.softmax(dim=-1)[0, :, 1]
    best = int(prob.argmax())
    assert told["heat"].shape == image.shape and 0 <= told["heat"].min() < told["heat"].max() <= 1
    assert likeliest[0] == (pytest.approx(prob[best].item()), PATHOLOGIES[best]) and len(likeliest) == 5


def test_the_folder_holds_what_the_hub_expects(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert (
        config["backbone"] == "resnet10t" and config["text_encoder"] == "an encoder" and len(config["anatomies"]) == 51
    )


def test_the_card_of_a_loaded_model_still_says_what_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    MedslipModel.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == (folder / "README.md").read_text()
    (folder / "README.md").unlink()
    MedslipModel.from_pretrained(folder).save_pretrained(tmp_path / "other")
    assert "| trained on | not recorded |" in (tmp_path / "other" / "README.md").read_text()


def test_loading_is_strict_about_everything_at_once(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["gate.weight"]
    weights["gate.extra"] = torch.zeros(1)
    weights["query_projection.weight"] = torch.zeros(16, 9)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match="missing: gate.weight; unexpected: gate.extra; mismatched: query_projection"):
        MedslipModel.from_pretrained(folder)


@pytest.mark.parametrize("content, message", [
    ("{", "config.json: damaged"),
    ("[1]", "config.json: damaged"),
    ('{"hiden_dim": 3}', "config.json: not a MedslipConfig of this version: hiden_dim: unknown"),
    ('{"method": "gloria", "image_dim": 3}', "not a MedslipConfig, another kind of model; .*load_model reads it$"),
    ('{"hidden_dim": "64"}', "config.json: not a MedslipConfig of this version: hidden_dim: '64' is str"),
])  # fmt: skip
def test_a_bad_config_is_named(content: str, message: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        MedslipModel.from_pretrained(folder)


def test_damaged_weights_are_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="model.safetensors: damaged"):
        MedslipModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        MedslipModel.from_pretrained(folder)


def test_neither_a_folder_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="someone/some-model: no such folder, and not to be had"):
        MedslipModel.from_pretrained("someone/some-model")


@pytest.mark.parametrize("source", ["no/such/folder", "./nowhere", "{}/nowhere", "model/nowhere"])
def test_a_mistyped_folder_is_not_looked_for_on_the_hub(source: str, folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder.parent)
    source = source.format(folder)
    with pytest.raises(FileNotFoundError, match=f"{Path(source).resolve()}: no saved model there: no such folder"):
        MedslipModel.from_pretrained(source)


def test_a_folder_around_a_model_leads_to_it(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{folder.parent}: no saved model there .*; is {folder} meant"):
        MedslipModel.from_pretrained(folder.parent)


def test_a_killed_saving_leaves_the_model_that_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model = MedslipModel.from_pretrained(folder)
    with torch.no_grad():
        model.pathology_book.zero_()
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_contrasted_model_is_read_from_the_hub_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dict(method="convirt", backbone="resnet10t", image_size=32, text_encoder="packaged-minilm")
    ContrastiveModel(ContrastiveConfig(**config)).save_pretrained(tmp_path / "model")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(tmp_path / "model"))
    assert isinstance(load_model("someone/contrasted"), ContrastiveModel)


def test_a_model_is_read_from_the_hub_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def download(name: str, **options: object) -> str:
        asked.update(name=name, **options)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    model = MedslipModel.from_pretrained("someone/some-model", revision="v1")
    assert model.config.text_encoder == "an encoder" and not model.training
    assert asked == {
        "name": "someone/some-model",
        "revision": "v1",
        "allow_patterns": ["config.json", "model.safetensors", "README.md"],
    }
