"""Checkpoints, caches and corpora that carry code: nothing of it is run, and what is wrong is said.

Each payload would touch a file, the canary. What is signed (checkpoints, corpora) is signed anew after it is put in.
"""

import contextlib
import hashlib
import json
import pickle
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel, BertTokenizerFast

from data_prep.corpus import prepare
from medslip_core.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from medslip_core.corpus import HEADER, CorpusError, PreparedCorpus, block_digests, header_digest
from medslip_core.published import load_published
from medslip_core.text import embed_texts
from pipeline.parameters import ParametersError, read_parameters

TEXTS = ["air"]


class Payload:
    """Touches the canary when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return Path.touch, (self.canary,)


class Key(Payload):
    """A payload that can be the key of a dict."""

    def __hash__(self) -> int:
        return 1


def command(canary: Path) -> bytes:
    return b"cposix\nsystem\n(S'touch %s'\ntR." % bytes(canary)


def expression(canary: Path) -> bytes:
    return b"c__builtin__\neval\n(S\"open('%s', 'w')\"\ntR." % bytes(canary)


def saved(content: object, path: Path, **options: object) -> None:
    torch.save(content, path, **options)


PUBLISHED = {
    "weights: under model": lambda path, canary: saved({"model": Payload(canary)}, path),
    "weights: at the top": lambda path, canary: saved(Payload(canary), path),
    "weights: beside good ones": lambda path, canary: saved({"a": torch.ones(1), "b": Payload(canary)}, path),
    "weights: as a key": lambda path, canary: saved({Key(canary): torch.ones(1)}, path),
    "weights: old format": lambda path, canary: saved(Payload(canary), path, _use_new_zipfile_serialization=False),
    "weights: bare pickle": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary))),
    "weights: shell command": lambda path, canary: path.write_bytes(command(canary)),
    "weights: expression": lambda path, canary: path.write_bytes(expression(canary)),
    "weights: numbers for names": lambda path, canary: saved({1: torch.ones(1)}, path),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights(tmp_path, name):
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    PUBLISHED[name](path, canary)
    with pytest.raises(ValueError, match=str(path)):
        load_published(path)
    assert not canary.exists()


CHECKPOINT = {
    "checkpoint: weights": ("model.safetensors", lambda canary: pickle.dumps(Payload(canary))),
    "checkpoint: state": ("state.json", lambda canary: pickle.dumps(Payload(canary))),
    "checkpoint: one file more": ("optimizer.pkl", lambda canary: pickle.dumps(Payload(canary))),
    "checkpoint: header longer than the file": ("model.safetensors", lambda canary: b"\xff" * 8 + command(canary)),
    "checkpoint: lists in lists": ("state.json", lambda canary: b"[" * 100_000),
    "checkpoint: manifest": ("manifest.json", lambda canary: pickle.dumps(Payload(canary))),
}


@pytest.mark.parametrize("name", CHECKPOINT)
def test_checkpoint(tmp_path, name):
    folder, canary = tmp_path / "step-00000001", tmp_path / "canary"
    write_checkpoint(folder, {"model": {"w": torch.ones(3)}}, {"step": 1})
    file, content = CHECKPOINT[name][0], CHECKPOINT[name][1](canary)
    (folder / file).write_bytes(content)
    if file != "manifest.json":
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest[file] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        read_checkpoint(folder)
    assert not canary.exists()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    """A tiny BERT with random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "air"]))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(BertConfig(vocab_size=6, max_position_embeddings=8, **shape)).save_pretrained(folder)
    return folder


CACHE = {
    "cache: pickle": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary))),
    "cache: torch's format": lambda path, canary: saved({"embeddings": Payload(canary)}, path),
    "cache: empty": lambda path, canary: path.write_bytes(b""),
    "cache: another name": lambda path, canary: save_file({"other": torch.ones(1, 8)}, path),
    "cache: another shape": lambda path, canary: save_file({"embeddings": torch.ones(2, 8)}, path),
    "cache: not a number": lambda path, canary: save_file({"embeddings": torch.full((1, 8), torch.nan)}, path),
}


@pytest.mark.parametrize("name", CACHE)
def test_a_text_cache_that_is_not_ours_is_made_anew(encoder, tmp_path, name, caplog):
    canary = tmp_path / "canary"
    right = embed_texts(TEXTS, str(encoder), cache_folder=tmp_path / "cache")
    (cached,) = (tmp_path / "cache" / "text").iterdir()
    CACHE[name](cached, canary)
    assert torch.equal(embed_texts(TEXTS, str(encoder), cache_folder=tmp_path / "cache"), right)
    assert not canary.exists() and "embedded anew" in caplog.text
    assert torch.equal(embed_texts(TEXTS, str(encoder), cache_folder=tmp_path / "cache"), right)


def own_code(folder: Path, canary: Path, what: str, file: str) -> None:
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w')\nclass Own: pass\n")
    settings = json.loads((folder / file).read_text())
    settings |= {"auto_map": {what: "own.Own" if what == "AutoModel" else ["own.Own", None]}, "model_type": "own"}
    (folder / file).write_text(json.dumps(settings | {"tokenizer_class": "Own"}))


def pickled_weights(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Payload(canary)}, folder / "pytorch_model.bin")


ENCODER = {
    "encoder: pickled weights": pickled_weights,
    "encoder: a model's own code": lambda folder, canary: own_code(folder, canary, "AutoModel", "config.json"),
    "encoder: a tokenizer's own code": lambda folder, canary: own_code(
        folder, canary, "AutoTokenizer", "tokenizer_config.json"
    ),
}


@pytest.mark.parametrize("name", ENCODER)
def test_text_encoder(encoder, tmp_path, name):
    folder, canary = shutil.copytree(encoder, tmp_path / "encoder"), tmp_path / "canary"
    ENCODER[name](folder, canary)
    with contextlib.suppress(ValueError):  # what needs no code of its own may be read without it
        embed_texts(TEXTS, str(folder), cache_folder=tmp_path / "cache")
    assert not canary.exists()


def pickled_type(path: Path, canary: Path) -> None:
    """An Arrow type whose description old versions unpickled."""
    described = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    described[b"ARROW:extension:metadata"] = pickle.dumps(Payload(canary))
    field = pa.field("study_id", pa.string(), metadata=described)
    pq.write_table(pa.table([pa.array(["a"])], schema=pa.schema([field])), path)


CORPUS = {
    "corpus: pickled manifest": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary))),
    "corpus: pickled type in the manifest": pickled_type,
}


@pytest.mark.parametrize("name", CORPUS)
def test_corpus(nih_layout, tmp_path, name):
    folder, canary = prepare("nih", nih_layout, tmp_path / "corpus", 16, processes=1), tmp_path / "canary"
    CORPUS[name](folder / "manifest.parquet", canary)
    header = json.loads((folder / HEADER).read_text())
    entry = header["files"]["manifest.parquet"]
    entry["bytes"] = (folder / "manifest.parquet").stat().st_size
    entry["sha256"] = block_digests(folder / "manifest.parquet")
    header["sha256"] = header_digest(header)
    (folder / HEADER).write_text(json.dumps(header))
    with pytest.raises(CorpusError, match=r"manifest\.parquet"):
        PreparedCorpus.open(folder)
    assert not canary.exists()


def test_params_file(tmp_path):
    path, canary = tmp_path / "one.yaml", tmp_path / "canary"
    path.write_text(f"seed: !!python/object/apply:os.system ['touch {canary}']\n")
    with pytest.raises(ParametersError, match="not readable as YAML"):
        read_parameters(path, {})
    assert not canary.exists()
