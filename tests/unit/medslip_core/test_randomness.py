"""Counter-based randomness: known bits, independent streams."""

import numpy as np

from medslip_core.randomness import generator, random_bits, torch_seed, uniform


def test_known_bits_do_not_change():
    """A resumed run may meet a newer NumPy: the numbers must stay. SplitMix64 of seed 0 is from its publication."""
    assert [hex(bits) for bits in random_bits(1, "order", 2, np.arange(2))] == [
        "0x3ff183019262747",
        "0x492b23cb327a9c7",
    ]
    with np.errstate(over="ignore"):
        from medslip_core.randomness import _mix

        assert int(_mix(np.uint64(0))) == 0xE220A8397B1DCDAF


def test_a_draw_depends_on_its_counters_alone():
    rows = np.array([5, 9, 1_000_003])
    together = uniform(7, "augment", 3, rows[:, None], np.arange(4))
    assert together.shape == (3, 4)
    for row, expected in zip(rows, together, strict=True):
        assert np.array_equal(uniform(7, "augment", 3, row, np.arange(4)), expected)


def test_seeds_streams_and_counters_are_independent():
    counters = np.arange(20_000)
    draws = [
        uniform(0, "augment", 0, counters), uniform(1, "augment", 0, counters), uniform(0, "order", 0, counters),
        uniform(0, "augment", 1, counters), uniform(0, "augment", counters, 0),
    ]  # fmt: skip
    for draw in draws:
        assert draw.min() >= 0 and draw.max() < 1
        histogram = np.histogram(draw, 50, (0, 1))[0]
        assert ((histogram - 400) ** 2 / 400).sum() < 100  # chi-square, 49 degrees of freedom: 1 in 50,000
    assert np.abs(np.corrcoef(draws) - np.eye(5)).max() < 0.04
    assert abs(np.corrcoef(draws[0][:-1], draws[0][1:])[0, 1]) < 0.04


def test_torch_generators_repeat():
    first, second = (generator("cpu", 3, "negatives", 8) for _ in range(2))
    assert first.initial_seed() == second.initial_seed() == torch_seed(3, "negatives", 8)
    assert torch_seed(3, "negatives", 9) != torch_seed(3, "negatives", 8)
