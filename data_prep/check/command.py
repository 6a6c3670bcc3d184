"""`python -m data_prep check`: prints what was found, and fails if there are errors."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from data_prep import READERS
from data_prep.check.dataset import QUICK_IMAGES, check
from data_prep.corpus import find_reader


def add_check(commands, option: Callable[[str], tuple[str, str]], epilog: str) -> None:
    """Adds the command to those of `python -m data_prep`; `option` parses NAME=VALUE, `epilog` ends the help."""
    command = commands.add_parser(
        "check", help="say what a dataset as downloaded holds and what is wrong with it",
        epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("dataset", choices=READERS, help="whose layout the folder has; manifest: images of your own")
    command.add_argument("root", type=Path, help="the dataset's folder, as downloaded and unpacked")
    command.add_argument("--quick", action="store_true", help=f"open only {QUICK_IMAGES} images")
    command.add_argument("--out", type=Path, help="folder for findings (CSV, JSON) and contact sheets (PNG)")
    command.add_argument("--processes", type=int, help="default: one per core")
    command.add_argument(
        "--option", type=option, action="append", default=[], metavar="NAME=VALUE", help="of the reader, see below"
    )
    command.set_defaults(command=_check)


def _check(
    dataset: str, root: Path, quick: bool, out: Path | None, processes: int | None, option: list[tuple[str, str]]
) -> int:
    find_reader(dataset, dict(option))  # before an option that is not the reader's own is taken for one of the check's
    report = check(dataset, root, quick, processes, **dict(option))
    sys.stdout.write(f"{report}\n")
    if out is not None:
        report.write(out)
    return 1 if report.errors else 0
