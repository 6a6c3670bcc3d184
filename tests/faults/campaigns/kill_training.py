"""Training killed at any moment, any number of times, with another number of threads, on one process or two."""

import random
import tempfile
import time
from pathlib import Path

from medslip_core.checkpoint import latest_checkpoint

from .outcome import Outcome
from .tiny_run import PARAMS, difference, digests, rows_seen, start, warm_up

THREADS = (1, 2, 4)
KILLS_PER_RUN = 6
HUNG_S = 300


def kill_training(count: int, seed: int = 0, processes: int = 1) -> Outcome:
    """Kill a run again and again, at a random moment each time, then let it end: it must have the bits of a clean one.

    Args:
        count: kills.
        seed: of their moments.
        processes: 1, or 2 of which one is killed, as when a node dies.
    """
    name = "kill-training" if processes == 1 else "kill-one-of-two"
    outcome = Outcome(name, "ends with the bits of a clean run; no more lost than since the last checkpoint")
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        warm_up()
        clean = Path(place, "clean")
        began = time.monotonic()
        _join(start(clean, processes=processes))
        duration_s = time.monotonic() - began
        expected = digests(clean)
        run, kills, lost = 0, 0, 0
        while outcome.total < count:
            run += 1
            folder, killed, finished = Path(place, f"run{run}"), [], False
            while not finished:
                threads = draw.choice(THREADS) if list(folder.glob("checkpoints/step-*")) else 1
                sessions = start(folder, threads=threads, processes=processes)
                if len(killed) < KILLS_PER_RUN and outcome.total + len(killed) < count:
                    time.sleep(draw.uniform(0, duration_s))
                    draw.choice(sessions).kill()
                    _join(sessions)
                    finished = (folder / "model").exists()
                    if not finished:
                        killed.append(_moment(folder))
                        lost = max(lost, _lost(folder))
                else:
                    _join(sessions)
                    finished = True
            kills += len(killed)
            problem = difference(folder, expected)
            for moment in killed:
                outcome.count(moment, f"run {run}: {problem}" if problem else "")
            if not killed and problem:
                outcome.count("not killed", problem)
    outcome.notes.update(runs=run, most_steps_lost=lost, kills=kills)
    if lost > PARAMS.checkpoint_every_steps:
        outcome.count("steps lost", f"{lost} steps although every step is saved")
    return outcome


def kill_one_of_two(count: int, seed: int = 0) -> Outcome:
    """The same on two processes, of which one is killed, as when a node dies: the other must not hang."""
    return kill_training(count, seed, processes=2)


def _join(sessions: list) -> None:
    for process in sessions:
        process.join(HUNG_S)
        if process.exitcode is None:
            process.kill()
            raise RuntimeError(f"a process hung for {HUNG_S} s after the other was killed")


def _moment(folder: Path) -> str:
    if list(folder.glob("checkpoints/.partial-*")):
        return "while saving"
    if (folder / ".partial-model").exists():
        return "while writing the model"
    return "between saves" if list(folder.glob("checkpoints/step-*")) else "before the first checkpoint"


def _lost(folder: Path) -> int:
    """Steps that had begun beyond the last state that verifies."""
    saved = latest_checkpoint(folder / "checkpoints")
    return max(rows_seen(folder), default=-1) + 1 - (saved.state["step"] if saved else 0)
