"""Training killed at any moment, any number of times, with another number of threads, on one process or two."""

import random
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from medslip_core.checkpoint import latest_checkpoint
from medslip_core.pretrain_params import PretrainParams

from .closeness import apart, tolerance, too_far
from .outcome import Outcome
from .tiny_run import PARAMS, difference, digests, has_met, memory_growth, rows_seen, start, warm_up

THREADS = (1, 2, 4)
CLEAN_RUNS = 3
HUNG_S = 120
MOST_GROWTH = 0.05


def kill_training(
    count: int,
    seed: int = 0,
    name: str = "kill-training",
    processes: int = 1,
    params: PretrainParams = PARAMS,
    kills_per_run: int = 6,
    longest_session: float = 1.0,
    exact: bool = True,
    unsteady: float = 0.0,
) -> Outcome:
    """Kill a run again and again, at a random moment each time, then let it end: it must end as one nobody stopped.

    Args:
        count: kills.
        seed: of their moments.
        name: of the campaign.
        processes: 1, or 2 of which one is killed, as when a node dies.
        params: of the run.
        kills_per_run: after which a run is let end.
        longest_session: before a kill, as a share of the time that a clean run takes.
        exact: whether the bits must be equal, or the weights close, as `closeness` says.
        unsteady: as in `tiny_run.session`.
    """
    outcome = Outcome(name, f"ends with {'the bits' if exact else 'the rows and nearly the weights'} of a clean run; "
                            "no more lost than since the last checkpoint")  # fmt: skip
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        warm_up()
        clean = [Path(place, f"clean{number}") for number in range(1 if exact else CLEAN_RUNS)]
        for folder in clean:
            began = time.monotonic()
            _join(start(folder, params, processes=processes, unsteady=unsteady), folder)
            duration_s = time.monotonic() - began
            if not (folder / "model").exists():
                said = (folder / "output.txt").read_text() if (folder / "output.txt").exists() else "nothing"
                raise RuntimeError(f"the run that nobody killed did not end; it said: {said[-2000:]}")
        if exact:
            problem_of = partial(difference, expected=digests(clean[0]))
        else:
            most = tolerance(clean)
            problem_of = partial(too_far, clean=clean[0], most=most)
        run, kills, lost, growth, furthest = 0, 0, 0, -1.0, 0.0
        while outcome.total < count:
            run += 1
            folder, killed, finished = Path(place, f"run{run}"), [], False
            while not finished:
                threads = draw.choice(THREADS) if list(folder.glob("checkpoints/step-*")) else 1
                sessions = start(folder, params, threads, processes, unsteady)
                if len(killed) < kills_per_run and outcome.total + len(killed) < count:
                    time.sleep(draw.uniform(0, longest_session * duration_s))
                    draw.choice(sessions).kill()
                    _join(sessions, folder)
                    finished = (folder / "model").exists()
                    if not finished:
                        killed.append(_moment(folder))
                        lost = max(lost, _lost(folder))
                else:
                    _join(sessions, folder)
                    finished = True
            kills += len(killed)
            growth = max(growth, memory_growth(folder))
            problem = problem_of(folder)
            if not exact:
                furthest = max(furthest, apart(clean[0], folder))
            for moment in killed:
                outcome.count(moment, f"run {run}: {problem}" if problem else "")
            if not killed and problem:
                outcome.count("not killed", problem)
    outcome.notes.update(runs=run, most_steps_lost=lost, kills=kills)
    if not exact:
        outcome.notes.update(furthest_from_clean=f"{furthest:.1e}", allowed=f"{most:.1e}")
    if growth >= 0:
        outcome.notes["memory_growth"] = round(growth, 3)
    if lost > params.checkpoint_every_steps:
        outcome.count("steps lost", f"{lost} steps, and every {params.checkpoint_every_steps} are saved")
    return outcome


def kill_one_of_two(count: int, seed: int = 0) -> Outcome:
    """The same on two processes, of which one is killed, as when a node dies: the other must not hang."""
    return kill_training(count, seed, "kill-one-of-two", processes=2)


def kill_unsteady_training(count: int, seed: int = 0) -> Outcome:
    """The same where no two runs compute the same bits: noise stands in for a GPU outside deterministic mode."""
    return kill_training(count, seed, "kill-unsteady-training", exact=False, unsteady=1e-4)


def kill_training_on_gpu(count: int, seed: int = 0) -> Outcome:
    """`kill_training` on the GPU, in deterministic mode."""
    return kill_training(count, seed, "kill-training-on-gpu", params=_on_gpu(deterministic=True))


def kill_unsteady_training_on_gpu(count: int, seed: int = 0) -> Outcome:
    """`kill_unsteady_training` on the GPU, outside deterministic mode."""
    return kill_training(count, seed, "kill-unsteady-training-on-gpu", params=_on_gpu(deterministic=False), exact=False)


def soak(count: int, seed: int = 0) -> Outcome:
    """One long run of two processes, one of them killed `count` times; its memory must stay flat, too."""
    params = replace(PARAMS, epochs=40 * count, checkpoint_every_steps=5)
    outcome = kill_training(count, seed, "soak", 2, params, kills_per_run=count, longest_session=1 / count)
    growth = outcome.notes.get("memory_growth", float("nan"))
    outcome.count("memory flat", "" if growth < MOST_GROWTH else f"a session's memory grew by {growth:.1%}")
    return outcome


def _on_gpu(deterministic: bool) -> PretrainParams:
    if not torch.cuda.is_available():
        raise RuntimeError("this campaign is for a GPU, and torch sees none here")
    return replace(PARAMS, device="auto", deterministic=deterministic, epochs=40)  # else most kills meet a start


def _join(sessions: list, folder: Path) -> None:
    """Wait for all to end; where one has ended, the other may not hang.

    One that has not met the other yet would wait half an hour for it, were it not for its launcher (such as
    `accelerate launch` or `srun --kill-on-bad-exit`), which ends it; so does this.
    """
    one_ended = None
    while any(process.exitcode is None for process in sessions):
        if any(process.exitcode is not None for process in sessions):
            one_ended = one_ended or time.monotonic()
            for process in sessions:
                if process.exitcode is None and not has_met(folder, process):
                    process.kill()
        if one_ended and time.monotonic() - one_ended > HUNG_S:
            ended = [process.exitcode for process in sessions]
            for process in sessions:
                process.kill()
            raise RuntimeError(f"a process hung for {HUNG_S} s after the other had ended (exit codes {ended})")
        time.sleep(0.02)


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
