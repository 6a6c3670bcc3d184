"""What a pre-training at full size reached, gathered from its finished chapters into one file to keep.

    make demo PROFILE=full-size      or each chapter by itself: python -m pipeline.run_chapter NAME --profile full-size
    python benchmarks/full_size.py --run runs/full-size --json benchmarks/results/full_size.json

Headline figures with their intervals, the curves, how long each chapter took, all parameters, and the machine. A
chapter that was killed goes on where it was when it is run again, so a machine that is lent by the hour will do.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from medslip_core.training_log import read_history
from pipeline.chapter import write_json

CHAPTERS = ("phantom", "corpus", "pretraining", "zero_shot", "grounding")


def gathered(run: Path) -> dict[str, Any]:
    """All that the file holds, from a run folder such as runs/full-size.

    Raises:
        FileNotFoundError: a chapter of `CHAPTERS` has not finished in it.
    """
    results = {}
    for name in CHAPTERS:
        path = run / name / "results.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the chapter {name} has not finished; make demo PROFILE={run.name}")
        results[name] = json.loads(path.read_text())
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
    except FileNotFoundError as error:
        parser.error(str(error))
    for name, seconds in content["duration_s"].items():
        print(f"{name:<72} {seconds:9.0f} s")
    for number in content["figures"].values():
        print(f"{number['headline']:<72} {number['text']:>9}   {number.get('interval_text', '')}")
    if given.json:
        write_json(given.json, content)


if __name__ == "__main__":
    main()
