"""Variants of a comparison, each trained for several budgets: what holds on, and what a longer training overtakes.

    python benchmarks/budget.py --study runs/demo/comparison/study.json --epochs 6 --seeds 0 \
        --variants "all parts" "without ProtoCL" [--share 1/2] --json benchmarks/results/demo_budget.json

The study is that of `make run`, which comes first; nothing is fine-tuned. Each budget is a comparison of its own, in a
folder beside it; runs that are finished are not run again.
"""

import argparse
import dataclasses
import json
import logging
from pathlib import Path

from medslip_core.allocator import keep_freed_memory
from medslip_core.cells import share_of
from medslip_core.comparison.params import ComparisonParams
from medslip_core.comparison.study import Study
from medslip_core.parameters import ParameterError
from medslip_core.provenance import write_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True, help="study.json of a comparison chapter")
    parser.add_argument("--epochs", type=int, nargs="+", required=True)
    parser.add_argument("--variants", nargs="+", help="the first is what the others are compared with; default: all")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: the study's")
    parser.add_argument("--share", default="1/1", help="this machine's part of each budget's runs, e.g. 2/4")
    parser.add_argument("--json", type=Path, help="then write here the comparisons of what is finished")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    whole = ComparisonParams.read(given.study)
    unknown = set(given.variants or ()) - set(whole.variants)
    if unknown:
        parser.error(f"--variants: {given.study} has no {sorted(unknown)}; it has {list(whole.variants)}")
    variants = {name: whole.variants[name] for name in given.variants or whole.variants}
    keep_freed_memory()
    budgets = []
    for epochs in given.epochs:
        pretraining = {**whole.pretraining, "epochs": epochs}
        params = dataclasses.replace(
            whole, variants=variants, pretraining=pretraining, seeds=given.seeds or whole.seeds, finetuned={}
        )
        study = Study(params, given.study.parent / "budgets" / f"{epochs}-epochs")
        try:
            study.run(share_of(study.cells, given.share))
        except ParameterError as error:
            parser.error(str(error))
        budgets.append({"epochs": epochs, "rows": json.loads(study.comparison().to_json(orient="records"))})
    if given.json:
        write_results(given.json, {"budgets": budgets})


if __name__ == "__main__":
    main()
