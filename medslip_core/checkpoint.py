"""Checkpoints that a kill, a full disk or a flipped bit cannot spoil.

A checkpoint is a folder `step-00000120/` of safetensors files, one `state.json` and a `manifest.json` with the size and
SHA-256 of each. It is written beside its place, synced, verified, and renamed: a folder with a final name is complete.
Older ones are deleted only after the new one verifies, and reading verifies again and falls back to the one before.
No pickle is read or written.

Why not accelerate's `save_state`: it writes in place and deletes first. Killed while saving, it left unloadable or,
worse, mixed states (new weights, old optimiser), and it loads flipped bits without a word.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
STATE = "state.json"
STEP_PREFIX = "step-"
_PARTIAL, _SPOILT = ".partial-", ".spoilt-"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory."""

    folder: Path
    tensors: dict[str, dict[str, Tensor]]  # file stem -> name -> tensor on the CPU
    state: dict[str, Any]  # what state.json holds


def write_checkpoint(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that `folder` is either complete or absent at every moment.

    Args:
        folder: final place; a checkpoint there that verifies is the same state and stays, a spoilt one moves aside.
        tensors: file stem -> tensors by name (any device); one safetensors file each.
        state: what JSON can hold.

    Raises:
        CheckpointError: it could not be written (disk full, read-only) or does not verify; others are untouched.
    """
    if folder.exists():
        try:
            read_files(folder)
            return
        except CheckpointError as error:
            logger.warning("%s; it moves aside", error)
            folder.rename(folder.with_name(f"{_SPOILT}{folder.name}-{os.getpid()}"))
    partial = folder.with_name(f"{_PARTIAL}{folder.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        files = {f"{stem}.safetensors": safetensors.torch.save(_on_cpu(named)) for stem, named in tensors.items()}
        files[STATE] = json.dumps(state, indent=1).encode()
        manifest = {name: dict(bytes=len(data), sha256=_sha256(data)) for name, data in files.items()}
        for name, data in files.items():
            _write_synced(partial / name, data)
        _write_synced(partial / MANIFEST, json.dumps(manifest, indent=1).encode())
        _sync_folder(partial)
        del files
        read_files(partial)
        partial.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(f"{folder}: could not be written ({error}); earlier checkpoints are intact") from error


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint, verifying every byte that is used.

    Raises:
        CheckpointError: naming the first file that is missing, of the wrong size, changed or unreadable.
    """
    files = read_files(folder)
    try:
        state = json.loads(files.pop(STATE))
        tensors = {name.removesuffix(".safetensors"): safetensors.torch.load(data) for name, data in files.items()}
    except (KeyError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder}: {error!r} although its files verify; written by another version?") from error
    return Checkpoint(folder, tensors, state)


def read_files(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a checkpoint, each verified against the manifest.

    Raises:
        CheckpointError: as in `read_checkpoint`.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        expected = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: missing or unreadable ({error!r})") from error
    if STATE not in expected:
        raise CheckpointError(f"{folder / MANIFEST}: does not list {STATE}")
    files = {}
    for name, (size, sha256) in expected.items():
        path = folder / name
        if Path(name).name != name or path.is_symlink():
            raise CheckpointError(f"{folder / MANIFEST}: {name!r} is not a file of this folder")
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
        if len(files[name]) != size:
            raise CheckpointError(f"{path}: {len(files[name])} bytes, not {size}")
        if _sha256(files[name]) != sha256:
            raise CheckpointError(f"{path}: its SHA-256 differs from the manifest's")
    return files


def step_folder(root: Path, step: int) -> Path:
    """Place of the checkpoint after `step` steps."""
    return root / f"{STEP_PREFIX}{step:08d}"


def list_checkpoints(root: Path) -> list[Path]:
    """Folders of all checkpoints under `root`, newest first, verified or not."""
    return sorted(root.glob(f"{STEP_PREFIX}*"), reverse=True)


def latest_checkpoint(root: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies; None if there is none at all.

    Every one passed over is named in a warning.

    Raises:
        CheckpointError: there are checkpoints, but none verifies.
    """
    folders = list_checkpoints(root)
    for folder in folders:
        try:
            return read_checkpoint(folder)
        except CheckpointError as error:
            logger.warning("checkpoint passed over: %s", error)
    if folders:
        raise CheckpointError(f"{root}: none of {len(folders)} checkpoints verifies; delete the folder to start anew")
    return None


def prune_checkpoints(root: Path, keep: int, verified_now: Path | None = None) -> None:
    """Delete what lies behind the `keep` newest checkpoints that verify, and leftovers of killed writes.

    Args:
        verified_now: one that was verified a moment ago, and is not read again.
    """
    verified, folders = 0, list_checkpoints(root)
    for folder in folders if len(folders) > keep else []:
        if verified >= keep:
            shutil.rmtree(folder)
            continue
        try:
            if folder != verified_now:
                read_files(folder)
            verified += 1
        except CheckpointError as error:
            logger.warning("checkpoint does not count: %s", error)
    for leftover in root.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover)


def _on_cpu(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory, as the two decoders' final norm does.
    return {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, tensor in named.items()
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
