"""How fast reports are read, and that the time grows with the text and no faster.

    python benchmarks/reports_speed.py [--reports 1000] [--json FILE]

Reads phantom reports on one core, then texts of growing length: sentences as they come, one sentence without a full
stop, and characters that are no words. Exits with 1 below 1,000 reports/s, or when twice the text takes more than
three times as long.
"""

import argparse
import time
from pathlib import Path

from data_prep.phantom import POPULATIONS, draw_study
from data_prep.phantom.report import write_report
from data_prep.reports import read_report
from medslip_core.provenance import write_results

LIMIT_REPORTS_PER_S = 1000
LIMIT_GROWTH = 3.0
LENGTHS_CHARACTERS = (12_500, 25_000, 50_000, 100_000)
TEXTS = {
    "sentences": "There is a small left pleural effusion with adjacent atelectasis. No pneumothorax. ",
    "no full stop": "no effusion or opacity in the right upper and left lower lobes and ",
    "places only": "left right upper and lower lobe greater than ",
    "findings only": "effusion opacity nodule ",
    "headings": "FINDINGS: IMPRESSION: COMPARISON:\n\n",
    "no words": "- \n . ___ \t?\n",
    "blanks": " ",
}


def seconds_for(text: str) -> float:
    """Processor time of one reading, the least of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        read_report(text)
        times.append(time.process_time() - start)
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=1000, help="phantom reports to read")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    studies = (
        draw_study(POPULATIONS["mimic"], 0, number, size_px=48, with_masks=False) for number in range(given.reports)
    )
    texts = [write_report(study).text for study in studies]
    read_report(texts[0])  # loads the lexicon
    start = time.process_time()
    triplets = sum(len(read_report(text)) for text in texts)
    elapsed_s = time.process_time() - start
    speed = len(texts) / elapsed_s
    characters = sum(map(len, texts)) // len(texts)
    print(f"{speed:,.0f} reports/s on one core ({characters} characters, {triplets / len(texts):.1f} triplets each)")
    growth = {}
    print(f"{'milliseconds for characters':30s}" + "".join(f"{length:>10,}" for length in LENGTHS_CHARACTERS))
    for name, piece in TEXTS.items():
        times = [seconds_for((piece * length)[:length]) for length in LENGTHS_CHARACTERS]
        growth[name] = times
        print(f"{name:30s}" + "".join(f"{1000 * seconds:10.1f}" for seconds in times))
    steepest = max(times[-1] / max(times[-2], 1e-3) for times in growth.values())
    print(f"twice the text takes at most {steepest:.2f} times as long (limit {LIMIT_GROWTH})")
    if given.json:
        report = {
            "reports_per_s": round(speed),
            "characters_per_report": characters,
            "lengths_characters": LENGTHS_CHARACTERS,
            "seconds": growth,
            "steepest_growth": steepest,
        }
        write_results(given.json, report)
    return int(speed < LIMIT_REPORTS_PER_S or steepest > LIMIT_GROWTH)


if __name__ == "__main__":
    raise SystemExit(main())
