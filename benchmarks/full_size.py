"""What a pre-training at full size reached, gathered from its finished chapters into one file to keep.

    make demo PROFILE=full-size      or each chapter by itself: python -m pipeline.run_chapter NAME --profile full-size
    python benchmarks/full_size.py --run runs/full-size --json benchmarks/results/full_size.json

Headline figures with their intervals, the curves, how long each chapter took (where it was killed and went on: since
then), all parameters, and the machine.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

from medslip_core.provenance import write_results
from medslip_core.training_log import read_history

CHAPTERS = ("phantom", "corpus", "pretraining", "zero_shot")
LAST = "grounding"  # gathered where it has finished, too


def gathered(run: Path) -> dict[str, Any]:
    """All that the file holds, from a run folder such as runs/full-size.

    Raises:
        FileNotFoundError: a chapter of `CHAPTERS` has not finished in it.
        ValueError: a chapter was run before one that it stands on.
    """
    results = {}
    chapters = CHAPTERS + (LAST,) * (run / LAST / "results.json").is_file()
    for name in chapters:
        path = run / name / "results.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the chapter {name} has not finished; make demo PROFILE={run.name}")
        results[name] = json.loads(path.read_text())
    for earlier, later in itertools.pairwise(chapters):
        if results[earlier]["started"] > results[later]["started"]:
            raise ValueError(f"{run / later}: {earlier} was run again since; make run PROFILE={run.name}")
    numbers = {name: number for one in results.values() for name, number in one["numbers"].items()}
    history = read_history(run / "pretraining" / "history.csv").dropna(axis="columns", how="all")
    return {
        "command": f"make demo PROFILE={run.name}",
        "duration_s": {name: one["duration_s"] for name, one in results.items()},
        "images_per_s": numbers["images_per_s"]["value"],
        "figures": {name: number for name, number in numbers.items() if "headline" in number},
        "parameters": {name: one["parameters"] for name, one in results.items()},
        "history": json.loads(history.to_json(orient="split", index=False)),
        "environment": results["pretraining"]["environment"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/full-size"), help="default: runs/full-size")
    parser.add_argument("--json", type=Path, help="write all of it here")
    given = parser.parse_args()
    try:
        content = gathered(given.run)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    for name, seconds in content["duration_s"].items():
        print(f"{seconds:9.0f} s  {name}")
    for number in content["figures"].values():
        print(f"{number['text']:>9}  {number.get('interval_text', ''):<16}  {number['headline']}")
    if given.json:
        write_results(given.json, content)


if __name__ == "__main__":
    main()
