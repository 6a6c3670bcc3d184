"""Writes a corpus chunk by chunk, so that a run that is killed anywhere is taken up where it stood.

While it grows, the work folder holds

    corpus/images.u8, corpus/masks.bits   appended to
    journal.jsonl                         first what was asked, then one line a chunk: everything else about it

A line of the journal stands for the bytes of its chunk, whose digests it holds; bytes that no intact line stands for
are cut off when the run is taken up. At the end the journal becomes the tables of the corpus, and the header is last.

Who is known only from a DICOM header stands in the journal as a digest of the patient id, from which the split is
drawn. Whoever tries all hospital numbers finds the one behind a digest, so the tables have a running number instead,
"dicom-000001", by first appearance. The journal goes with the work folder; one that was stopped is not for sharing.
"""

import csv
import fcntl
import hashlib
import json
import os
import pickle
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from itertools import chain, count, islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.errors import DataError
from data_prep.record import Prepared, SetAside
from data_prep.splits import assign_split, check_no_leak
from data_prep.study import Study
from medslip_core.corpus import FORMAT, HEADER, LABEL_PREFIX, VERSION, block_digests, header_digest

ROWS_PER_GROUP = 2048
"""Rows of the manifest after which a Parquet row group ends, in all tables: what is held in memory at the end."""

TRIPLETS = pa.schema(
    {
        "row": pa.int32(), "anatomy": pa.int8(), "pathology": pa.int8(), "state": pa.int8(), "source": pa.string(),
        "start": pa.int32(), "end": pa.int32(),
    }
)  # fmt: skip
REPORTS = pa.schema({"row": pa.int32(), "text": pa.string()})
BOXES = pa.schema(
    {"row": pa.int32(), "label": pa.string()} | dict.fromkeys(("x", "y", "width", "height"), pa.float32())
)
MASKS = pa.schema({"row": pa.int32(), "kind": pa.string(), "label": pa.string(), "offset": pa.int64()})
TABLES = {"triplets": TRIPLETS, "reports": REPORTS, "boxes": BOXES, "masks": MASKS}
MANIFEST = {
    **dict.fromkeys(("study_id", "image_id", "patient_id", "dataset", "split", "view", "sex"), pa.string()),
    "age_years": pa.float32(), "width_px": pa.int32(), "height_px": pa.int32(), "source_path": pa.string(),
    "provenance": pa.string(),
}  # fmt: skip
"""Columns of the manifest before those of the labels."""


NUMBERED = "dicom-"
"""Begins the patient_id of who is known only from a DICOM header."""

CHUNK = 32
"""Studies that are prepared by one worker and written with one line of the journal."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive studies, and a digest of all that is said of them and of their image files' sizes and times."""

    studies: list[Study]
    key: str


def in_chunks(studies: Iterable[Study]) -> Iterator[Chunk]:
    """Divides studies into chunks, which depend on nothing but their order."""
    studies = iter(studies)
    while chunk := list(islice(studies, CHUNK)):
        files = [(status.st_size, status.st_mtime_ns) if (status := _status(study)) else None for study in chunk]
        yield Chunk(chunk, hashlib.sha256(pickle.dumps((chunk, files))).hexdigest())


def _status(study: Study) -> os.stat_result | None:
    try:
        return study.image_path.stat()
    except OSError:
        return None


class CorpusWriter:
    """Takes prepared chunks in order; a context manager, for it holds files open and its work folder locked.

    Args:
        folder: the work folder; what a killed run left there is used if it was asked for the same.
        asked: all that the bytes depend on beside the studies, as plain JSON.
        seed: of the split by patient.
        shares: of patients in train, validate and test.

    Attributes:
        count: images written.
        set_aside: number of records that could not be used.
        first_reasons: of some of them.

    Raises:
        DataError: another run is writing there.
    """

    def __init__(self, folder: Path, asked: dict, seed: int, shares: tuple[float, float, float]) -> None:
        self.folder, self.seed, self.shares = folder, seed, shares
        self.count = self.set_aside = 0
        self.first_reasons: list[str] = []
        self.labels: dict[str, None] = {}  # in the order in which they came up
        self.taken: set[str] = set()  # patient ids of the dataset that look like our numbers
        self.corpus = folder / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)
        self.files = {name: (self.corpus / name).open("ab+") for name in ("images.u8", "masks.bits")}
        self.journal = (folder / "journal.jsonl").open("ab+")
        try:
            fcntl.flock(self.journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise DataError(folder, "another run is writing here", "Wait for it, or name another folder.") from error
        for file in (self.journal, *self.files.values()):
            file.seek(0)
        if self.journal.readline() != _line(asked):
            self._cut([0, 0, 0])
            self._write(self.journal, _line(asked))

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the files and gives the work folder free."""
        for file in (*self.files.values(), self.journal):
            file.close()

    def resume(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Skips the chunks that are written already and whose studies and image files are still the same.

        Returns:
            The chunks that are left to prepare.
        """
        ends = [file.tell() for file in (self.journal, *self.files.values())]
        while line := _read_line(self.journal.readline()):
            chunk = next(chunks, None)
            if chunk is None or line["key"] != chunk.key or not self._has_bytes(line):
                chunks = chain([chunk] if chunk else [], chunks)
                break
            self._count(line)
            ends = [file.tell() for file in (self.journal, *self.files.values())]
        self._cut(ends)
        return chunks

    def add(self, chunk: Chunk, results: Iterable[Prepared | SetAside]) -> None:
        """Writes a chunk: first its bytes, then the line that stands for them."""
        line: dict = {"key": chunk.key, "manifest": [], "set_aside": [], **{name: [] for name in TABLES}}
        pixels, bits = [], []
        offset = self.files["masks.bits"].tell()
        for result in results:
            if isinstance(result, SetAside):
                line["set_aside"].append(astuple(result))
                continue
            row, manifest = self.count + len(pixels), result.manifest
            patient = result.patient_digest or manifest["patient_id"]
            split = assign_split(patient, manifest["split"], self.seed, self.shares)
            line["manifest"].append(manifest | {"split": split, "patient_digest": result.patient_digest})
            pixels.append(result.pixels)
            line["triplets"] += [(row, *triplet) for triplet in result.triplets]
            line["reports"] += [(row, result.report)] if result.report is not None else []
            line["boxes"] += [(row, *box) for box in result.boxes]
            for kind, label, mask in result.masks:
                line["masks"].append((row, kind, label, offset))
                bits.append(mask)
                offset += len(mask)
        contents = dict(zip(self.files, (b"".join(pixels), b"".join(bits)), strict=True))
        for name, content in contents.items():
            self._write(self.files[name], content)
        line["bytes"] = {name: (len(content), _digest(content)) for name, content in contents.items()}
        self._write(self.journal, _line(line))
        self._count(line)

    def finish(self, facts: dict, absent: Sequence[str] = ()) -> Path:
        """Writes the tables and the header, which makes the folder a corpus.

        Args:
            facts: what the header says beside counts and files.
            absent: images that the dataset's table names and that are not there.

        Returns:
            The folder of the corpus, to be put in its place.

        Raises:
            DataError: no image, an image twice, or a patient in two splits.
        """
        if not self.count:
            raise DataError(self.corpus, "every record was set aside", "See the reasons; raise max_set_aside to write.")
        self._write_tables()
        if pq.read_metadata(self.corpus / "manifest.parquet").num_rows != self.count:
            raise DataError(self.journal.name, "damaged since it was written", "Check the disk, and run again.")
        _check(self.corpus / "manifest.parquet")
        with (self.corpus / "absent.csv").open("w", newline="", encoding="utf-8") as table:
            csv.writer(table, lineterminator="\n").writerows([["image"], *([image] for image in absent)])
        counts = {"count": self.count, "set_aside": self.set_aside, "absent": len(absent)}
        header = {"format": FORMAT, "version": VERSION, **counts} | facts
        names = sorted(path.name for path in self.corpus.iterdir() if path.name != HEADER)
        header["files"] = {
            name: {"bytes": (self.corpus / name).stat().st_size, "sha256": block_digests(self.corpus / name)}
            for name in names
        }
        header["sha256"] = header_digest(header)
        (self.corpus / HEADER).write_text(json.dumps(header, indent=1), encoding="utf-8")
        return self.corpus

    def _write_tables(self) -> None:
        schemas = {"manifest": pa.schema(MANIFEST | dict.fromkeys(self.labels, pa.float32()))} | TABLES
        self.journal.seek(0)
        self.journal.readline()
        with ExitStack() as stack:
            table = stack.enter_context((self.corpus / "set_aside.csv").open("w", newline="", encoding="utf-8"))
            set_aside = csv.writer(table, lineterminator="\n")
            set_aside.writerow([field.name for field in fields(SetAside)])
            writers = {
                name: stack.enter_context(pq.ParquetWriter(self.corpus / f"{name}.parquet", schema))
                for name, schema in schemas.items()
            }
            held: dict[str, list] = {name: [] for name in schemas}
            numbers = (name for number in count(1) if (name := f"{NUMBERED}{number:06d}") not in self.taken)
            patients: dict[str, str] = defaultdict(numbers.__next__)  # digest -> what the manifest says for it
            while line := _read_line(self.journal.readline()):
                for row in line["manifest"]:
                    if digest := row.pop("patient_digest"):
                        row["patient_id"] = patients[digest]
                set_aside.writerows(line["set_aside"])
                for name, lines in held.items():
                    lines += line[name]
                if len(held["manifest"]) >= ROWS_PER_GROUP:
                    _write_group(writers, held)
            _write_group(writers, held)

    def _has_bytes(self, line: dict) -> bool:
        """Whether the files hold, from where they stand, the bytes that a line stands for; reads over them."""
        return all(_digest(self.files[name].read(size)) == digest for name, (size, digest) in line["bytes"].items())

    def _count(self, line: dict) -> None:
        self.count += len(line["manifest"])
        self.set_aside += len(line["set_aside"])
        self.first_reasons += [reason for *_, reason in line["set_aside"]][: 3 - len(self.first_reasons)]
        patients = (row["patient_id"] for row in line["manifest"])
        self.taken.update(patient for patient in patients if patient and patient.startswith(NUMBERED))
        self.labels |= dict.fromkeys(name for row in line["manifest"] for name in row if name.startswith(LABEL_PREFIX))

    def _cut(self, ends: list[int]) -> None:
        for file, end in zip((self.journal, *self.files.values()), ends, strict=True):
            file.truncate(end)
            file.seek(end)

    def _write(self, file: IO[bytes], content: bytes) -> None:
        file.write(content)
        file.flush()


def put_in_place(corpus: Path, out: Path) -> None:
    """Renames the finished folder; a corpus that was there is kept until then."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    corpus.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _write_group(writers: dict[str, pq.ParquetWriter], held: dict[str, list]) -> None:
    for name, writer in writers.items():
        names = writer.schema.names
        rows = held[name] if name == "manifest" else [dict(zip(names, row, strict=True)) for row in held[name]]
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))
        held[name].clear()


def _check(manifest: Path) -> None:
    """What is only seen over all rows."""
    rows = pq.read_table(manifest, columns=["image_id", "source_path", "patient_id", "split"]).to_pandas()
    twice = rows["image_id"].duplicated()
    if twice.any():
        second = rows.loc[twice.idxmax()]
        first = rows[rows["image_id"] == second.image_id].iloc[0]
        problem = f"image id {second.image_id!r} is there twice, as {first.source_path} too"
        raise DataError(second.source_path, problem, "Keep one of the two.")
    check_no_leak(rows)


def _line(content: dict) -> bytes:
    """One line of the journal: its digest, then the content as JSON."""
    text = json.dumps(content).encode()
    return b"%s %s\n" % (_digest(text).encode(), text)


def _read_line(line: bytes) -> dict | None:
    """The content of a line of the journal; None if there is none, or not whole."""
    digest, _, text = line.removesuffix(b"\n").partition(b" ")
    return json.loads(text) if text and line.endswith(b"\n") and digest.decode() == _digest(text) else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
