"""A small count of every fault campaign; `python -m tests.faults.campaigns` runs them with any count."""

import pytest
from faults.campaigns.damage import damage
from faults.campaigns.full_disk import can_mount, full_disk
from faults.campaigns.kill_chapters import kill_driver, kill_kernel
from faults.campaigns.kill_saving import kill_saving
from faults.campaigns.kill_training import kill_one_of_two, kill_training
from faults.campaigns.outcome import Outcome

COUNTS = {
    kill_training: 3,
    kill_one_of_two: 1,
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


def test_what_did_not_hold_is_counted() -> None:
    outcome = Outcome("a campaign", "nothing breaks")
    outcome.count("flip")
    outcome.count("flip", "loaded silently")
    assert outcome.table()[["tried", "held"]].to_numpy().tolist() == [[2, 1]]
    assert outcome.broken == ["flip: loaded silently"]
