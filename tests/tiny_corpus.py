"""A corpus in memory, for runs that learn nothing of worth."""

import numpy as np


class TinyCorpus:
    """With what `PreparedCorpus` offers to training: 10 images to train on and 6 to validate on."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.header = {"sha256": "of a tiny corpus", "dataset": "tiny"}
        self.images = random.integers(0, 256, (16, 40, 40), dtype=np.uint8)
        self._matrix = random.choice(np.array([-1, 0, 1], np.int8), (16, 51, 75), p=[0.8, 0.1, 0.1])

    def rows(self, split: str) -> np.ndarray:
        return {"train": np.arange(10), "validate": np.arange(10, 16)}[split]

    def stated(self, split: str, source: str) -> np.ndarray:
        return self.rows(split)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.images[rows]

    def matrix(self, rows: np.ndarray, *meanings: object) -> np.ndarray:
        return self._matrix[rows]
