"""Counter-based randomness: every draw is a function of (seed, stream, counters) and of nothing drawn before.

So a run that was killed goes on exactly where it stood without a saved generator, and neither the number of processes
nor the grouping of samples into batches changes what a sample sees:

- order of an epoch: (seed, "order", epoch, row)
- augmentation of a sample: (seed, "augment", epoch, row, number of the draw)
- negatives: (seed, "negatives", step); dropout: (seed, "dropout", step, part of the batch)

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011 (the idea); Steele et al., "Fast splittable
pseudorandom number generators", 2014 (SplitMix64, the mixing function).
"""

from __future__ import annotations

import zlib

import numpy as np
import torch

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def random_bits(seed: int, stream: str, *counters: int | np.ndarray) -> np.ndarray:
    """64 random bits per element of the broadcast counters.

    Args:
        seed: of the run, >= 0.
        stream: what the draw is for; streams are independent.
        counters: integers >= 0, broadcast against each other.

    Returns:
        uint64, of the counters' broadcast shape.
    """
    with np.errstate(over="ignore"):
        bits = _mix(np.uint64(seed) + _GAMMA * np.uint64(zlib.crc32(stream.encode())))
        for counter in counters:
            bits = _mix(bits + np.asarray(counter).astype(np.uint64))
    return bits


def uniform(seed: int, stream: str, *counters: int | np.ndarray) -> np.ndarray:
    """Uniform draws in [0, 1), float64, one per element of the broadcast counters."""
    return (random_bits(seed, stream, *counters) >> np.uint64(11)) * 2.0**-53


def torch_seed(seed: int, stream: str, *counters: int) -> int:
    """A seed for torch, in [0, 2^63)."""
    return int(random_bits(seed, stream, *counters) >> np.uint64(1))


def generator(device: torch.device | str, seed: int, stream: str, *counters: int) -> torch.Generator:
    """A torch generator on `device`, fresh for these counters."""
    return torch.Generator(device).manual_seed(torch_seed(seed, stream, *counters))


def _mix(bits: np.ndarray) -> np.ndarray:
    bits = bits + _GAMMA
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
