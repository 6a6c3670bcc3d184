"""A prepared corpus of any size that takes no time to make: black images, random labels."""

from pathlib import Path

import numpy as np
import pandas as pd
from train_step import TRIPLETS_PER_IMAGE

from medslip_core.corpus import PreparedCorpus


def random_corpus(folder: Path, images: int, size_px: int) -> PreparedCorpus:
    """So many training images of a side of so many pixels, in a folder that exists."""
    draw = np.random.default_rng(0)
    with (folder / "images.u8").open("wb") as file:
        file.truncate(images * size_px**2)  # a file with holes takes no space
    triplets = dict(
        row=np.repeat(np.arange(images), TRIPLETS_PER_IMAGE),
        anatomy=draw.integers(0, 51, images * TRIPLETS_PER_IMAGE, np.int8),
        pathology=draw.integers(0, 75, images * TRIPLETS_PER_IMAGE, np.int8),
        state=draw.integers(0, 2, images * TRIPLETS_PER_IMAGE, np.int8),
        source=pd.Categorical.from_codes(np.zeros(images * TRIPLETS_PER_IMAGE, np.int8), ["report"]),
    )
    pd.DataFrame(triplets).to_parquet(folder / "triplets.parquet")
    header = dict(count=images, image_size_px=size_px, dataset="random", sha256="random")
    return PreparedCorpus(folder, header, pd.DataFrame(dict(split=["train"] * images)))
