"""Images/s on one core of feeding the training: the prepared corpus against the published dataset class.

    python benchmarks/input.py --published CHECKOUT [--images 256] [--source-size 1024] [--json FILE]

All read the same phantom radiographs: ours from a corpus of 224 px (a memory map), the published class from the PNG
files that the corpus was prepared from (PIL open, crop, flip, RandAugment; labels and negatives too). All take turns.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import Contender, in_turn
from published_code import published_dataset

from data_prep.corpus import prepare
from data_prep.phantom.generate import generate
from medslip_core.allocator import keep_freed_memory
from medslip_core.augment import augment
from medslip_core.corpus import PreparedCorpus
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.pretrain_params import PretrainParams
from medslip_core.provenance import write_results
from medslip_core.training_batch import BatchSource

SIZE_PX, BATCH = 224, 64


def reads(corpus: str) -> Callable[[], Any]:
    """Every image of the corpus once, in batches of drawn rows."""
    opened = PreparedCorpus.open(corpus)
    order = np.random.default_rng(0)

    def read() -> None:
        rows = order.permutation(len(opened))
        for start in range(0, len(rows), BATCH):
            torch.from_numpy(opened.take(rows[start : start + BATCH]))

    return read


def training_input(corpus: str) -> Callable[[], Any]:
    """Every image once, as a training step on the CPU has it: labels, negatives, augmented and normalised pixels."""
    keep_freed_memory()  # as `python -m medslip_core.pretrain` does
    opened = PreparedCorpus.open(corpus)
    opened.manifest["split"] = "train"
    params = PretrainParams(batch_size=min(BATCH, len(opened)), label_source="truth")
    source = BatchSource(params, opened, "cpu")
    model = MedslipModel(MedslipConfig(backbone="resnet18", image_size=SIZE_PX))
    step = 0

    def read() -> None:
        nonlocal step
        for _ in range(source.order.steps_per_epoch):
            batch = source.batch(step)
            model.pixel_values(augment(source.images(batch.rows), batch.views, SIZE_PX))
            step += 1

    return read


def published_input(checkout: str, corpus: str, root: str) -> Callable[[], Any]:
    """Every image once through the published dataset class."""
    opened = PreparedCorpus.open(corpus)
    files = [Path(root) / path for path in opened.manifest["source_path"]]
    matrix = opened.matrix(np.arange(len(opened)), source="truth").clip(-1)  # it knows no other state
    dataset, order = published_dataset(checkout, files, matrix, Path(root)), np.random.default_rng(0)

    def read() -> None:
        for number in order.permutation(len(files)):
            dataset[number]

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", required=True, help="folder of a checkout of the published code")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--source-size", type=int, default=SIZE_PX, help="side of the PNG files, px")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count, after one that does not")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phantom = generate(Path(folder) / "phantom", {"nih": given.images}, given.source_size, processes=1)
        root = str(phantom / "nih")
        corpus = str(
            prepare("nih", root, Path(folder) / "corpus", SIZE_PX, truth=phantom / "truth" / "nih", processes=1)
        )
        ours, theirs = dict(corpus=corpus), dict(checkout=given.published, corpus=corpus, root=root)
        contenders = [
            Contender("reads", reads, ours, threads=1),
            Contender("reads, labels, augmentation", training_input, ours, threads=1),
            Contender("published dataset class", published_input, theirs, threads=1),
        ]
        rows = in_turn(contenders, given.rounds)
    # One core: processor seconds say what the work costs, whatever else the machine does meanwhile.
    for row in rows:
        row["images_per_s_per_core"] = given.images / row["processor_s"]
        row["times_published"] = rows[-1]["processor_s"] / row["processor_s"]
    print(
        f"{given.images} images, PNG of {given.source_size} px, corpus of {SIZE_PX} px, median of {given.rounds} turns"
    )
    print(f"{'':<30}{'images/s per core':>18}{'x published':>13}")
    for row in rows:
        print(f"{row['name']:<30}{row['images_per_s_per_core']:18,.0f}{row['times_published']:13.1f}")
    if given.json:
        settings = dict(images=given.images, source_size_px=given.source_size, corpus_size_px=SIZE_PX)
        write_results(given.json, {**settings, "rounds": given.rounds, "contenders": rows})


if __name__ == "__main__":
    main()
