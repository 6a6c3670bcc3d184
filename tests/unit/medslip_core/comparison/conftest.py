"""Answers of variants whose order is known."""

import numpy as np
import pandas as pd
import pytest
from tiny_comparison import table


@pytest.fixture
def asked() -> dict[str, list[pd.DataFrame]]:
    """Variant -> the answers of its only seed about 200 images."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 200).astype(float)
    good = truth + draw.normal(0, 0.8, 200)
    return {"full": [table(good, truth)], "same": [table(good, truth, seed=1)],
            "noisy": [table(good + draw.normal(0, 0.1, 200), truth)],
            "guess": [table(draw.normal(0, 1, 200), truth)]}  # fmt: skip
