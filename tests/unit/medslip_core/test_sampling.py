"""Batches of a run: every image once an epoch, shared without overlap, whoever runs and however often it starts."""

import numpy as np
import pytest

from medslip_core.sampling import BatchOrder, _epoch_order, part_of_batch

ROWS = np.arange(100, 123)


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_parts_share_every_batch_without_overlap(parts: int) -> None:
    order = BatchOrder(ROWS, batch_size=5, seed=1)
    seen = []
    for step in range(order.steps_per_epoch, 2 * order.steps_per_epoch):  # the second epoch
        batch = order.batch(step)
        shares = [batch[part_of_batch(len(batch), part, parts)] for part in range(parts)]
        assert np.array_equal(np.concatenate(shares), batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        seen.extend(batch)
    assert sorted(seen) == list(ROWS) != seen, "shuffled; the last batch, of three, counts too"


def test_even_batches_differ_by_one_image_at_most() -> None:
    for count in (1, 5, 6, 23, 26):
        order = BatchOrder(np.arange(count), batch_size=5, seed=1, even=True)
        batches = [order.batch(step) for step in range(order.steps_per_epoch)]
        assert len(batches) == -(-count // 5) and max(map(len, batches)) - min(map(len, batches)) <= 1
        assert np.array_equal(np.concatenate(batches), _epoch_order(order, 0))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    order, again = BatchOrder(ROWS, 5, seed=1), BatchOrder(ROWS, 5, seed=1)
    assert order.steps_per_epoch == 5 and (order.epoch_of(4), order.epoch_of(5)) == (0, 1)
    backwards = [again.batch(step) for step in reversed(range(10))]
    assert all(np.array_equal(order.batch(step), batch) for step, batch in enumerate(reversed(backwards)))
    assert not np.array_equal(order.batch(0), order.batch(5)), "another epoch, another order"
    assert not np.array_equal(order.batch(0), BatchOrder(ROWS, 5, seed=2).batch(0))


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no image in the split 'train'"):
        BatchOrder(ROWS[:0], 5, seed=1)
