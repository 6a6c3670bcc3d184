"""What keeping freed memory saves (`medslip_core.allocator`): the same work as it is and with memory kept, in turns.

    python benchmarks/allocator.py [--rounds 5] [--threads 2] [--json FILE]

The demo's work at the demo's size: drawing phantom studies, passing images through the trunk, and training it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from contenders import Contender, in_turn

from medslip_core.allocator import keep_freed_memory
from medslip_core.provenance import write_results

IMAGE_SIZE_PX = 128


def phantom(keep: bool) -> Callable[[], None]:
    """Draws 40 studies, with their masks."""
    from data_prep.phantom import POPULATIONS, draw_study

    def work() -> None:
        for number in range(40):
            draw_study(POPULATIONS["mimic"], 0, number)

    return _kept(work, keep)


def network(keep: bool, batch: int, training: bool) -> Callable[[], None]:
    """Takes eight batches through the demo's trunk, and back if it learns."""
    import torch

    from medslip_core.backbone import Trunk

    trunk = Trunk("tf_efficientnet_lite0", detail_stage=2).train(training).to(memory_format=torch.channels_last)
    images = torch.rand(batch, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX).contiguous(memory_format=torch.channels_last)

    def work() -> None:
        for _ in range(8):
            with torch.set_grad_enabled(training):
                stages = trunk.stages(images)
            if training:
                stages[-1].mean().backward()

    return _kept(work, keep)


def _kept(work: Callable[[], None], keep: bool) -> Callable[[], None]:
    if keep and not keep_freed_memory():
        raise RuntimeError("the C library is not glibc: nothing to compare")
    return work


WORK = {
    "phantom, 40 studies": (phantom, {}),
    "forward, 8 batches of 64": (network, {"batch": 64, "training": False}),
    "training, 8 batches of 16": (network, {"batch": 16, "training": True}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    rows = []
    print(f"{'work':28s}{'as it is, s':>12s}{'kept, s':>12s}{'ratio':>8s}{'peak, MiB':>12s}{'kept, MiB':>12s}")
    for name, (prepare, options) in WORK.items():
        pair = [Contender(f"{name}, keep={keep}", prepare, {"keep": keep, **options}, given.threads)
                for keep in (False, True)]  # fmt: skip
        plain, kept = in_turn(pair, given.rounds)
        rows.append({"work": name, "ratio": plain["wall_s"] / kept["wall_s"], "as_it_is": plain, "kept": kept})
        print(f"{name:28s}{plain['wall_s']:12.2f}{kept['wall_s']:12.2f}{rows[-1]['ratio']:8.2f}"
              f"{plain['peak_mib']:12.0f}{kept['peak_mib']:12.0f}")  # fmt: skip
    if given.json:
        write_results(given.json, {"rounds": given.rounds, "threads": given.threads, "work": rows})


if __name__ == "__main__":
    main()
