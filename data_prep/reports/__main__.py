"""Read reports from the command line.

    python -m data_prep.reports findings IN.jsonl OUT.jsonl
    python -m data_prep.reports triplets IN.jsonl OUT.jsonl

Reports are read in English. A line of IN is {"id", "text": whole report} or {"id", "findings": text, "impression":
text}, such as

    {"id": "r1", "text": "FINDINGS: Small left effusion. IMPRESSION: No pneumothorax."}

A line of OUT is {"id", "findings", "pairs", "locs"}, or {"id", "triplets": [[anatomy, pathology, state, start, end]]}
with spans in the text, or in findings + blank line + impression. Malformed lines are named on stderr and left out; the
exit status is then 1.
"""

import argparse
import logging
import sys
from pathlib import Path

from data_prep.errors import DataError
from data_prep.parallel import cores
from data_prep.reports.jsonl import POLICIES, read_file

logger = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, 1 when lines were malformed, 2 when the files cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.reports", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("findings", "triplets"), help="which a line of OUT has")
    parser.add_argument("source", type=Path, metavar="IN.jsonl", help="reports, one JSON object a line")
    parser.add_argument("out", type=Path, metavar="OUT.jsonl", help="written anew; not IN.jsonl")
    parser.add_argument(
        "--uncertain", choices=POLICIES, default="drop", help="what a hedged finding counts as (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=cores(), help="default: one per core")
    given = parser.parse_args(arguments)
    if given.out.exists() and given.out.samefile(given.source):
        parser.error(f"{given.out} is the file to be read; name another one to write")
    unfinished = given.out.with_name(f".{given.out.name}.partial")
    try:
        malformed = read_file(given.source, unfinished, given.what, given.uncertain, given.processes)
        unfinished.replace(given.out)
    except (DataError, OSError) as error:  # a lexicon that is broken; a file that cannot be read or written
        logger.error("%s", error)
        return 2
    finally:
        unfinished.unlink(missing_ok=True)
    if malformed:
        logger.error("%s: %d malformed lines left out", given.source, malformed)
    return 1 if malformed else 0


if __name__ == "__main__":
    sys.exit(main())
