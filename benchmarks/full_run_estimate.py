"""Time and cost of the paper's full pre-training, from a measured speed of one GPU.

    python benchmarks/full_run_estimate.py --measured benchmarks/results/train_step_h100.json --name "ours, bf16"
    python benchmarks/full_run_estimate.py --images-per-s 2500 --price 3

Assumptions: the paper's schedule (100 epochs) over all images of MIMIC-CXR-JPG 2.0 (377,110; a subset takes less, in
proportion); one validation of a fiftieth of the images per epoch at three times the speed of training; several GPUs
share one node and lose a tenth of their speed to each other; the input keeps up (benchmarks/input.py says how many
cores that takes); the price is per GPU and hour, and pays for nothing else.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

GPUS = (1, 8)


@dataclass(frozen=True)
class FullRun:
    """What a run consists of, and what was measured.

    Attributes:
        images_per_s: training speed of one GPU, measured.
        images: training images; epochs: passes over them.
        validation_share: images per epoch that are only looked at, as a share of `images`.
        validation_speed: how many times faster than training that is.
        scaling_efficiency: speed of each of several GPUs as a share of one alone.
        price_per_gpu_hour: in any currency.
    """

    images_per_s: float
    images: int = 377_110
    epochs: int = 100
    validation_share: float = 0.02
    validation_speed: float = 3.0
    scaling_efficiency: float = 0.9
    price_per_gpu_hour: float = 3.0

    def hours(self, gpus: int) -> float:
        """Wall-clock hours on so many GPUs."""
        passes = self.epochs * (1 + self.validation_share / self.validation_speed)
        efficiency = self.scaling_efficiency if gpus > 1 else 1.0
        return passes * self.images / (self.images_per_s * gpus * efficiency) / 3600

    def cost(self, gpus: int) -> float:
        """Price of these hours on all GPUs."""
        return self.hours(gpus) * gpus * self.price_per_gpu_hour

    def cores_for_input(self, gpus: int, images_per_s_per_core: float) -> float:
        """Cores that keep so many GPUs fed."""
        return self.images_per_s * gpus / images_per_s_per_core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    speed = parser.add_mutually_exclusive_group(required=True)
    speed.add_argument("--images-per-s", type=float, help="training speed of one GPU")
    speed.add_argument("--measured", type=Path, help="JSON of benchmarks/train_step.py that holds it")
    parser.add_argument("--name", default="ours", help="which of its contenders")
    parser.add_argument("--images", type=int, default=FullRun.images)
    parser.add_argument("--epochs", type=int, default=FullRun.epochs)
    parser.add_argument("--price", type=float, default=FullRun.price_per_gpu_hour, help="per GPU and hour")
    given = parser.parse_args()
    images_per_s = given.images_per_s
    if given.measured:
        rows = {row["name"]: row["images_per_s"] for row in json.loads(given.measured.read_text())["contenders"]}
        if given.name not in rows:
            parser.error(f"{given.measured}: no contender {given.name!r}; it has {', '.join(rows)}")
        images_per_s = rows[given.name]
    run = FullRun(images_per_s, given.images, given.epochs, price_per_gpu_hour=given.price)
    print(
        f"{run.images:,} images x {run.epochs} epochs at {images_per_s:,.0f} images/s per GPU, {given.price:g} an hour"
    )
    for gpus in GPUS:
        hours = run.hours(gpus)
        print(f"{gpus} GPU: {hours:6.1f} h, {hours * gpus:6.1f} GPU hours, cost {run.cost(gpus):,.0f}")


if __name__ == "__main__":
    main()
