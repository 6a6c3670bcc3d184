"""Command line of the data preparation.

Examples:
    python -m data_prep prepare nih data/nih corpora/nih --image-size-px 224
    python -m data_prep prepare nih images corpora/nih --image-size-px 224 --option tables=torchxrayvision
    python -m data_prep verify corpora/nih
"""

import argparse
import inspect
import logging
import sys
from pathlib import Path

from data_prep import READERS
from data_prep.corpus import prepare
from data_prep.errors import DataError
from medslip_core.corpus import CorpusError, PreparedCorpus


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    given = vars(_parser().parse_args(arguments))
    try:
        if given.pop("command") == "verify":
            corpus = PreparedCorpus.open(given["corpus"])
            corpus.verify()
            logging.info("%s: %d images, every file intact", given["corpus"], len(corpus))
        else:
            options = dict(given.pop("option"))
            prepare(**given, **options)
    except (DataError, CorpusError) as error:
        logging.error("%s", error)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    default = {name: parameter.default for name, parameter in inspect.signature(prepare).parameters.items()}
    command = commands.add_parser("prepare", help="a dataset as downloaded -> a prepared corpus")
    command.add_argument("dataset", choices=READERS)
    command.add_argument("root", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--image-size-px", type=int, required=True)
    command.add_argument("--fit", choices=("pad", "squash"), default=default["fit"])
    command.add_argument("--seed", type=int, default=default["seed"])
    command.add_argument("--limit", type=int, help="only the first studies")
    command.add_argument("--truth", type=Path, help="folder of the phantom's truth for this dataset")
    command.add_argument("--processes", type=int, help="default: one per core")
    command.add_argument("--no-masks", dest="masks", action="store_false")
    command.add_argument("--max-set-aside", type=float, default=default["max_set_aside"])
    command.add_argument("--option", type=_option, action="append", default=[], help="of the reader: NAME=VALUE")
    verify = commands.add_parser("verify", help="compare every file of a corpus with its checksum")
    verify.add_argument("corpus", type=Path)
    return parser


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
