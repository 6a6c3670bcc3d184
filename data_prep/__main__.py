"""Command line of the data preparation.

Examples:
    python -m data_prep prepare nih data/nih corpora/nih --image-size-px 224
    python -m data_prep prepare nih images corpora/nih --image-size-px 224 --option tables=torchxrayvision
    python -m data_prep prepare manifest images corpora/own --image-size-px 224 --option labels=Edema,Mass
    python -m data_prep prepare siim data/siim corpora/siim --image-size-px 224 --shares 0 0.25 0.75
    python -m data_prep prepare mimic /mnt/mimic /mnt/corpus --image-size-px 224 --cluster tcp://head:8786
    python -m data_prep verify corpora/nih
    python -m data_prep check nih data/nih --quick --out findings/nih
"""

import argparse
import inspect
import logging
import sys
from pathlib import Path

from data_prep import READERS
from data_prep.check.command import add_check
from data_prep.corpus import find_reader, prepare
from data_prep.errors import DataError
from data_prep.geometry import FITS
from medslip_core.corpus import SPLITS, CorpusError, PreparedCorpus


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    given = vars(_parser().parse_args(arguments))
    command = given.pop("command")
    try:
        return command(**given) or 0
    except (DataError, CorpusError) as error:
        logging.error("%s", error)
        return 1
    except OSError as error:
        logging.error("%s. Mend that and say the same again; what is done is kept.", error)
        return 1


def _parser() -> argparse.ArgumentParser:
    """Each command adds its own parser, whose default `command` is the function that takes what was given."""
    parser = argparse.ArgumentParser(prog="python -m data_prep", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    _add_prepare(commands)
    _add_verify(commands)
    add_check(commands, _option, _epilog())
    return parser


def _epilog() -> str:
    """The examples of this module, and every reader's options with their defaults."""
    lines = [
        __doc__.partition("\n\n")[2],
        "Options of the readers (python -m pydoc data_prep.nih says what they mean):",
    ]
    for dataset, reader in READERS.items():
        _, *options = inspect.signature(reader).parameters.values()
        lines.append(f"    {dataset:8}  {'  '.join(f'{option.name}={_as_text(option.default)}' for option in options)}")
    return "\n".join(lines)


def _as_text(default: object) -> object:
    return "" if default is None else ",".join(default) if isinstance(default, tuple) else default


def _add_prepare(commands) -> None:
    default = {name: parameter.default for name, parameter in inspect.signature(prepare).parameters.items()}
    command = commands.add_parser(
        "prepare", help="a dataset as downloaded -> a prepared corpus",
        epilog=_epilog(), formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("dataset", choices=READERS, help="whose layout the folder has; manifest: images of your own")
    command.add_argument("root", type=Path, help="the dataset's folder, as downloaded and unpacked")
    command.add_argument("out", type=Path, help="folder of the corpus; a corpus of the same dataset there is replaced")
    command.add_argument("--image-size-px", type=int, required=True, help="side of the square images, such as 224")
    command.add_argument(
        "--fit", choices=FITS, default=default["fit"],
        help="keep the aspect ratio between black bars, keep it and take the middle, or stretch (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--seed", type=int, default=default["seed"],
        help="of the split by patient, where the dataset has none of its own (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--shares", type=float, nargs=3, metavar=tuple(map(str.upper, SPLITS)), default=default["shares"],
        help="of patients, where the dataset has no split of its own (default: %(default)s)",
    )  # fmt: skip
    command.add_argument("--limit", type=int, help="only so many studies, the first ones (default: all)")
    command.add_argument("--truth", type=Path, help="folder of the phantom's truth for this dataset")
    command.add_argument("--processes", type=int, help="default: one per core")
    command.add_argument("--cluster", help="address of a Dask scheduler, whose workers are used instead")
    command.add_argument(
        "--percentiles", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="of an image's grey levels that become black and white, such as 0.5 99.5 (default: levels as they are)",
    )  # fmt: skip
    command.add_argument("--no-masks", dest="masks", action="store_false", help="write no masks")
    command.add_argument(
        "--max-set-aside", type=float, default=default["max_set_aside"],
        help="largest share of unusable records; beyond it the run stops (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--option", type=_option, action="append", default=[], metavar="NAME=VALUE", help="of the reader, see below"
    )
    command.set_defaults(command=_prepare)


def _prepare(option: list[tuple[str, str]], **given: object) -> None:
    find_reader(given["dataset"], dict(option))  # what is not the reader's own has a flag of its own
    prepare(**given, **dict(option))


def _add_verify(commands) -> None:
    command = commands.add_parser("verify", help="compare every file of a corpus with its checksums")
    command.add_argument("corpus", type=Path)
    command.set_defaults(command=_verify)


def _verify(corpus: Path) -> None:
    logging.info("%s: %d images, every file intact", corpus, len(PreparedCorpus.open(corpus)))


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
