"""What a result was made with: command, code revision, lock file, versions, machine. Written into every results file.

Nothing here names a user, a host or a folder of the machine, except what a command line names itself: the record is
shown in the built book.
"""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from medslip_core.files import write_whole

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("accelerate", "numpy", "pandas", "papermill", "scikit-learn", "timm", "torch", "transformers")


def write_results(path: Path, content: dict[str, object]) -> None:
    """Write figures to keep as JSON, whole or not at all, with the command and the environment that they come from.

    Args:
        path: missing folders are made.
        content: the figures. It may name a `command` or `environment` of its own, where other processes made them.
    """
    told = {"command": _command(), **content}
    told.setdefault("environment", environment_record())
    write_whole(path, (json.dumps(told, indent=1, default=str) + "\n").encode())


def environment_record() -> dict[str, object]:
    """Describe code, packages, machine and determinism settings of this process.

    Returns:
        A JSON-ready dict. Outside a git checkout `git_revision` is what MEDSLIP_REVISION says, or None, and `git_dirty`
        None; `lock_sha256` is None where there is no requirements.lock, `torch` is None as long as this
        process has not imported torch.
    """
    lock = REPOSITORY / "requirements.lock"
    changes = _git("status", "--porcelain")
    return {
        "git_revision": _git("rev-parse", "HEAD") or os.environ.get("MEDSLIP_REVISION"),
        "git_dirty": None if changes is None else bool(changes),
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        },
        "torch": _torch_settings() if "torch" in sys.modules else None,
    }


def environment_summary(record: dict[str, object]) -> str:
    """An `environment_record` in two short lines, for the first cell of a chapter."""
    packages, machine = record["packages"], record["machine"]
    revision = (record["git_revision"] or "not a git checkout")[:12] + (", changed" if record["git_dirty"] else "")
    device = f", {record['torch']['device']}" if record["torch"] else ""
    return (
        f"Python {record['python']} · torch {packages['torch']} · transformers {packages['transformers']}\n"
        f"{machine['cores']} cores{device} · revision {revision}"
    )


def _command() -> str:
    """The command line of this process; a module run by `python -m` by its name, not by the folder it lies in."""
    module = sys.modules["__main__"].__spec__
    return shlex.join(["python", *(["-m", module.name] if module else sys.argv[:1]), *sys.argv[1:]])


def _torch_settings() -> dict[str, object]:
    import torch  # here: whoever does not use torch should not wait for it

    cuda = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "devices": torch.cuda.device_count() if cuda else 1,
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        **({"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()} if cuda else {}),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", REPOSITORY, *arguments], capture_output=True, text=True, timeout=30)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
