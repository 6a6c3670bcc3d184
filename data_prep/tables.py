"""CSV tables as downloaded: every cell a string, and a clear error where a table is not what it should be."""

import difflib
import gzip
import importlib.util
import io
import logging
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from data_prep.errors import DataError

logger = logging.getLogger(__name__)

MAX_BYTES = 256 << 20
"""Longest table that is read, unpacked: several times the largest of the datasets."""

MAX_COLUMNS = 2000

UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)
"""What reading a damaged, packed or locked file may raise."""

FIRST_ROW = 2
"""Number of the first row below the header, as a spreadsheet shows it."""

LABEL_VALUES = {"1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "-1": float("nan"), "-1.0": float("nan")}
"""Cells of a label; uncertain (-1) and not mentioned (empty) are both unknown."""


def read_table(path: Path, columns: Sequence[str], filled: Sequence[str] = (), own: bool = False) -> pd.DataFrame:
    """Reads a CSV (plain, .gz or .zip) as strings; empty cells are NaN, blanks around names and cells are dropped.

    Args:
        path: the table.
        columns: the columns that must be there.
        filled: those of them that must not have an empty cell: the ids.
        own: the user wrote the table, so that no remedy is to download it.

    Returns:
        All columns as strings, with an int column `row`: the row's number in the file, the header being row 1.

    Raises:
        DataError: not there, empty, too large, not a table, not UTF-8, not separated by commas, a column missing or
            there twice, or an id empty; names file and row.
    """
    again = "Write it with a header row." if own else "Use the table as downloaded, with its header row."
    anew = "write it anew" if own else "download it again"
    try:
        content = _unpacked(path)
        if not content.strip(b"\xef\xbb\xbf\r\n "):
            raise DataError(path, "is empty", again if own else "Download it again.")
        if content and not content.endswith(b"\n"):
            logger.warning("%s: does not end with a line break and may have been cut off", path)
        table = pd.read_csv(
            io.BytesIO(content), dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig",
            skip_blank_lines=False,
        )  # fmt: skip
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(path, "no such file", f"Download it, or name its folder: {as_option('tables')}.") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"not UTF-8 at byte {error.start}", f"Save it as UTF-8, or {anew}.") from error
    except pd.errors.ParserError as error:
        remedy = f"Put cells that hold a comma in quotes, and close them; or {anew}."
        raise DataError(path, f"not a readable CSV table ({error})", remedy) from error
    except UNREADABLE as error:
        raise DataError(path, f"not a readable CSV table ({error})", f"{anew.capitalize()}.") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas would take the first column for names of rows
        raise DataError(path, "its rows have more cells than its header", again)
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        problem = f"column {', '.join(map(repr, missing))} missing; it has {', '.join(map(repr, table.columns))}"
        near = _near_column(missing, table.columns)
        raise DataError(path, problem, near.rstrip() if near and own else near + again)
    twice = [name for name in columns if list(table.columns).count(name) > 1 or f"{name}.1" in table.columns]
    if twice:
        raise DataError(path, f"column {', '.join(map(repr, twice))} is there twice", again)
    for name in table.columns:  # blanks would make strangers of equal ids
        table[name] = table[name].str.strip().replace("", np.nan)
    blank = table.isna().all(axis=1)
    table["row"] = range(FIRST_ROW, FIRST_ROW + len(table))
    table = table[~blank].reset_index(drop=True)
    for name in filled:
        if table[name].isna().any():
            row = table.loc[table[name].isna().idxmax(), "row"]
            raise DataError(f"{path} row {row}", f"{name} is empty", "Fill it in or take the row out.")
    return table


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that may be packed, as .gz or alone in a .zip; what macOS leaves in a .zip is passed over.

    Raises:
        ValueError: a .zip of several files or of none; beside it, what gzip, zipfile and the disk raise.
    """
    with ExitStack() as stack:
        if path.suffix == ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise ValueError(f"{len(names)} files in the archive instead of one")
            yield stack.enter_context(archive.open(names[0]))
        else:
            yield stack.enter_context(gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _unpacked(path: Path) -> bytes:
    """A table's text, whatever size its archive announces."""
    with open_unpacked(path) as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(path, f"more than {MAX_BYTES} bytes of text", "Divide it, or leave out columns.")
    header = content[: content.find(b"\n")]
    if header.count(b",") >= MAX_COLUMNS:
        raise DataError(path, f"more than {MAX_COLUMNS} columns", "Check that it is the right table.")
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs")):
        if header.count(separator) > header.count(b","):
            raise DataError(path, f"{name} between its columns", "Save it with commas between them (CSV, UTF-8).")
    return content


def _near_column(missing: Sequence[str], columns: Sequence[str]) -> str:
    """A question about the column that may be a missing one by another name; empty if none is near."""
    written = {name.lower(): name for name in columns}
    for name in missing:
        if near := difflib.get_close_matches(name.lower(), written, n=1):
            return f"Is {written[near[0]]!r} meant? Then name it {name!r}. "
    return ""


def require_unique(table: pd.DataFrame, column: str, path: Path) -> None:
    """Raises DataError, naming value and rows, if a value of `column` stands in two rows."""
    repeated = table[column].duplicated()
    if repeated.any():
        value = table.loc[repeated.idxmax(), column]
        rows = table.loc[table[column] == value, "row"].tolist()
        raise DataError(path, f"{column} {value!r} stands in rows {rows}", "Keep one row for each.")


def require_known(
    table: pd.DataFrame,
    column: str,
    known: Collection[str],
    path: Path,
    remedy: str | None = None,
    name: str | None = None,
) -> None:
    """Raises DataError, naming row and cell, if a cell of `column` is neither empty nor one of those known.

    Args:
        table: as `read_table` gives it.
        column: of the table.
        known: what its cells may be.
        path: of the table's file.
        remedy: of the error; default: names those known.
        name: of the column in the error, if not its own.
    """
    unknown = table[column].notna() & ~table[column].isin(list(known))
    if unknown.any():
        row = table[unknown].iloc[0]
        remedy = remedy or f"Use {', '.join(known)}, or an empty cell."
        raise DataError(f"{path} row {row['row']}", f"{name or column} is {row[column]!r}", remedy)


def label_values(
    table: pd.DataFrame, column: str, path: Path, remedy: str | None = None, name: str | None = None
) -> pd.Series:
    """The cells of a label as float32: 1 present, 0 absent, NaN unknown. Arguments and errors as of `require_known`."""
    require_known(table, column, LABEL_VALUES, path, remedy, name)
    return table[column].map(LABEL_VALUES).astype(np.float32)


def names_of_option(given: str | Sequence[str] | None) -> list[str]:
    """Names given to a reader's option as a list, or as one text with commas, as on the command line."""
    names = given.split(",") if isinstance(given, str) else given or ()
    return [name.strip() for name in names if name.strip()]


def as_option(name: str) -> str:
    """How a reader's option is given: in a params file, and on the command line."""
    return f"{name}=… (`--option {name}=…`)"


def find_table(folder: Path, *names: str, required: bool = True, remedy: str | None = None) -> Path | None:
    """The one of several file names that `folder` holds, plain or as .gz or .zip.

    Args:
        folder: that is looked into.
        names: tried in this order.
        required: whether it is an error if none is there, and not None.
        remedy: of that error; default: for readers with an option `tables`.

    Raises:
        DataError: none of them is there and `required`; names the folder and what was looked for.
    """
    for name in names:
        for suffix in ("", ".gz", ".zip"):
            if (folder / (name + suffix)).is_file():
                return folder / (name + suffix)
    if not required:
        return None
    remedy = remedy or f"Download the table into this folder, or name its own: {as_option('tables')}."
    raise DataError(folder, f"no {' or '.join(names)}", remedy)


def find_optional(folders: Iterable[Path], name: str) -> Path | None:
    """The table `name` of the first of several folders that holds it, plain or as .gz or .zip; None if none does."""
    return next((path for folder in folders if (path := find_table(folder, name, required=False))), None)


def tables_folder(root: Path, tables: str | Path | None) -> Path:
    """Where a dataset's tables lie.

    Args:
        root: the dataset's folder, taken if `tables` is None.
        tables: another folder, or "torchxrayvision" for the label tables that this package ships.
    """
    if tables is None:
        return root
    if tables != "torchxrayvision":
        return Path(tables)
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        raise DataError("tables='torchxrayvision'", "the package is not installed", "pip install torchxrayvision.")
    return Path(spec.origin).parent / "data"
