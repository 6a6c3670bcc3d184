"""Time to import all of medslip_core's training side against torch's alone: at most three times as long.

    python benchmarks/import_time.py [--rounds 5] [--json FILE]

Fresh interpreters in turn, after one each that leaves compiled bytecode behind, as on any machine that has imported
them once; processor seconds, so that a busy machine counts for nothing.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from medslip_core.provenance import write_results

STATEMENTS = {
    "torch": "import torch",
    "medslip_core (names load on use)": "import medslip_core",
    "medslip_core, model and losses": "from medslip_core import MedslipModel, medslip_objective, sample_negatives",
    "medslip_core.pretrain": "import medslip_core.pretrain",
}


def seconds(statement: str) -> float:
    """Processor seconds of a fresh interpreter that runs a statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="after one that does not count")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    turns = [{name: seconds(code) for name, code in STATEMENTS.items()} for _ in range(1 + given.rounds)][1:]
    medians = {name: statistics.median(turn[name] for turn in turns) for name in STATEMENTS}
    for name, median in medians.items():
        print(f"{name:<34}{median:7.2f} s{median / medians['torch']:7.2f} x torch")
    if given.json:
        write_results(given.json, {"rounds": given.rounds, "processor_s": medians})


if __name__ == "__main__":
    main()
