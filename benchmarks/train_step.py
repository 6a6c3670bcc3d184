"""Speed and memory of one training step: ours, its parts, the trunk alone, and the published code's.

    python benchmarks/train_step.py [--published CHECKOUT] [--batch 16] [--json FILE]

A step is forward, losses (with the draw of the negatives), backward and optimiser, on a batch that lies on the device
(a GPU if there is one), in the published setting: ResNet-50, 224 px, 51 + 75 queries. All contenders take turns, each
in a process of its own; ours keep freed memory, as our training does, the published code's runs as it is.
"""

import argparse
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from contenders import Contender, in_turn
from published_code import published_step
from torch import Tensor, nn

from medslip_core.allocator import keep_freed_memory
from medslip_core.losses.objective import medslip_objective
from medslip_core.losses.protocl import sample_negatives
from medslip_core.model import MedslipModel, MedslipOutput
from medslip_core.model_config import MedslipConfig
from medslip_core.optimisation import make_optimizer
from medslip_core.pretrain_params import PretrainParams
from medslip_core.provenance import write_results
from medslip_core.torch_state import compile_network

STEPS_PER_TURN_OF_A_GPU = 20
TRIPLETS_PER_IMAGE = 15  # stated in a report, about; two thirds of them present


def batch(images: int, image_size: int = 224, anatomies: int = 51, pathologies: int = 75) -> tuple[Tensor, Tensor]:
    """Random normalised images [B, 3, S, S] float32 and label matrices [B, A, P] int8."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.full((images, anatomies * pathologies), -1, dtype=torch.int8)
    cells = torch.rand(matrix.shape, generator=generator).topk(TRIPLETS_PER_IMAGE, dim=1).indices
    matrix.scatter_(1, cells, (torch.rand(cells.shape, generator=generator) < 2 / 3).to(torch.int8))
    return torch.randn(images, 3, image_size, image_size, generator=generator), matrix.view(-1, anatomies, pathologies)


def our_model(device: str, image_size: int = 224, anatomies: int = 51, pathologies: int = 75) -> MedslipModel:
    """A model in the published setting, with random text books, in training mode."""
    keep_freed_memory()  # as `python -m medslip_core.pretrain` does
    names = dict(anatomies=[f"a{n}" for n in range(anatomies)], pathologies=[f"p{n}" for n in range(pathologies)])
    model = MedslipModel(MedslipConfig(image_size=image_size, **names))
    model.set_books(0.5 * torch.randn(anatomies, 768), 0.5 * torch.randn(pathologies, 768), "random")
    return model.to(device, memory_format=torch.channels_last).train()


def our_step(
    device: str,
    images: Tensor,
    matrix: Tensor,
    precision: str = "no",
    compiled: bool = False,
    checkpointing: bool = False,
) -> Callable[[], Any]:
    """A whole step."""
    model = our_model(device, images.shape[-1], *matrix.shape[1:])
    if checkpointing:
        model.trunk.checkpoint_gradients()
    if compiled:
        compile_network(model)
    optimizer = make_optimizer(model, PretrainParams())
    images, matrix = images.to(device).contiguous(memory_format=torch.channels_last), matrix.to(device)
    generator = torch.Generator(device)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            output = model(images)
        negatives = sample_negatives(matrix, generator=generator)
        medslip_objective(output, matrix, *model.text_books(), negatives).total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def losses_alone(device: str, images: Tensor, matrix: Tensor) -> Callable[[], Any]:
    """Forward and backward of the losses, down to what the model puts out."""
    model, matrix = our_model(device, images.shape[-1], *matrix.shape[1:]), matrix.to(device)
    with torch.no_grad():
        output = model(images.to(device))
    generator = torch.Generator(device)

    def step() -> None:
        values = {field.name: getattr(output, field.name) for field in fields(output)}
        leaves = {name: value.detach().requires_grad_() for name, value in values.items() if torch.is_tensor(value)}
        negatives = sample_negatives(matrix, generator=generator)
        medslip_objective(MedslipOutput(**leaves), matrix, *model.text_books(), negatives).total.backward()

    return step


def trunk_alone(device: str, images: Tensor, precision: str = "no", compiled: bool = False) -> Callable[[], Any]:
    """Forward, backward and optimiser of ResNet-50 to stage 3."""
    trunk: nn.Module = our_model(device).trunk
    if compiled:
        compile_network(trunk)
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=1e-4, fused=True)  # as ours
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    gradient = None  # of a loss that costs nothing

    def step() -> None:
        nonlocal gradient
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            features = trunk(images)
        gradient = torch.full_like(features, 1e-3) if gradient is None else gradient
        features.backward(gradient)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", help="folder of a checkout of the published code, to be measured too")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--published-batch", type=int, help="the published code's, if another")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count, after one that does not")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further round after so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="also ours and the trunk with bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="also ours compiled (with --bf16: in it, the trunk too)")
    parser.add_argument("--checkpointing", action="store_true", help="also ours with gradient checkpointing")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, matrix = batch(given.batch)
    on, ours = dict(device=device, images=images), dict(device=device, images=images, matrix=matrix)
    entries: list[tuple[str, Callable, dict]] = [("ours", our_step, ours), ("ours: losses alone", losses_alone, ours)]
    entries += [("trunk alone", trunk_alone, on)]
    if given.compile and not given.bf16:
        entries += [("ours, compiled", our_step, ours | dict(compiled=True))]
    if given.bf16:
        half = dict(precision="bf16")
        entries += [("ours, bf16", our_step, ours | half), ("trunk alone, bf16", trunk_alone, on | half)]
    if given.checkpointing:
        entries += [("ours, checkpointing", our_step, ours | dict(checkpointing=True))]
    if given.bf16 and given.compile:
        entries += [("ours, bf16, compiled", our_step, ours | half | dict(compiled=True))]
        entries += [("trunk alone, bf16, compiled", trunk_alone, on | half | dict(compiled=True))]
    if given.published:
        theirs = batch(given.published_batch or given.batch)
        arguments = dict(checkout=given.published, device=device, images=theirs[0], matrix=theirs[1])
        entries += [("published code", published_step, arguments)]
    contenders = []
    for name, prepare, arguments in entries:  # the published step takes seconds on a GPU too, where it waits for itself
        times = STEPS_PER_TURN_OF_A_GPU if device == "cuda" and prepare is not published_step else 1
        profiled = device == "cuda" and prepare is our_step and arguments.get("compiled", False)
        contenders.append(Contender(name, prepare, arguments, given.threads, times, profiled))
    rows = in_turn(contenders, given.rounds, seconds=given.seconds)
    for row, (_, _, arguments) in zip(rows, entries, strict=True):
        row["batch"] = len(arguments["images"])
        row["images_per_s"] = len(arguments["images"]) / row["wall_s"]
        row["images_per_processor_s"] = len(arguments["images"]) / row["processor_s"]
    print(f"{device}, batch {given.batch}, {given.threads} threads, median of {len(rows[0]['turns_wall_s'])} turns")
    print(f"{'':<28}{'images/s':>10}{'s/step':>9}{'processor s':>13}{'peak MiB':>10}{'x published':>13}")
    for row in rows:
        reference = rows[-1]["images_per_s"] if given.published else float("nan")
        print(
            f"{row['name']:<28}{row['images_per_s']:10.2f}{row['wall_s']:9.3f}{row['processor_s']:13.3f}"
            f"{row['peak_mib']:10.0f}{row['images_per_s'] / reference:13.2f}"
        )
    share = rows[1]["wall_s"] / rows[0]["wall_s"]
    print(f"losses: {share:.2%} of the step")
    reached = targets(rows) if device == "cuda" else {}
    for name, one in reached.items():
        print(f"{name}: {one['value']:.3g}, {one['bound']} {one['target']:g}: {'held' if one['held'] else 'MISSED'}")
    if given.json:
        settings = dict(device=device, batch=given.batch, threads=given.threads, rounds=len(rows[0]["turns_wall_s"]))
        write_results(given.json, {**settings, "losses_share": share, "targets": reached, "contenders": rows})


def targets(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What a step on an H100 should reach, and whether it does, as far as it was measured."""
    measured = {row["name"]: row for row in rows}
    ours = measured.get("ours, bf16, compiled")
    if ours is None:
        return {}
    speed, waits = ours["images_per_s"], sum(ours["waits"].values())
    found = {
        "images/s": dict(value=speed, bound="at least", target=2500, held=speed >= 2500),
        "waits for the card": dict(value=waits, bound="at most", target=0, held=waits == 0),
    }
    if trunk := measured.get("trunk alone, bf16, compiled"):
        share = speed / trunk["images_per_s"]
        found["share of the trunk's rate"] = dict(value=share, bound="at least", target=0.75, held=share >= 0.75)
    if (published := measured.get("published code")) and published["batch"] == 64:
        times = speed / published["images_per_s"]
        found["times the published code's rate"] = dict(value=times, bound="at least", target=20, held=times >= 20)
    return found


if __name__ == "__main__":
    main()
