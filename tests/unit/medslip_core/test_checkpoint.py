"""Checkpoints under kills, bit flips, missing files, full disks."""

import errno
import json
import os
import random
from pathlib import Path

import pytest
import torch

from medslip_core import checkpoint
from medslip_core.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    read_checkpoint,
    step_folder,
    write_checkpoint,
)


def write(root: Path, step: int) -> Path:
    folder = step_folder(root, step)
    tensors = {"model": {"w": torch.full((5, 3), float(step))}, "optimizer": {"w/exp_avg": torch.full((4,), -step)}}
    write_checkpoint(folder, tensors, {"step": step})
    return folder


def is_of_step(found: checkpoint.Checkpoint, step: int) -> bool:
    return (
        found.state == {"step": step}
        and (found.tensors["model"]["w"] == step).all()
        and (found.tensors["optimizer"]["w/exp_avg"] == -step).all()
    )


def test_what_is_written_is_read(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    tensors = {"model": {"one": shared, "same": shared, "view": shared.T, "count": torch.tensor(3)}}
    write_checkpoint(tmp_path / "step-00000001", tensors, {"note": "NaN is kept", "score": float("-inf")})
    found = read_checkpoint(tmp_path / "step-00000001")
    assert all(torch.equal(found.tensors["model"][name], tensor) for name, tensor in tensors["model"].items())
    assert found.state == {"note": "NaN is kept", "score": float("-inf")}
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["manifest.json", "model.safetensors", "state.json"]


def test_every_single_bit_flip_is_found(tmp_path):
    write(tmp_path, 1)
    folder = write(tmp_path, 2)
    draw = random.Random(0)
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        for _ in range(40):
            data = bytearray(original)
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            found = latest_checkpoint(tmp_path)
            # a flip in the manifest may be of no account (a space); then the newest is used, and is right
            assert is_of_step(found, 1) or path.name == "manifest.json" and is_of_step(found, 2)
        path.write_bytes(original)
    assert is_of_step(latest_checkpoint(tmp_path), 2)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("fault", ["missing", "empty", "truncated", "longer", "folder"])
def test_damaged_files_are_named_and_the_previous_one_used(name, fault, tmp_path, caplog):
    write(tmp_path, 1)
    path = write(tmp_path, 2) / name
    data = path.read_bytes()
    path.unlink()
    if fault == "folder":
        path.mkdir()
    elif fault != "missing":
        path.write_bytes({"empty": b"", "truncated": data[:-1], "longer": data + b"x"}[fault])
    assert is_of_step(latest_checkpoint(tmp_path), 1)
    assert "passed over" in caplog.text and f"step-00000002/{name}" in caplog.text


def test_nothing_that_verifies_is_an_error_and_nothing_at_all_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    (write(tmp_path, 1) / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="none of 1 checkpoints verifies"):
        latest_checkpoint(tmp_path)


def test_a_manifest_cannot_reach_outside_its_folder(tmp_path):
    folder = write(tmp_path, 1)
    (tmp_path / "outside").write_text("secret")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "../outside": manifest["state.json"]}))
    with pytest.raises(CheckpointError, match="not a file of this folder"):
        read_checkpoint(folder)


class Killed(BaseException):
    """Nothing may catch it, as nothing catches SIGKILL."""


BOUNDARIES = {"mkdir": 1, "open": 4, "fsync": 6, "rename": 1, "rmtree": 2}  # calls of each, to write one and prune one


def stop_at(patch: pytest.MonkeyPatch, boundary: str, count: int, error: BaseException) -> None:
    """Raise instead of the count-th call (from 0) that changes the disk."""
    owner, name = {
        "mkdir": (Path, "mkdir"), "open": (checkpoint, "_write_synced"), "fsync": (os, "fsync"),
        "rename": (Path, "rename"), "rmtree": (checkpoint.shutil, "rmtree"),
    }[boundary]  # fmt: skip
    original, calls = getattr(owner, name), []

    def stopped(*arguments, **options):
        calls.append(None)
        if len(calls) == count + 1:
            if boundary == "open":  # half a file
                arguments[0].write_bytes(arguments[1][: len(arguments[1]) // 2])
            raise error
        return original(*arguments, **options)

    patch.setattr(owner, name, stopped)


@pytest.mark.parametrize("boundary, count", [(name, n) for name, calls in BOUNDARIES.items() for n in range(calls)])
def test_killed_at_any_write_boundary_nothing_is_lost_or_mixed(boundary, count, tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        stop_at(patch, boundary, count, Killed())
        write(tmp_path, 3)
        prune_checkpoints(tmp_path, keep=2)
    found = latest_checkpoint(tmp_path)
    assert is_of_step(found, 2) or is_of_step(found, 3)
    assert len(list_checkpoints(tmp_path)) >= 2
    write(tmp_path, 3)  # the run goes on
    prune_checkpoints(tmp_path, keep=2)
    assert is_of_step(latest_checkpoint(tmp_path), 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize(
    "boundary, count", [("mkdir", 0), *(("open", n) for n in range(4)), ("fsync", 2), ("rename", 0)]
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_leaves_the_previous_state(boundary, count, number, tmp_path):
    write(tmp_path, 1)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, boundary, count, OSError(number, os.strerror(number)))
        with pytest.raises(CheckpointError, match=f"could not be written .*{os.strerror(number)}.*intact"):
            write(tmp_path, 2)
    assert is_of_step(latest_checkpoint(tmp_path), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_pruning_counts_only_what_verifies(tmp_path):
    for step in range(1, 5):
        write(tmp_path, step)
    (step_folder(tmp_path, 4) / "model.safetensors").write_bytes(b"")
    prune_checkpoints(tmp_path, keep=2)
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step-00000004", "step-00000003", "step-00000002"]
    write(tmp_path, 4)  # written again: the spoilt one moves aside
    assert is_of_step(latest_checkpoint(tmp_path), 4)


def test_pruning_reads_no_more_than_it_must(tmp_path, monkeypatch):
    for step in range(1, 3):
        write(tmp_path, step)
    read = []
    monkeypatch.setattr(checkpoint, "read_files", lambda folder: read.append(folder.name))
    prune_checkpoints(tmp_path, keep=2)
    assert not read  # nothing to delete
    monkeypatch.undo()
    write(tmp_path, 3)
    monkeypatch.setattr(checkpoint, "read_files", lambda folder: read.append(folder.name))
    prune_checkpoints(tmp_path, keep=2, verified_now=step_folder(tmp_path, 3))
    assert read == ["step-00000002"] and len(list_checkpoints(tmp_path)) == 2
