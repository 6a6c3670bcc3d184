"""The prepared corpus, read side: images as one memory map, tables beside it, the label matrix on demand.

`data_prep.corpus` writes it. A folder holds

    corpus.json       format version, the vocabulary's names, count, image size, parameters, whether the images are
                      synthetic; of every other file its size, and the SHA-256 of each block of BLOCK_BYTES; last its
                      own SHA-256
    images.u8         raw uint8 [N, S, S]
    manifest.parquet  row i says what image i is; columns "label:<class>" are 1, 0 or NaN (unknown); patient_id is the
                      dataset's, or "dicom-000001" and so on, in this corpus only, where just the DICOM headers know
    triplets.parquet  row, anatomy, pathology (indices of the vocabulary), state 1 / 0 / -1, source, start, end
    reports.parquet   row, text; start and end of a triplet count characters in it
    boxes.parquet     row, label (class of the dataset), x, y, width, height in corpus pixels
    masks.parquet     row, kind "pathology" | "anatomy", label (a name of the vocabulary), offset into
    masks.bits        one bit a pixel, S * S bits a mask, each padded to whole bytes
    set_aside.csv     records that could not be used, with the reason
    absent.csv        images that the dataset's table names and that were not there
"""

import hashlib
import json
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm.auto import tqdm

from medslip_core.vocabulary import (
    ABSENT,
    ANATOMIES,
    PATHOLOGIES,
    PRESENT,
    UNCERTAIN,
    UNMENTIONED,
)

FORMAT = "medslip-corpus"
VERSION = 3
HEADER = "corpus.json"
LABEL_PREFIX = "label:"
SPLITS = ("train", "validate", "test")
KINDS = ("pathology", "anatomy")
SOURCES = ("report", "truth")

VOCABULARY = {"anatomies": list(ANATOMIES), "pathologies": list(PATHOLOGIES)}
"""As the header keeps it: triplets are indices, and mean other names after any change of the lists."""

BLOCK_BYTES = 16 * 1024 * 1024
"""Bytes that one checksum stands for."""


class CorpusError(ValueError):
    """A corpus that is damaged, incomplete or of another version; says which file, what is wrong, what to do."""


class PreparedCorpus:
    """Read access to a prepared corpus; cheap to send to another process, which opens it anew.

    Attributes:
        folder: where it lies.
        header: what corpus.json says.
        manifest: one row per image: study_id, image_id, patient_id, dataset, split, view, age_years, sex, width_px,
            height_px (of the original), source_path, provenance, label:<class>.
    """

    def __init__(self, folder: Path, header: dict, manifest: pd.DataFrame) -> None:
        self.folder, self.header, self.manifest = folder, header, manifest

    def __reduce__(self):
        return PreparedCorpus.open, (self.folder, False)

    @classmethod
    def open(cls, path: str | Path, verify: bool = True) -> "PreparedCorpus":
        """Opens a corpus after checking its version and every file's size.

        Args:
            path: its folder.
            verify: whether every file is also compared with its checksums, at the speed of the disk.

        Raises:
            CorpusError: not a corpus, another version, or a file missing, truncated, too long or damaged.
        """
        folder = Path(path)
        header = read_header(folder)
        for name, entry in header["files"].items():
            file = folder / name
            size = file.stat().st_size if file.is_file() else None
            if size != entry["bytes"]:
                found = "missing" if size is None else f"{size} bytes long"
                raise CorpusError(f"{file}: {found}, should have {entry['bytes']} bytes. Prepare the corpus again.")
        images_bytes = header["count"] * header["image_size_px"] ** 2
        if header["files"]["images.u8"]["bytes"] != images_bytes:
            file = folder / "images.u8"
            raise CorpusError(f"{file}: not {images_bytes} bytes, as count and size ask for. Prepare the corpus again.")
        if verify:
            _compare(folder, header)
        manifest = _read_parquet(folder / "manifest.parquet")
        if len(manifest) != header["count"]:
            file = folder / "manifest.parquet"
            raise CorpusError(f"{file}: {len(manifest)} rows for {header['count']} images. Prepare the corpus again.")
        return cls(folder, header, manifest)

    def __len__(self) -> int:
        return self.header["count"]

    @property
    def image_size_px(self) -> int:
        """Side S of the square images."""
        return self.header["image_size_px"]

    @property
    def classes(self) -> list[str]:
        """Classes of the dataset that have a label column."""
        return [name.removeprefix(LABEL_PREFIX) for name in self.manifest.columns if name.startswith(LABEL_PREFIX)]

    @cached_property
    def images(self) -> np.ndarray:
        """All images as a read-only memory map: uint8 [N, S, S], 0 black (air) … 255 white (bone)."""
        return np.frombuffer(self._pixels, np.uint8).reshape(-1, self.image_size_px, self.image_size_px)

    @cached_property
    def _pixels(self) -> mmap.mmap:
        with (self.folder / "images.u8").open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def take(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Images of some rows, uint8 [B, S, S], in memory of their own.

        What will be read is announced first. Touched unannounced, every image that is not in memory yet makes the
        system read on behind it, as far as the disk's settings say: up to megabytes for each, all for naught.

        Raises:
            IndexError: a row that is none of 0 … N - 1.
        """
        for row in rows:
            if not 0 <= row < len(self):
                raise IndexError(f"{self.folder}: no row {row}; its {len(self)} images are rows 0 to {len(self) - 1}")
        if hasattr(mmap, "MADV_WILLNEED"):
            length = self.image_size_px**2
            for row in rows:
                start = int(row) * length // mmap.PAGESIZE * mmap.PAGESIZE
                self._pixels.madvise(mmap.MADV_WILLNEED, start, (int(row) + 1) * length - start)
        return self.images[rows]

    @cached_property
    def triplets(self) -> pd.DataFrame:
        """Sorted by row: row, anatomy, pathology, state, source ("report" | "truth"), start, end (-1: none)."""
        return _read_parquet(self.folder / "triplets.parquet")

    def rows(self, split: str) -> np.ndarray:
        """Rows of a split: int64 [n], none where the dataset has nothing in it.

        Raises:
            CorpusError: not "train", "validate" or "test".
        """
        self._check_name("split", split, SPLITS)
        return np.flatnonzero(self.manifest["split"] == split)

    def labels(self, classes: Sequence[str], rows: np.ndarray | None = None) -> np.ndarray:
        """Labels of the dataset: float32 [n, C], 1 present, 0 absent, NaN unknown.

        Raises:
            CorpusError: a class without a label column; names those there are.
        """
        missing = [name for name in classes if name not in self.classes]
        if missing:
            raise CorpusError(f"{self.folder}: no labels for {missing}. Use some of {self.classes}.")
        columns = self.manifest[[LABEL_PREFIX + name for name in classes]].to_numpy(np.float32)
        return columns if rows is None else columns[rows]

    def report(self, row: int) -> str | None:
        """The report's text, or None if the study has none."""
        found = self._reports.get(row)
        return found if isinstance(found, str) else None

    def boxes(self, row: int) -> pd.DataFrame:
        """Boxes of an image: label (class of the dataset), x, y, width, height in corpus pixels."""
        return _of_row(self._boxes, row).drop(columns="row").reset_index(drop=True)

    def masks(self, row: int, kind: str) -> dict[str, np.ndarray]:
        """Masks of an image: name in the vocabulary -> bool [S, S].

        Args:
            row: row of the image.
            kind: "pathology" or "anatomy".

        Raises:
            CorpusError: another kind.
        """
        self._check_name("kind of masks", kind, KINDS)
        side = self.image_size_px
        count = (side * side + 7) // 8
        entries = _of_row(self._masks, row)
        entries = entries[entries["kind"] == kind]
        return {
            label: np.unpackbits(self._bits[start : start + count], count=side * side).reshape(side, side).astype(bool)
            for label, start in zip(entries["label"], entries["offset"], strict=True)
        }

    def matrix(self, rows: np.ndarray, uncertain: int = UNCERTAIN, source: str = "report") -> np.ndarray:
        """The label matrix M of some images.

        Args:
            rows: int [B].
            uncertain: the state that an uncertain mention counts as: UNCERTAIN (left out), PRESENT or ABSENT.
            source: which triplets: "report" as read from text, or "truth" where the dataset brings its own.

        Returns:
            int8 [B, A=51, P=75]: 1 present, 0 absent, -1 uncertain, -2 not mentioned; where a cell has several, the
            greatest of them.

        Raises:
            CorpusError: the corpus has no triplets of that source.
        """
        if source not in self._sparse:
            raise CorpusError(f"{self.folder}: no triplets of source {source!r}. It has {sorted(self._sparse)}.")
        starts, cells, states = self._sparse[source]
        rows = np.asarray(rows, np.int64)
        first, count = starts[rows], starts[rows + 1] - starts[rows]
        ends = np.cumsum(count)
        picked = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + count, count)
        positions = np.repeat(np.arange(len(rows)), count) * (len(ANATOMIES) * len(PATHOLOGIES)) + cells[picked]
        state = np.where(states[picked] == UNCERTAIN, np.int8(uncertain), states[picked])
        matrix = np.full(len(rows) * len(ANATOMIES) * len(PATHOLOGIES), UNMENTIONED, np.int8)
        for one in (UNCERTAIN, ABSENT, PRESENT):
            matrix[positions[state == one]] = one
        return matrix.reshape(len(rows), len(ANATOMIES), len(PATHOLOGIES))

    def stated(self, split: str, source: str = "report") -> np.ndarray:
        """Rows of a split with a triplet of that source ("report" or "truth"): int64 [n].

        Raises:
            CorpusError: another split or source.
        """
        self._check_name("source of triplets", source, SOURCES)
        rows = self.rows(split)
        if source not in self._sparse:
            return rows[:0]
        starts = self._sparse[source][0]
        return rows[starts[rows + 1] > starts[rows]]

    def _check_name(self, what: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            raise CorpusError(f"{self.folder}: no {what} is called {name!r}. Use one of {', '.join(known)}.")

    @cached_property
    def _sparse(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Source -> where each image's triplets start [N + 1], their cell in the matrix [T], their state [T]."""
        sparse = {}
        for source, part in self.triplets.groupby("source"):
            starts = np.searchsorted(part["row"].to_numpy(), np.arange(len(self) + 1))
            cells = part["anatomy"].to_numpy(np.int64) * len(PATHOLOGIES) + part["pathology"].to_numpy(np.int64)
            sparse[source] = starts, cells, part["state"].to_numpy(np.int8)
        return sparse

    @cached_property
    def _reports(self) -> pd.Series:
        return _read_parquet(self.folder / "reports.parquet").set_index("row")["text"]

    @cached_property
    def _boxes(self) -> pd.DataFrame:
        return _read_parquet(self.folder / "boxes.parquet")

    @cached_property
    def _masks(self) -> pd.DataFrame:
        return _read_parquet(self.folder / "masks.parquet")

    @cached_property
    def _bits(self) -> np.ndarray:
        file = self.folder / "masks.bits"
        return np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)


def read_header(folder: Path) -> dict:
    """What corpus.json says, its own checksum compared.

    Raises:
        CorpusError: no corpus there, damaged, of another version, or prepared with another vocabulary.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        if header["format"] != FORMAT or header["version"] != VERSION:
            found = f"{header['format']} version {header['version']}"
            raise CorpusError(f"{path}: {found}, this code reads {FORMAT} version {VERSION}. Prepare the corpus again.")
        intact = header["sha256"] == header_digest(header)
        if intact and not _is_complete(header):
            raise CorpusError(f"{path}: not what this code writes. Prepare the corpus again.")
    except FileNotFoundError as error:
        raise CorpusError(f"{path}: no such file, so no prepared corpus. Run `python -m data_prep prepare`.") from error
    except CorpusError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorpusError(f"{path}: damaged ({error}). Prepare the corpus again.") from error
    if not intact:
        raise CorpusError(f"{path}: damaged (its SHA-256 differs). Prepare the corpus again.")
    for kind, names in VOCABULARY.items():
        for number, (was, now) in enumerate(zip_longest(header["vocabulary"][kind], names, fillvalue="none"), start=1):
            if was != now:
                problem = f"prepared with another vocabulary ({kind}, number {number}: {was}, now {now})"
                raise CorpusError(f"{path}: {problem}. Prepare the corpus again.")
    return header


def _is_complete(header: dict) -> bool:
    """Whether a header names files of its own folder only, and says of each what opening relies on."""
    numbers = [header["count"], header["image_size_px"], *(entry["bytes"] for entry in header["files"].values())]
    return (
        all(type(number) is int and 0 <= number < 2**50 for number in numbers)
        and all(isinstance(header["vocabulary"][kind], list) for kind in VOCABULARY)
        and all(Path(name).name == name for name in header["files"])
        and {"images.u8", "masks.bits", "manifest.parquet"} <= set(header["files"])
        and all(
            isinstance(entry["sha256"], list) and len(entry["sha256"]) == -(-entry["bytes"] // BLOCK_BYTES)
            for entry in header["files"].values()
        )
    )


def block_digests(path: Path) -> list[str]:
    """SHA-256 of each block of BLOCK_BYTES of a file, computed on all cores; an empty file has none."""
    starts = range(0, path.stat().st_size, BLOCK_BYTES)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(partial(_block_digest, path), starts)
        return list(tqdm(digests, total=len(starts), desc=f"checksums of {path.name}", unit="block", delay=2))


def _block_digest(path: Path, start: int) -> str:
    digest, left = hashlib.sha256(), BLOCK_BYTES
    with path.open("rb") as file:
        file.seek(start)
        while left and (piece := file.read(min(left, 1 << 18))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()


def _compare(folder: Path, header: dict) -> None:
    for name, entry in header["files"].items():
        found, expected = block_digests(folder / name), entry["sha256"]
        if found != expected:
            first = next(i for i, digests in enumerate(zip(found, expected, strict=True)) if len(set(digests)) > 1)
            place = f"its SHA-256 differs between bytes {first * BLOCK_BYTES} and {(first + 1) * BLOCK_BYTES}"
            raise CorpusError(f"{folder / name}: damaged ({place}). Prepare the corpus again.")


def header_digest(header: dict) -> str:
    """SHA-256 of everything in a header but its own `sha256`."""
    rest = {name: value for name, value in header.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: damaged ({error}). Prepare the corpus again.") from error


def _of_row(table: pd.DataFrame, row: int) -> pd.DataFrame:
    """The lines of one image in a table sorted by row."""
    first, end = np.searchsorted(table["row"].to_numpy(), [row, row + 1])
    return table.iloc[first:end]
