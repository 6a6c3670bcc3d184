"""Kernels and batch drivers killed while a study of tiny chapters runs: nothing unfinished is ever taken for done."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
from tiny_book import write_chapter

from pipeline.run_chapter import ChapterFailed, ChapterRun, run_chapter

from .outcome import Outcome

REPOSITORY = Path(__file__).resolve().parents[3]
CHAPTERS = ("one", "two")
REPORT_PROCESS = "import os, pathlib\npathlib.Path(chapter.folder, 'pid').write_text(str(os.getpid()))"
SLEEP = "import time\ntime.sleep(0.2)"


def kill_kernel(count: int, seed: int = 0) -> Outcome:
    """Kill the kernel of `count` chapters, each at a random moment after it has begun."""
    outcome = Outcome("kill-kernel", "the chapter fails, is not counted as done, and cells not run are marked so")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        run = ChapterRun("one", "demo", Path(place, "book"), Path(place, "params"), Path(place, "runs"))
        write_chapter(run.book, "one", REPORT_PROCESS, *[SLEEP] * 3)
        for _ in range(count):
            outcome.count("killed", _kill_one_kernel(run, draw.uniform(0, 0.5)))
    return outcome


def _kill_one_kernel(run: ChapterRun, delay_s: float) -> str:
    """What was wrong after the kill; empty if nothing."""
    reported = run.folder / "pid"
    reported.unlink(missing_ok=True)

    def kill() -> None:
        while not reported.exists() or not reported.read_text():
            time.sleep(0.01)
        time.sleep(delay_s)
        os.kill(int(reported.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run_chapter(run)
        return "counted as done"
    except ChapterFailed as failed:
        told = str(failed)
    finally:
        killer.join()
    if "DeadKernelError" not in told:
        return f"says {told}"
    if run.copy().exists() or (run.folder / "results.json").exists():
        return "results are left"
    cells = nbformat.read(run.copy(".failed"), as_version=4).cells
    if "not-run" not in cells[-1].metadata.tags:
        return "the last cell is not marked as not run"
    return ""


def kill_driver(count: int, seed: int = 0) -> Outcome:
    """Kill make, the batch driver and its kernel `count` times; make then runs what is unfinished, and only that."""
    outcome = Outcome("kill-driver", "finished chapters stay as they are, all others run; no part looks done")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        study = _study(Path(place))
        began = time.monotonic()
        if _make(study).wait() != 0:
            raise RuntimeError("make fails without being killed")
        duration_s = time.monotonic() - began
        while outcome.total < count:
            _forget(study, draw.randrange(1, len(CHAPTERS) + 1))
            finished = _finished(study)
            make = _make(study)
            time.sleep(draw.uniform(0, duration_s))
            running = make.poll() is None
            os.killpg(make.pid, signal.SIGKILL) if running else None
            make.wait()
            problem = _torn(study)
            before = finished | _finished(study)
            status = _make(study).wait()
            after = _finished(study)
            if status != 0 or set(after) != set(CHAPTERS):
                problem = f"the second make ended with {status}, done: {sorted(after)}"
            repeated = [name for name, run_id in before.items() if after.get(name) != run_id]
            if repeated:
                problem = f"{repeated} were done, and ran again"
            outcome.count(f"{len(before)} of {len(CHAPTERS)} chapters were done", problem)
    return outcome


def _study(folder: Path) -> Path:
    """A copy of the pipeline around two tiny chapters, the second of which reads the first's results."""
    for name in ("Makefile", "pipeline", "medslip_core"):
        (folder / name).symlink_to(REPOSITORY / name)
    write_chapter(folder / "book", "one", SLEEP)
    write_chapter(folder / "book", "two", SLEEP, after="one")
    toc = "".join(f"  - file: {name}\n" for name in CHAPTERS)
    (folder / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{toc}")
    for name in ("requirements.lock", "pyproject.toml", "installed"):  # in this order of age
        (folder / name).touch()
    return folder


def _make(study: Path) -> subprocess.Popen:
    command = ["make", "run", f"PY={sys.executable}", "ENV=installed"]
    return subprocess.Popen(
        command, cwd=study, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _folder(study: Path, name: str) -> Path:
    return study / "runs" / "demo" / name


def _forget(study: Path, chapters: int) -> None:
    """Make the last so many chapters unfinished."""
    for name in CHAPTERS[-chapters:]:
        (_folder(study, name) / f"{name}.ipynb").unlink()


def _finished(study: Path) -> dict[str, str]:
    """Chapters that have a copy under its final name, and the number of the run that made it."""
    done = [name for name in CHAPTERS if (_folder(study, name) / f"{name}.ipynb").exists()]
    return {name: json.loads((_folder(study, name) / "results.json").read_text())["run_id"] for name in done}


def _torn(study: Path) -> str:
    for name, run_id in _finished(study).items():
        if f"Chapter {name} finished (run {run_id})" not in (_folder(study, name) / f"{name}.ipynb").read_text():
            return f"the copy of {name} has its final name and no end"
    return ""
