"""The study's chapters from pre-training on, once per training seed: the mean and spread of every headline figure.

    python benchmarks/seeds.py --profile demo --seeds 0 1 2 --json benchmarks/results/demo_seeds.json

`make run PROFILE=demo` comes first: its corpora serve every seed, and its own seed's chapters are taken as they are. A
seed's chapters that are done already, with the same parameters and corpora, are not run again.
"""

import argparse
import json
import logging
import statistics
from pathlib import Path

import yaml

from medslip_core.interruption import interruption_told
from medslip_core.provenance import write_results
from pipeline.parameters import study_parameters
from pipeline.run_chapter import ChapterFailed, ChapterRun, run_chapter

SHARED = ("phantom", "corpus")
CHAPTERS = ("pretraining", "zero_shot", "grounding")

logger = logging.getLogger("seeds")


def run_seed(profile: str, seed: int, runs: Path, params: Path) -> list[dict]:
    """The results of `CHAPTERS` for one seed, run where they are missing."""
    own = [recorded(runs, profile, chapter) for chapter in CHAPTERS]
    if all(results["seed"] == seed for results in own):
        return own
    name = f"{profile}-seed{seed}"
    for done in (runs / profile).iterdir():
        link = runs / name / done.name
        if done.name not in CHAPTERS and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(done.resolve(), target_is_directory=True)
    results = []
    for chapter in CHAPTERS:
        given = params / profile / f"{chapter}.yaml"
        values = yaml.safe_load(given.read_text()) if given.is_file() else {}
        asked = runs / "seed-params" / name / given.name
        asked.parent.mkdir(parents=True, exist_ok=True)
        asked.write_text(yaml.safe_dump({**values, "seed": seed}))
        run = ChapterRun(chapter, name, params=runs / "seed-params", runs=runs)
        if not (run.copy().is_file() and is_of(runs, profile, name, chapter)):
            logger.info("seed %d: %s", seed, chapter)
            run_chapter(run)
        results.append(recorded(runs, name, chapter))
    return results


def is_of(runs: Path, profile: str, name: str, chapter: str) -> bool:
    """Whether a seed's finished chapter asked what the profile's asks now, of what those before it hold now."""
    results = recorded(runs, name, chapter)
    inputs = {taken: recorded(runs, name, taken)["run_id"] for taken in results["inputs"]}
    same = study_parameters(results) == study_parameters(recorded(runs, profile, chapter))
    return same and results["inputs"] == inputs


def recorded(runs: Path, profile: str, chapter: str) -> dict:
    """What a finished chapter recorded.

    Raises:
        FileNotFoundError: it has not finished.
    """
    path = runs / profile / chapter / "results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the chapter {chapter} has not finished; make run PROFILE={profile}")
    return json.loads(path.read_text())


def spread(results: dict[int, list[dict]]) -> list[dict]:
    """One row per headline figure: its value for each seed, their mean and standard deviation."""
    numbers = {seed: {k: v for one in parts for k, v in one["numbers"].items()} for seed, parts in results.items()}
    first = next(iter(numbers.values()))
    rows = []
    for name, number in first.items():
        if "headline" in number and "interval" in number:
            values = [numbers[seed][name]["value"] for seed in numbers]
            deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
            rows.append({"name": name, "headline": number["headline"], "mean": statistics.mean(values),
                         "standard_deviation": deviation, "values": values})  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--params", type=Path, default=Path("params"))
    parser.add_argument("--json", type=Path, help="also write the table here")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with interruption_told("interrupted; the same command goes on: finished chapters are kept"):
            results = {seed: run_seed(given.profile, seed, given.runs, given.params) for seed in given.seeds}
    except (FileNotFoundError, ChapterFailed) as error:
        parser.error(str(error))
    rows = spread(results)
    print(f"{'figure':<62} {'mean':>6} {'sd':>6}   values")
    for row in rows:
        values = " ".join(f"{value:.3f}" for value in row["values"])
        print(f"{row['headline']:<62} {row['mean']:6.3f} {row['standard_deviation']:6.3f}   {values}")
    if given.json:
        first = next(iter(results.values()))
        shared = [recorded(given.runs, given.profile, chapter) for chapter in SHARED]
        asked = {one["chapter"]: study_parameters(one) for one in [*shared, *first]}
        content = {"seeds": given.seeds, "asked": asked, "figures": rows, "environment": first[0]["environment"]}
        write_results(given.json, content)


if __name__ == "__main__":
    main()
