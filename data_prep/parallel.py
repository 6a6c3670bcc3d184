"""Work spread over this machine's cores or over a Dask cluster, its results in the order of the work."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from importlib import import_module
from typing import TypeVar

import cv2

from data_prep.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Chunks in the making or waiting to be written, for every worker: enough to keep all busy, few enough to hold."""

CLUSTER_TIMEOUT_S = 30
WORKERS_IMPORT = "data_prep.record"


def cores() -> int:
    """Cores this process may use; not every system says which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[list[Item]], list[Result]],
    lost: Callable[[Item], Result],
    chunks: Iterable[list[Item]],
    processes: int,
    cluster: str | None = None,
    ahead: int = AHEAD,
) -> Iterator[list[Result]]:
    """Works on chunks in worker processes and gives the results in the chunks' order, a bounded number ahead.

    When a worker dies, the items in question are worked on one at a time, so that only the one that kills is lost.

    Args:
        work: picklable function of one chunk.
        lost: the result of an item whose worker died; called here.
        chunks: read as far ahead as there are workers to feed.
        processes: worker processes; 1 works in this one, where nothing guards against a crash.
        cluster: address of a Dask scheduler ("tcp://host:8786"), whose workers are used instead.
        ahead: chunks read ahead for every worker; 0 asks for a chunk only once the one before it has been answered.

    Raises:
        DataError: worker processes cannot be started; or the cluster cannot be reached, or goes away.
    """
    if cluster is None and processes == 1:
        yield from map(work, chunks)
        return
    workers = _Cores(processes) if cluster is None else _Cluster(cluster)
    waiting: deque[tuple[list[Item], Future]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, workers.submit(work, chunk)))
            if len(waiting) > ahead * workers.count:
                yield _first(waiting, work, lost, workers)
        while waiting:
            yield _first(waiting, work, lost, workers)
    except CancelledError as error:
        remedy = "Start it again and repeat: what is done is kept."
        raise DataError(f"cluster {cluster}", "it went away", remedy) from error
    finally:
        workers.close()


def _first(waiting: deque, work: Callable, lost: Callable, workers: "_Cores | _Cluster") -> list:
    """The result of the chunk that has waited longest."""
    chunk, future = waiting.popleft()
    try:
        return future.result()
    except workers.deaths:
        workers.restart()
    wait([future for _, future in waiting])  # so that no other work takes down the worker of an innocent item
    results = []
    for item in chunk:
        try:
            results += workers.submit(work, [item]).result()
        except workers.deaths:
            results.append(lost(item))
            workers.restart()
    for place, (chunk, future) in enumerate(waiting):
        if future.done() and isinstance(future.exception(), workers.deaths):  # went down with the same pool
            waiting[place] = chunk, workers.submit(work, chunk)
    return results


class _Cores:
    """Processes of this machine; when one of them dies, Python gives up on all and on what they were working on."""

    deaths = (BrokenExecutor,)

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = self._start()
        try:  # asked before any work is given, so that no item is blamed for workers that never ran
            self.submit(_answer, []).result()
        except BrokenExecutor as error:
            self.close()
            problem = "could not be started (Python runs the calling script again in each of them, and it failed there)"
            remedy = 'Make the call below `if __name__ == "__main__":`, or with processes=1.'
            raise DataError("worker processes", problem, remedy) from error

    def _start(self) -> Executor:
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(method)  # a plain fork can hang in a notebook's threads
        context.set_forkserver_preload([WORKERS_IMPORT])
        return ProcessPoolExecutor(self.count, mp_context=context, initializer=_start_worker)

    def submit(self, work: Callable, chunk: list) -> Future:
        try:
            return self._pool.submit(work, chunk)
        except BrokenExecutor as error:  # already known to be dead: said where the result is asked for
            future: Future = Future()
            future.set_exception(error)
            return future

    def restart(self) -> None:
        # A worker that was being started while another died is missed when Python ends the rest, and then waited for
        # without end. Only this thread starts workers, so all of them are known here.
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self.close()
        self._pool = self._start()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class _Cluster:
    """Workers of a Dask cluster, which sees to their replacement; they must see the dataset under the same path."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker
        except ImportError as error:
            remedy = "Install medslip[cluster], or leave the address out to use this machine."
            raise DataError(f"cluster {address}", "dask.distributed is not installed", remedy) from error
        try:
            self._client = Client(address, timeout=CLUSTER_TIMEOUT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            problem = f"no Dask scheduler answers ({type(error).__name__})"
            remedy = "Start it with `dask scheduler` and `dask worker`, or leave the address out to use this machine."
            raise DataError(f"cluster {address}", problem, remedy) from error
        try:  # asked of the workers there are: without it, Dask ends them one by one, and the work waits for ever
            self._client.run(import_module, WORKERS_IMPORT)
        except ImportError as error:
            self._client.close()
            remedy = "Install this version of medslip[data] in the workers' environment too."
            raise DataError(f"cluster {address}", f"its workers lack this package ({error})", remedy) from error
        self.deaths = (KilledWorker,)
        self.count = max(sum(self._client.nthreads().values()), 4)  # one that grows with its work starts with none
        self._pool = self._client.get_executor(pure=False)

    def submit(self, work: Callable, chunk: list) -> Future:
        return self._pool.submit(_on_one_thread, work, chunk)

    def restart(self) -> None:
        """Nothing to do: only the killing chunk fails, the others go on."""

    def close(self) -> None:
        self._pool.shutdown(wait=False)
        self._client.close()


def _on_one_thread(work: Callable, chunk: list) -> list:
    cv2.setNumThreads(1)  # the cluster has a task for every core
    return work(chunk)


def _answer(nothing: list) -> list:
    return nothing


def _start_worker() -> None:
    """One thread a worker, and none that outlives a parent that was killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
