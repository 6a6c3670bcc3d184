"""How time and memory of a training step grow with batch, image size, number of queries and size of the corpus.

    python benchmarks/scaling.py --json benchmarks/results/scaling.json --figure benchmarks/results/scaling.svg

One of them varies at a time (ResNet-50; the others stay at --batch, 224 px and 51 + 75 queries). Every point has a
process of its own, and the points of an axis take turns. The corpus has no part in the network's step: for it, a step's
input is timed (rows, views, labels, negatives, images), on random corpora whose image file has holes for pixels.
"""

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import Contender, in_turn
from matplotlib.ticker import LogLocator, StrMethodFormatter
from random_corpus import random_corpus
from train_step import batch, our_step

from medslip_core.figures import BLUE, WIDTH_INCHES, page_style
from medslip_core.pretrain_params import PretrainParams
from medslip_core.provenance import write_results
from medslip_core.training_batch import BatchSource

IMAGE_SIZES_PX = (112, 160, 224, 320)
QUERIES = (63, 126, 252, 504)  # 2 in 5 of them anatomies
CORPUS_IMAGES = (1_000, 10_000, 100_000, 400_000)
INPUT_BATCH = 64
PIXELS = "pixels per image"
SIZE_PX = 224


def input_step(images: int) -> Callable[[], Any]:
    """A step's input from a corpus of so many images."""
    folder = tempfile.TemporaryDirectory()
    corpus = random_corpus(Path(folder.name), images, SIZE_PX)
    source = BatchSource(PretrainParams(batch_size=INPUT_BATCH), corpus, "cpu")
    step = 0

    def read() -> None:
        nonlocal step
        source.images(source.batch(step).rows)
        step += 1

    read.folder = folder  # kept as long as the work
    return read


def measure(points: dict[float, tuple[Callable, dict]], rounds: int, threads: int) -> list[dict[str, Any]]:
    """Medians of the points of one axis, in turn."""
    contenders = [Contender(f"{x:g}", prepare, given, threads) for x, (prepare, given) in points.items()]
    return [{"x": x, **row} for x, row in zip(points, in_turn(contenders, rounds), strict=True)]


def growth(rows: list[dict[str, Any]], figure: str) -> float:
    """Exponent with which a figure grows between the last two points (1 is linear)."""
    first, last = rows[-2:]
    return math.log(last[figure] / first[figure]) / math.log(last["x"] / first["x"])


def _short(axis: str, value: float) -> str:
    if axis == PIXELS:
        return f"{math.isqrt(round(value))}²"
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def draw(axes_rows: dict[str, list[dict[str, Any]]], clock: str, path: Path) -> None:
    """One column per axis: time above, memory below, with a dotted line for linear growth."""
    with page_style() as plt:
        figure, panels = plt.subplots(2, len(axes_rows), figsize=(WIDTH_INCHES, 3.6), sharex="col", squeeze=False)
        for column, (name, rows) in enumerate(axes_rows.items()):
            x = np.array([row["x"] for row in rows])
            figures = ((clock, "seconds"), ("peak_mib", "peak memory, MiB"))
            for panel, (key, label) in zip(panels[:, column], figures, strict=True):
                y = np.array([row[key] for row in rows])
                panel.loglog(x, y, "o-", color=BLUE, markersize=3)
                panel.loglog(x, y[-1] * x / x[-1], ":", color="grey", label="linear")
                panel.set_ylim(y.min() / 1.5, y.max() * 1.5)
                panel.set_ylabel(label if column == 0 else "")
                panel.minorticks_off()
                panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panels[1, column].set_xlabel(name)
            panels[1, column].set_xticks(x, [_short(name, value) for value in x])
            panels[1, column].tick_params("x", labelrotation=45)
        panels[0, 0].legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, help="images per step where the batch stays; default 4, on a GPU 32")
    parser.add_argument("--rounds", type=int, default=3, help="turns that count, after one that does not")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--figure", type=Path, help="also draw them here")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images = given.batch or (32 if device == "cuda" else 4)

    def step(batch_size: int, size_px: int = SIZE_PX, queries: int = 126) -> tuple[Callable, dict]:
        anatomies = round(queries * 51 / 126)
        pixels, matrix = batch(batch_size, size_px, anatomies, queries - anatomies)
        return our_step, dict(device=device, images=pixels, matrix=matrix)

    axes = {
        "batch, images": {n: step(n) for n in (images // 2, images, 2 * images, 4 * images)},
        PIXELS: {size**2: step(images, size) for size in IMAGE_SIZES_PX},
        "queries": {n: step(images, queries=n) for n in QUERIES},
        "images in the corpus": {n: (input_step, dict(images=n)) for n in CORPUS_IMAGES},
    }
    # On a shared CPU, processor seconds say what the work costs, whatever else the machine does meanwhile.
    clock = "wall_s" if device == "cuda" else "processor_s"
    results = {name: measure(points, given.rounds, given.threads) for name, points in axes.items()}
    exponents = {}
    for name, rows in results.items():
        exponents[name] = growth(rows, clock)
        print(f"{name} (time grows with its power {exponents[name]:.2f}, memory {growth(rows, 'peak_mib'):.2f})")
        for row in rows:
            print(f"{row['x']:12,.0f}{row[clock]:10.3f} s{row['peak_mib']:10,.0f} MiB")
    if given.figure:
        draw(results, clock, given.figure)
    if given.json:
        settings = dict(device=device, batch=images, threads=given.threads, rounds=given.rounds, clock=clock)
        write_results(given.json, {**settings, "exponents": exponents, "axes": results})


if __name__ == "__main__":
    main()
