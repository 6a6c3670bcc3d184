"""Pieces of work in processes of their own, timed in turn.

Taking turns, all of them meet the same load of the machine; in processes of their own, none counts another's memory.
"""

import collections
import multiprocessing
import os
import pickle
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # the threads of those whose turn it is not should sleep

PROFILED_TIMES = 10
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy",
         "Memcpy HtoD (Pageable -> Device)", "Memcpy DtoH (Device -> Pageable)")  # fmt: skip
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")


@dataclass(frozen=True)
class Timing:
    """One turn: wall-clock seconds, processor seconds of all threads, and the process's peak memory so far, MiB."""

    wall_s: float
    processor_s: float
    peak_mib: float


class Contender:
    """A piece of work, prepared and run in a process of its own.

    Args:
        name: shown in tables.
        prepare: function of a module (sent to the process by name); returns the work, a function without arguments.
        arguments: of `prepare`.
        threads: of torch.
        times: how often the work is done in a turn; figures are of one time. More than one where it only starts what
            goes on without it, as on a GPU.
        profiled: whether a GPU's profiler then looks for what waits for the card.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[..., Callable[[], Any]],
        arguments: dict,
        threads: int,
        times: int = 1,
        profiled: bool = False,
    ) -> None:
        self.name, self.profiled = name, profiled
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["medslip_core.pretrain"])  # imported once, and shared by all processes
        self._pipe, theirs = context.Pipe()
        task = pickle.dumps((prepare, arguments))  # multiprocessing would share tensors, in what may be small: /dev/shm
        self._process = context.Process(target=_serve, args=(theirs, task, threads, times), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def wait(self) -> None:
        """Wait until it is prepared, which it does beside the others.

        Raises:
            RuntimeError: it could not be; with the reason.
        """
        if not self._ready:
            self._receive()
            self._ready = True

    def turn(self) -> Timing:
        """Do the work once.

        Raises:
            RuntimeError: it failed, or could not be prepared; with the reason.
        """
        self.wait()
        self._pipe.send("turn")
        return self._receive()

    def calls(self) -> dict[str, dict[str, int]]:
        """What was called while the work was done `PROFILED_TIMES` times: `waits` for the card, and `launches`."""
        self._pipe.send("calls")
        return self._receive()

    def close(self) -> None:
        self._pipe.close()
        self._process.join()

    def _receive(self) -> Any:
        try:
            received = self._pipe.recv()
        except EOFError as error:
            raise RuntimeError(f"{self.name}: its process died (out of memory?)") from error
        if isinstance(received, Exception):
            raise RuntimeError(f"{self.name}: {received}") from received
        return received


def in_turn(contenders: Sequence[Contender], rounds: int, seconds: float = float("inf")) -> list[dict[str, Any]]:
    """Let all work in turn, first for a round that does not count, then close them.

    Once `seconds` have passed, and one round counts, no other begins.

    Returns:
        One dict per contender: name, medians `wall_s` and `processor_s`, `peak_mib`, and all `turns_wall_s`.
    """
    began = time.monotonic()
    for contender in contenders:
        contender.wait()
    timings: list[list[Timing]] = [[] for _ in contenders]
    with tqdm(total=(1 + rounds) * len(contenders), unit="turn") as progress:
        for number in range(1 + rounds):
            if number > 1 and time.monotonic() - began > seconds:
                break
            for contender, own in zip(contenders, timings, strict=True):
                progress.set_postfix_str(contender.name)
                timing = contender.turn()
                progress.update()
                if number:
                    own.append(timing)
    calls = {contender.name: contender.calls() for contender in contenders if contender.profiled}
    for contender in contenders:
        contender.close()
    return [
        {
            "name": contender.name,
            **calls.get(contender.name, {}),
            "wall_s": statistics.median(one.wall_s for one in own),
            "processor_s": statistics.median(one.processor_s for one in own),
            "peak_mib": max(one.peak_mib for one in own),
            "turns_wall_s": [one.wall_s for one in own],
        }
        for contender, own in zip(contenders, timings, strict=True)
    ]


def _serve(pipe: Connection, task: bytes, threads: int, times: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True  # as our training has it, and the published script
    try:
        prepare, arguments = pickle.loads(task)
        work = prepare(**arguments)
        pipe.send(None)
        while asked := pipe.recv():
            pipe.send(_timed(work, times) if asked == "turn" else calls_of(work))
    except EOFError:
        pass
    except Exception as error:  # told to the other side, which raises it
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _timed(work: Callable[[], Any], times: int) -> Timing:
    import torch

    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    if on_gpu:
        work()  # takes back from the card what the last turn gave up, untimed
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    if on_gpu:
        torch.cuda.synchronize()
    took = (time.perf_counter() - wall) / times, (time.process_time() - processor) / times
    if not on_gpu:
        return Timing(*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
    peak = torch.cuda.max_memory_reserved() / 2**20  # a CUDA graph's memory is not "allocated" while it is replayed
    torch.cuda.empty_cache()  # the others are in processes of their own, on the same card
    return Timing(*took, peak)


def calls_of(work: Callable[[], Any]) -> dict[str, dict[str, int]]:
    """Calls of some times of the work, by name: what made the host wait for the GPU, and what started work on it.

    Raises:
        RuntimeError: the profiler saw nothing start.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile, record_function

    for _ in range(PROFILED_TIMES):  # compiles, tunes, and sends small tables
        work()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler, record_function("steps"):
        for _ in range(PROFILED_TIMES):
            work()
    events = profiler.events()
    launches = named_within(events, "steps", LAUNCHES)
    if not launches:
        raise RuntimeError("the profiler saw nothing start on the GPU, so it cannot tell what waited for it")
    return {"waits": named_within(events, "steps", WAITS), "launches": launches}


def named_within(events: Iterable[Any], outer: str, names: Sequence[str]) -> dict[str, int]:
    """How many events of these names began while one called `outer` lasted (a profiler itself waits, at its end)."""
    span = next(event.time_range for event in events if event.name == outer)
    inside = (event.name for event in events if span.start <= event.time_range.start <= span.end)
    counts = collections.Counter(inside)
    return {name: counts[name] for name in names if counts[name]}
