"""Work in other processes: in order, a bounded number ahead, and nothing lost when a worker dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.parallel import AHEAD, in_order


def double_or_die(chunk: list[int]) -> list[int]:
    if 13 in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return [2 * number for number in chunk]


def lost(number: int) -> str:
    return f"lost {number}"


def chunks(count: int) -> list[list[int]]:
    return [[3 * start, 3 * start + 1, 3 * start + 2] for start in range(count)]


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_only_so_many_ahead(processes):
    taken = []

    def given():
        for chunk in chunks(20):
            taken.append(chunk)
            yield chunk

    for number, results in enumerate(in_order(double, lost, given(), processes)):
        assert results == [6 * number, 6 * number + 2, 6 * number + 4]
        assert len(taken) - number <= AHEAD * processes + 1
    assert number == 19


def double(chunk: list[int]) -> list[int]:
    return [2 * number for number in chunk]


def test_only_the_item_that_kills_its_worker_is_lost():
    results = [result for chunk in in_order(double_or_die, lost, chunks(9), 2) for result in chunk]
    assert results == [*range(0, 26, 2), "lost 13", *range(28, 54, 2)]


def test_an_item_that_kills_the_very_first_worker_is_lost_alone():
    assert list(in_order(double_or_die, lost, [[13, 1], [2]], 2)) == [["lost 13", 2], [4]]


SCRIPT = """
from data_prep.corpus import prepare
prepare("manifest", "own", "out", 16, processes={processes}, max_set_aside=1)
"""


def test_a_script_whose_workers_cannot_start_is_told_so_and_no_image_is_blamed(tmp_path):
    (tmp_path / "own").mkdir()
    names = [f"{number}.png" for number in range(33)]  # more than one chunk, so that there are workers
    for number, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "own" / name), np.full((8, 8), number, np.uint8))
    (tmp_path / "own" / "manifest.csv").write_text("\n".join(["path", *names]) + "\n")
    script, environment = tmp_path / "script.py", os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}

    def run(processes: int) -> subprocess.CompletedProcess:
        script.write_text(SCRIPT.format(processes=processes))
        return subprocess.run(
            [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    said = run(processes=2).stderr.strip().splitlines()[-1]
    assert "DataError: worker processes: could not be started" in said
    assert 'below `if __name__ == "__main__":`, or with processes=1' in said
    journal = (tmp_path / ".out.partial" / "journal.jsonl").read_text()
    assert len(journal.splitlines()) == 1, "nothing but what was asked"
    assert run(processes=1).returncode == 0
    assert (tmp_path / "out" / "set_aside.csv").read_text().count("\n") == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_is_read_ahead_where_each_answer_is_waited_for(processes):
    given = []
    results = in_order(double, lost, iter(given.pop, None), processes, ahead=0)
    for chunk in chunks(3):
        given.append(chunk)
        assert next(results) == double(chunk)
    results.close()


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    once = {"distributed.scheduler.allowed-failures": 0}  # a chunk that killed a worker is not tried on three more
    with (
        pytest.importorskip("dask").config.set(once),
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as local,
    ):
        yield local.scheduler_address


def test_a_dask_cluster_gives_the_same_corpus(cluster, nih_layout, tmp_path, monkeypatch):
    from data_prep import corpus

    for module in ("corpus", "chunks"):
        monkeypatch.setattr(f"data_prep.{module}.CHUNK", 2)
    (nih_layout / "images_001" / "images" / "00000002_000.png").write_bytes(b"")
    options = {"image_size_px": 32, "max_set_aside": 0.2}
    alone = corpus.prepare("nih", nih_layout, tmp_path / "alone", processes=1, **options)
    together = corpus.prepare("nih", nih_layout, tmp_path / "together", cluster=cluster, **options)
    assert sorted(path.name for path in together.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert all((together / path.name).read_bytes() == path.read_bytes() for path in alone.iterdir())


def test_only_the_item_that_kills_its_worker_is_lost_on_a_cluster(cluster):
    results = [result for chunk in in_order(double_or_die, lost, chunks(6), 1, cluster) for result in chunk]
    assert results == [*range(0, 26, 2), "lost 13", *range(28, 36, 2)]


def test_workers_without_this_package(cluster, monkeypatch):
    monkeypatch.setattr("data_prep.parallel.WORKERS_IMPORT", "package_of_another_version")
    with pytest.raises(DataError, match="workers lack this package .*package_of_another_version.*Install this version"):
        list(in_order(double, lost, chunks(2), 1, cluster))


def test_no_cluster_there(nih_layout, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    monkeypatch.setattr("data_prep.parallel.CLUSTER_TIMEOUT_S", 1)
    with pytest.raises(DataError, match="cluster tcp://127.0.0.1:1: no Dask scheduler answers .*. Start it with"):
        list(in_order(double, lost, chunks(2), 1, "tcp://127.0.0.1:1"))
