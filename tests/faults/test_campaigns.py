"""A small count of every fault campaign; `python -m tests.faults.campaigns` runs them with any count."""

import shutil

import pytest
from faults.campaigns.closeness import too_far
from faults.campaigns.damage import damage
from faults.campaigns.full_disk import can_mount, full_disk
from faults.campaigns.kill_chapters import kill_driver, kill_kernel
from faults.campaigns.kill_saving import kill_saving
from faults.campaigns.kill_training import kill_one_of_two, kill_training, kill_unsteady_training
from faults.campaigns.outcome import Outcome
from faults.campaigns.tiny_run import SEEN, start
from safetensors.torch import load_file, save_file

from medslip_core.checkpoint import list_checkpoints

COUNTS = {
    kill_training: 3,
    kill_one_of_two: 1,
    kill_unsteady_training: 2,
    kill_saving: 8,
    damage: 60,
    full_disk: 2,
    kill_kernel: 1,
    kill_driver: 1,
}


@pytest.mark.parametrize("campaign", COUNTS, ids=lambda campaign: campaign.__name__)
def test_every_fault_is_survived(campaign) -> None:
    if campaign is full_disk and not can_mount():
        pytest.skip("this machine lets nobody mount a small disk of his own (unprivileged user namespaces)")
    outcome: Outcome = campaign(COUNTS[campaign])
    assert outcome.total == COUNTS[campaign] and not outcome.broken


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    for process in start(folder / "run"):
        process.join()
    return folder / "run"


@pytest.mark.parametrize(("change", "told"), [(1e-4, ""), (5e-3, "weights")])
def test_weights_may_differ_by_rounding_not_by_a_lost_step(finished, tmp_path, change, told) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    file = list_checkpoints(run / "checkpoints")[0] / "model.safetensors"
    save_file({name: weights * (1 + change) for name, weights in load_file(file).items()}, file)
    assert too_far(run, finished, most=1e-3).startswith(told) and bool(too_far(run, finished, most=1e-3)) == bool(told)


def test_rows_may_not_differ_at_all(finished, tmp_path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    lines = (run / SEEN).read_text().splitlines()
    (run / SEEN).write_text("\n".join([*lines[:-1], lines[-1] + " 0"]))
    assert too_far(run, finished, most=1.0) == "rows seen"


def test_what_did_not_hold_is_counted() -> None:
    outcome = Outcome("a campaign", "nothing breaks")
    outcome.count("flip")
    outcome.count("flip", "loaded silently")
    assert outcome.table()[["tried", "held"]].to_numpy().tolist() == [[2, 1]]
    assert outcome.broken == ["flip: loaded silently"]
