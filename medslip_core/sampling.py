"""Which rows of the corpus a training step sees: a global order per epoch, cut into batches, shared by processes.

The order depends on (seed, epoch) alone. A batch belongs to the step, not to a process: each process computes the
whole batch's row numbers and takes its parts, so shards neither overlap nor depend on who else runs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from medslip_core.randomness import random_bits


@dataclass(frozen=True, eq=False)  # by identity, so that the order of an epoch is kept for this very object
class BatchOrder:
    """Batches of all steps of a run.

    Args:
        rows: [n] int64 corpus rows to train on.
        batch_size: images per optimiser step over all processes; the last batch of an epoch holds the rest.
        seed: of the run.
        even: cut an epoch into as many batches whose sizes differ by one at most, so that none is a handful whose
            gradient AdamW takes for as much as a whole batch's.
    """

    rows: np.ndarray = field(repr=False)
    batch_size: int
    seed: int
    even: bool = False

    def __post_init__(self) -> None:
        if len(self.rows) == 0:
            raise ValueError("no rows to train on: the corpus has no image in the split 'train'")

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch_of(self, step: int) -> int:
        """Epoch (from 0) to which the step (from 0) belongs."""
        return step // self.steps_per_epoch

    def batch(self, step: int) -> np.ndarray:
        """Rows [batch_size or fewer] int64 of a step (from 0)."""
        of_epoch, place = _epoch_order(self, self.epoch_of(step)), step % self.steps_per_epoch
        if self.even:
            return of_epoch[part_of_batch(len(of_epoch), place, self.steps_per_epoch)]
        return of_epoch[place * self.batch_size : (place + 1) * self.batch_size]


@functools.lru_cache(maxsize=2)
def _epoch_order(order: BatchOrder, epoch: int) -> np.ndarray:
    return order.rows[np.argsort(random_bits(order.seed, "order", epoch, order.rows), kind="stable")]


def part_of_batch(batch_size: int, part: int, parts: int) -> slice:
    """The consecutive share of a batch for one of `parts` (processes x accumulation steps); may be empty."""
    return slice(batch_size * part // parts, batch_size * (part + 1) // parts)
