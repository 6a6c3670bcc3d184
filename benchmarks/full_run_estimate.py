"""Time and cost of the paper's full pre-training: from measured speeds, and on H100s from the operations of a step.

    python benchmarks/full_run_estimate.py [--gpu benchmarks/results/full_size_h100.json] [--json FILE]

The CPU's speeds are those of benchmarks/results/train_step_cpu.json. A GPU's are measured where `--gpu` names what
benchmarks/full_size.py or benchmarks/train_step.py wrote on one. Else they are estimated: the operations of a step are
counted here, and a network like this one is taken to get 5 to 15 % of what the H100's tensor cores could do in
bfloat16. (NVIDIA reports 90 epochs of ResNet-50 on ImageNet in 8.75 hours on one A100 by their own tuned code, which is
29 % of that card's peak; catalog.ngc.nvidia.com, resnet_mxnet, performance.)

Assumptions besides: the paper's 100 epochs over all images of MIMIC-CXR-JPG (377,110; a subset takes less, in
proportion), with the measured batch on each card; one validation of a fiftieth of the images per epoch at three times
the speed of training; several GPUs of one node lose a tenth of their speed to each other; the input keeps up
(benchmarks/input.py); the price is per GPU and hour, and pays for nothing else.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from torch.utils.flop_counter import FlopCounterMode
from train_step import batch, our_step

from medslip_core.provenance import write_results

CPU_RESULTS = Path(__file__).parent / "results" / "train_step_cpu.json"
H100_PEAK = 989.4e12  # operations/s in bfloat16 without sparsity, SXM5 (NVIDIA H100 data sheet)
UTILISATION = (0.05, 0.15)
GPUS = (1, 8)


@dataclass(frozen=True)
class FullRun:
    """What a run consists of, and what was measured.

    Attributes:
        images_per_s: training speed of one device.
        images: training images; epochs: passes over them.
        validation_share: images per epoch that are only looked at, as a share of `images`.
        validation_speed: how many times faster than training that is.
        scaling_efficiency: speed of each of several devices as a share of one alone.
    """

    images_per_s: float
    images: int = 377_110
    epochs: int = 100
    validation_share: float = 0.02
    validation_speed: float = 3.0
    scaling_efficiency: float = 0.9

    def hours(self, devices: int) -> float:
        """Wall-clock hours on so many devices."""
        passes = self.epochs * (1 + self.validation_share / self.validation_speed)
        efficiency = self.scaling_efficiency if devices > 1 else 1.0
        return passes * self.images / (self.images_per_s * devices * efficiency) / 3600


def operations_per_image() -> float:
    """Floating-point operations of a training step in the published setting, per image (a product and sum are two)."""
    images, matrix = batch(2)
    step = our_step("cpu", images, matrix)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / len(images)


def speeds(measured: Path) -> dict[str, float]:
    """Images per second of each contender of benchmarks/train_step.py, or of the run of benchmarks/full_size.py."""
    content = json.loads(measured.read_text())
    rows = content.get("contenders") or [{"name": "ours, a whole run", "images_per_s": content["images_per_s"]}]
    return {row["name"]: row["images_per_s"] for row in rows}


def estimate(cpu: dict[str, float], gpu: dict[str, float], operations: float, price: float, card: str) -> list[dict]:
    """One row per machine.

    Args:
        cpu, gpu: contender -> images/s; without a GPU's figures its speed is estimated.
        operations: per image.
        price: per GPU and hour.
        card: name of the GPU.
    """
    rows = [(f"CPU, {name}", speed, "measured", 1) for name, speed in cpu.items()]
    if gpu:
        cards = [(name, speed, "measured") for name, speed in gpu.items()]
    else:
        cards = [(f"{share:.0%} of its peak", share * H100_PEAK / operations, "estimated") for share in UTILISATION]
    rows += [
        (f"{count} {card}, {name}", speed, basis if count == 1 or not gpu else "extrapolated", count)
        for count in GPUS
        for name, speed, basis in cards
    ]
    return [
        {
            "machine": machine,
            "speed": basis,
            "images_per_s_each": speed,
            "hours": FullRun(speed).hours(count),
            "cost": count * FullRun(speed).hours(count) * price if card in machine else None,
        }
        for machine, speed, basis, count in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", type=Path, help="JSON of full_size.py or train_step.py, run on a GPU")
    parser.add_argument("--price", type=float, default=3.0, help="per GPU and hour")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    of_cpu = speeds(CPU_RESULTS)
    cpu = {name: of_cpu[name] for name in ("published code", "ours", "ours, bf16")}
    gpu, card, environment = {}, "H100", None
    if given.gpu:
        environment = json.loads(given.gpu.read_text())["environment"]
        card = environment["torch"]["device"]
        gpu = {name: speed for name, speed in speeds(given.gpu).items() if name.startswith(("ours", "published"))}
        gpu.pop("ours: losses alone", None)
    operations = operations_per_image()
    rows = estimate(cpu, gpu, operations, given.price, card)
    print(f"{FullRun.images:,} images x {FullRun.epochs} epochs, {operations / 1e9:.1f} GFLOP per image and step")
    print(f"{'':<48}{'images/s each':>15}{'':>11}{'hours':>12}{'cost':>8}")
    for row in rows:
        cost = "" if row["cost"] is None else f"{row['cost']:,.0f}"
        print(f"{row['machine']:<48}{row['images_per_s_each']:15,.1f}{row['speed']:>11}{row['hours']:12,.1f}{cost:>8}")
    if given.json:
        settings = dict(images=FullRun.images, epochs=FullRun.epochs, price=given.price, gpu_environment=environment)
        counted = dict(gflop_per_image=operations / 1e9, h100_peak_tflops=H100_PEAK / 1e12)
        write_results(given.json, {**settings, **counted, "rows": rows})


if __name__ == "__main__":
    main()
