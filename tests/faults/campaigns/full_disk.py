"""A disk that fills while a run trains: it stops with an error, its last checkpoint is whole, and it goes on later.

The disk is a tmpfs that only the training process sees, mounted in a namespace of its own (Linux).
"""

import ctypes
import os
import random
import tempfile
from pathlib import Path

from medslip_core.checkpoint import CheckpointError, latest_checkpoint

from .outcome import Outcome
from .tiny_run import PROCESSES, difference, digests, rows_seen, session, start

NEW_NAMESPACES = 0x00020000 | 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
PRIVATE, REMOUNT, READ_ONLY = 0x40000 | 0x4000, 0x20, 0x1  # MS_PRIVATE | MS_REC, MS_REMOUNT, MS_RDONLY
ROOMY_BYTES = 2**28


def full_disk(count: int, seed: int = 0) -> Outcome:
    """Train on `count` disks of random size, each of which is full before the run ends.

    Raises:
        OSError: this machine does not let a user mount a tmpfs of his own.
    """
    outcome = Outcome("full-disk", "stops with an error, its last checkpoint whole; with room it ends bit-equal")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        clean = Path(place, "clean")
        start(clean)[0].join()
        expected, needed = digests(clean), _bytes(clean)
        for number in range(count):
            answers = PROCESSES.SimpleQueue()
            room = draw.randrange(4096, int(needed * 1.3))
            disk = Path(place, f"disk{number}")
            disk.mkdir()
            process = PROCESSES.Process(target=_on_small_disk, args=(disk, room, expected, answers))
            process.start()
            process.join()
            if answers.empty():
                outcome.count("died", f"{room} bytes: the process died, exit code {process.exitcode}")
                continue
            kind, problem = answers.get()
            if kind == "cannot mount":
                raise OSError(problem)
            outcome.count(kind, f"{room} bytes: {problem}" if problem else "")
    return outcome


def can_mount() -> bool:
    """Whether this machine lets a process mount a tmpfs of its own."""
    with tempfile.TemporaryDirectory() as place:
        process = PROCESSES.Process(target=_mount_and_leave, args=(Path(place),))
        process.start()
        process.join()
    return process.exitcode == 0


def _mount_and_leave(disk: Path) -> None:
    try:
        _own_namespace()
        _mount(disk, 4096)
    except OSError:
        os._exit(1)


def _on_small_disk(disk: Path, room: int, expected: dict[str, str], answers) -> None:
    try:
        _own_namespace()
        _mount(disk, room)
    except OSError as error:
        answers.put(("cannot mount", str(error)))
        return
    run, notes = disk / "run", disk.with_name(f"{disk.name}-notes")
    run.mkdir()
    notes.mkdir()
    try:
        session(run, notes=notes)
    except (OSError, CheckpointError) as error:
        kind, problem = _left(run, notes, str(error))
    else:
        kind, problem = "large enough", ""
    _mount(disk, ROOMY_BYTES, REMOUNT | READ_ONLY)
    if kind != "large enough":
        try:
            session(run, notes=notes)
            problem = "trained on a read-only disk without an error"
        except (OSError, CheckpointError):
            pass
    _mount(disk, ROOMY_BYTES, REMOUNT)
    session(run, notes=notes)
    answers.put((kind, problem or difference(run, expected, notes)))


def _left(run: Path, notes: Path, reason: str) -> tuple[str, str]:
    """When the disk was full, and what is wrong with what the run left (if anything)."""
    if "No space left" not in reason:
        return "full", f"the error does not say why: {reason}"
    try:
        found = latest_checkpoint(run / "checkpoints")
    except CheckpointError as error:
        return "full", str(error)
    begun, saved = max(rows_seen(notes), default=-1) + 1, found.state["step"] if found else 0
    if begun - saved > 1:
        return "full", f"{begun} steps had begun, the last whole checkpoint is of step {saved}"
    return f"full {'after' if found else 'before'} the first checkpoint", ""


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _own_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", NEW_NAMESPACES)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _call("mount", None, b"/", None, PRIVATE, None)


def _mount(disk: Path, room: int, flags: int = 0) -> None:
    _call("mount", b"tmpfs", os.fsencode(disk), b"tmpfs", flags, b"size=%d" % room)


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
