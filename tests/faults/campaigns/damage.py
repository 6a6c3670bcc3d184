"""Files of the newest checkpoint damaged or taken away: found, named, and the one before used."""

import logging
import random
import shutil
import tempfile
from pathlib import Path

import torch

from medslip_core.checkpoint import Checkpoint, CheckpointError, latest_checkpoint, list_checkpoints, read_checkpoint

from .outcome import Outcome
from .tiny_run import difference, digests, start

FAULTS = ("bit flip", "bit flip", "bit flip", "missing", "empty", "truncated", "longer", "overwritten")
RESUMED = 5  # of the damaged runs that also train to their end


def damage(count: int, seed: int = 0) -> Outcome:
    """Damage the newest checkpoint of a run `count` times, each time one file, in one of `FAULTS`."""
    outcome = Outcome("damage", "found and named, and the checkpoint before is used, to its last bit")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        clean, stopped = Path(place, "clean"), Path(place, "stopped")
        start(clean)[0].join()
        expected = digests(clean)
        _run_halfway(clean, stopped)
        newest, before = (read_checkpoint(folder) for folder in list_checkpoints(stopped / "checkpoints"))
        for number in range(count):
            path = draw.choice(sorted(newest.folder.iterdir()))
            fault = draw.choice(FAULTS)
            whole = path.read_bytes()
            _damage(path, fault, whole, draw)
            problem = _problem(path, newest, before)
            if not problem and number < RESUMED:
                problem = _resumed(stopped, Path(place, f"resumed{number}"), expected)
                outcome.notes["trained_to_the_end"] = number + 1
            outcome.count(fault, f"{path.name}: {problem}" if problem else "")
            path.write_bytes(whole)
    return outcome


def _run_halfway(clean: Path, stopped: Path) -> None:
    """A copy of a finished run without its model: its two checkpoints are of the last steps."""
    shutil.copytree(clean, stopped)
    shutil.rmtree(stopped / "model")


def _damage(path: Path, fault: str, whole: bytes, draw: random.Random) -> None:
    if fault == "missing":
        path.unlink()
        return
    data = bytearray(whole)
    place = draw.randrange(len(data))
    if fault == "bit flip":
        data[place] ^= 1 << draw.randrange(8)
    elif fault == "overwritten":
        length = min(512, len(data) - place)
        data[place : place + length] = draw.randbytes(length)
    path.write_bytes({"empty": b"", "truncated": data[:place], "longer": data + b"\0"}.get(fault, data))


def _problem(path: Path, newest: Checkpoint, before: Checkpoint) -> str:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("medslip_core.checkpoint")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        found = latest_checkpoint(path.parent.parent)
    except CheckpointError as error:
        return str(error)
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if _same(found, newest) and path.name == "manifest.json":
        return ""  # the damage is of no account: a space of the list, or a hash that is not needed
    if not _same(found, before):
        return "other tensors than those of the checkpoint before"
    # a damaged manifest may name another file: then that one is missing
    named = str(path.parent) if path.name == "manifest.json" else str(path)
    return "" if any(named in line for line in told) else "it is named nowhere"


def _same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.state == other.state and all(
        torch.equal(tensor, other.tensors[stem][name])
        for stem, named in one.tensors.items()
        for name, tensor in named.items()
    )


def _resumed(stopped: Path, folder: Path, expected: dict[str, str]) -> str:
    shutil.copytree(stopped, folder)
    start(folder)[0].join()
    return difference(folder, expected)
