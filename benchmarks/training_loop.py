"""Does the input hold the training up, and does the host wait for the device?

    python benchmarks/training_loop.py [--batch 16] [--precision bf16] [--compile] [--json FILE]

Three contenders take turns, in the published setting: whole steps of a training run, as `medslip_core.pretrain` does
them (rows, labels, negatives, images and augmentation included); the network's part of a step alone, on a batch that
lies on the device; the input alone. On a GPU the profiler then lists every call in a run's steps that waits for the
device; there should be none.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from contenders import PROFILED_TIMES, Contender, in_turn
from random_corpus import random_corpus
from train_step import STEPS_PER_TURN_OF_A_GPU, batch, our_model, our_step

from medslip_core.augment import augment
from medslip_core.optimisation import training_mode
from medslip_core.pretrain_params import PretrainParams
from medslip_core.provenance import write_results
from medslip_core.training_run import TrainingRun

CORPUS_IMAGES, CORPUS_PX, SIZE_PX = 10_000, 256, 224


def training_run(params: PretrainParams) -> TrainingRun:
    """A run at its first step, on a corpus of random labels."""
    folder = tempfile.TemporaryDirectory()
    images = -(-CORPUS_IMAGES // params.batch_size) * params.batch_size  # no short batch, which is another graph
    corpus = random_corpus(Path(folder.name), images, CORPUS_PX)
    run = TrainingRun(params, corpus, Path(folder.name), our_model("cpu", SIZE_PX))
    run.temporary = folder  # kept as long as the run
    training_mode(run.model, run.frozen, params.frozen_batch_norm)
    return run


def whole_step(params: PretrainParams) -> Callable[[], Any]:
    """A step of a training run."""
    return training_run(params).train_step


def input_alone(params: PretrainParams) -> Callable[[], Any]:
    """What a step of a training run does before its forward pass."""
    run, step = training_run(params), 0

    def read() -> None:
        nonlocal step
        drawn = run.task.source.batch(step)
        run.model.pixel_values(augment(run.task.source.images(drawn.rows), drawn.views, SIZE_PX))
        step += 1

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count, after one that does not")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further round after so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--compile", action="store_true", help="run the network through torch.compile")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    params = PretrainParams(
        batch_size=given.batch, precision=given.precision, compile=given.compile, result="last", tensorboard=False
    )
    images, matrix = batch(given.batch)
    network = dict(device=device, images=images, matrix=matrix, precision=given.precision, compiled=given.compile)
    times = STEPS_PER_TURN_OF_A_GPU if device == "cuda" else 1
    contenders = [
        Contender("whole step", whole_step, dict(params=params), given.threads, times, device == "cuda"),
        Contender("network alone", our_step, network, given.threads, times),
        Contender("input alone", input_alone, dict(params=params), given.threads, times),
    ]
    rows = in_turn(contenders, given.rounds, seconds=given.seconds)
    for row in rows:
        row["images_per_s"] = given.batch / row["wall_s"]
        print(f"{row['name']:<16}{row['images_per_s']:10.1f} images/s{row['wall_s'] * 1000:10.1f} ms a step")
    share = rows[1]["wall_s"] / rows[0]["wall_s"]
    print(f"the network takes {share:.1%} of a whole step")
    found = rows[0].get("waits")
    print("no GPU: no waiting to look for" if found is None else f"waits in {PROFILED_TIMES} steps: {found or 'none'}")
    if given.json:
        settings = dict(device=device, batch=given.batch, threads=given.threads, rounds=len(rows[0]["turns_wall_s"]),
                        precision=given.precision, compile=given.compile)  # fmt: skip
        write_results(given.json, {**settings, "network_share": share, "waits": found, "contenders": rows})


if __name__ == "__main__":
    main()
