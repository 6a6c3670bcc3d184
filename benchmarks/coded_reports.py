"""How well reports are read, against reports coded by people; no text and no id is written.

    python benchmarks/coded_reports.py FOLDER [--json benchmarks/results/coded_reports.json]

FOLDER holds the coders' labels (`gold.jsonl`) and their scorer (`score.py`); see `data_prep.reports.coded`.
"""

import argparse
import json
from pathlib import Path

from data_prep.reports.coded import measure
from medslip_core.provenance import write_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples over reports")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    measured = measure(given.folder, given.resamples)
    print(measured.scores.round(3).to_string(index=False))
    if given.json:
        tables = {name: json.loads(getattr(measured, name).to_json(orient="records")) for name in ("scores", "labels")}
        write_results(given.json, {"reports": measured.reports, **tables})


if __name__ == "__main__":
    main()
