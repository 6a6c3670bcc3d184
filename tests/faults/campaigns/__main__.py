import argparse
import sys
from pathlib import Path

import pandas as pd

from medslip_core.provenance import write_results

sys.path.append(str(Path(__file__).resolve().parents[2]))  # tiny_book and others; pytest knows it from pyproject.toml

from . import __doc__ as description
from .damage import damage
from .full_disk import full_disk
from .kill_chapters import kill_driver, kill_kernel
from .kill_saving import kill_saving
from .kill_training import (
    kill_one_of_two,
    kill_training,
    kill_training_on_gpu,
    kill_unsteady_training,
    kill_unsteady_training_on_gpu,
    soak,
)

CAMPAIGNS = {
    "kill-training": kill_training,
    "kill-one-of-two": kill_one_of_two,
    "kill-unsteady-training": kill_unsteady_training,
    "kill-saving": kill_saving,
    "damage": damage,
    "full-disk": full_disk,
    "kill-kernel": kill_kernel,
    "kill-driver": kill_driver,
}
APART = {
    "soak": soak,  # takes long
    "kill-training-on-gpu": kill_training_on_gpu,
    "kill-unsteady-training-on-gpu": kill_unsteady_training_on_gpu,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.campaigns", description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("campaign", choices=[*CAMPAIGNS, *APART, "all"], help="all: but soak and those that need a GPU")
    parser.add_argument("--count", type=int, default=20, help="faults of each campaign (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and places")
    parser.add_argument("--json", type=Path, help="also write the table and notes here")
    given = parser.parse_args()
    outcomes = []
    for name in CAMPAIGNS if given.campaign == "all" else [given.campaign]:
        outcome = {**CAMPAIGNS, **APART}[name](given.count, given.seed)
        outcomes.append(outcome)
        print(f"\n{name}: {outcome.promise}\n{outcome.table().to_string(index=False)}")
        print("; ".join(f"{key.replace('_', ' ')} {value}" for key, value in outcome.notes.items()))
        for line in outcome.broken:
            print(f"  BROKEN: {line}")
        sys.stdout.flush()
    if given.json:
        table = pd.concat(outcome.table() for outcome in outcomes)
        notes = {outcome.campaign: outcome.notes for outcome in outcomes}
        content = {"seed": given.seed, "table": table.to_dict("records"), "notes": notes}
        write_results(given.json, content)
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":  # processes of the server import this file too
    sys.exit(main())
