"""A process that does nothing but write checkpoints, killed at any moment: nothing lost, nothing mixed."""

import ctypes
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from medslip_core.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    list_checkpoints,
    prune_checkpoints,
    read_checkpoint,
    step_folder,
    write_checkpoint,
)

from .outcome import Outcome
from .tiny_run import PROCESSES

KEEP = 2
VALUES = 200_000  # per tensor: long enough to be killed inside


def kill_saving(count: int, seed: int = 0) -> Outcome:
    """Kill `count` writers; each goes on where the last that verifies stands."""
    outcome = Outcome("kill-saving", "the last confirmed checkpoint or a later one verifies, all of one step")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for _ in range(count):
            confirmed = PROCESSES.Value("l", 0, lock=False)  # a writer killed with the lock in hand would keep it
            begun = PROCESSES.Event()
            writer = PROCESSES.Process(target=_write_on, args=(root, confirmed, begun))
            writer.start()
            begun.wait(60)
            time.sleep(draw.uniform(0, 0.1))
            writer.kill()
            writer.join()
            moment = "while writing" if list(root.glob(".partial-*")) else "between writes"
            outcome.count(moment, _problem(root, confirmed.value))
        outcome.notes["checkpoints_written"] = max((int(f.name[5:]) for f in list_checkpoints(root)), default=0)
    return outcome


def _write_on(root: Path, confirmed: ctypes.c_long, begun: Any) -> None:
    found = latest_checkpoint(root)
    step = found.state["step"] if found else 0
    begun.set()
    while True:
        step += 1
        tensors = {stem: {"values": torch.full((VALUES,), float(step))} for stem in ("model", "optimizer")}
        write_checkpoint(step_folder(root, step), tensors, {"step": step})
        confirmed.value = step
        prune_checkpoints(root, KEEP)


def _problem(root: Path, confirmed: int) -> str:
    try:
        found = latest_checkpoint(root)
    except CheckpointError as error:
        return str(error)
    step = found.state["step"] if found else 0
    if step < confirmed:
        return f"step {confirmed} was confirmed, {step} is the last that verifies"
    if found and any((named["values"] != step).any() for named in found.tensors.values()):
        return f"step {step} holds tensors of other steps"
    folders = list_checkpoints(root)
    if step > 1 and len(folders) < KEEP:
        return f"{len(folders)} checkpoints are left"
    for folder in folders[:KEEP]:
        try:
            read_checkpoint(folder)
        except CheckpointError as error:
            return str(error)
    return ""
