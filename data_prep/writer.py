"""Writes a corpus chunk by chunk, so that a run that is killed anywhere is taken up where it stood.

While it grows, the work folder holds

    corpus/images.u8, corpus/masks.bits   appended to
    journal.jsonl                         first what was asked, then one line a chunk: everything else about it

At the end the journal becomes the tables of the corpus, and the header is last. The journal goes with the work folder;
one that was stopped is not for sharing, for patient ids of DICOM headers can be found from it by trying.
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq

from data_prep.chunks import Chunk
from data_prep.corpus_tables import NUMBERED, TABLES, check_manifest, write_tables
from data_prep.errors import DataError
from data_prep.journal import Journal
from data_prep.record import Prepared, SetAside
from data_prep.splits import assign_split
from data_prep.study import Study
from medslip_core.corpus import FORMAT, HEADER, LABEL_PREFIX, VERSION, VOCABULARY, block_digests, header_digest


class CorpusWriter:
    """Takes prepared chunks in order; a context manager, for it holds files open and its work folder locked.

    Args:
        folder: the work folder; what a killed run left there is used if it was asked for the same.
        asked: all that the bytes depend on beside the studies, as plain JSON.
        seed: of the split by patient, drawn from the digest of who is known only from a DICOM header.
        shares: of patients in train, validate and test.

    Attributes:
        count: images written.
        set_aside: number of records that could not be used.
        first_reasons: of some of them.

    Raises:
        DataError: another run is writing there.
    """

    def __init__(self, folder: Path, asked: dict, seed: int, shares: tuple[float, float, float]) -> None:
        self.seed, self.shares = seed, shares
        self.count = self.set_aside = 0
        self.first_reasons: list[str] = []
        self.labels: dict[str, None] = {}  # in the order in which they came up
        self.taken: set[str] = set()  # patient ids of the dataset that look like our numbers
        self.corpus = folder / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)
        files = [self.corpus / name for name in ("images.u8", "masks.bits")]
        self.journal = Journal(folder / "journal.jsonl", files, asked)

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def resume(
        self, chunks: Iterator[Chunk], again: Callable[[list[Study]], list[Prepared | SetAside]]
    ) -> Iterator[Chunk]:
        """Skips the chunks that are written already and whose studies and image files are still the same.

        Args:
            chunks: all of them.
            again: prepares studies that were set aside; a chunk is skipped only if they are so for the same reasons.

        Returns:
            The chunks that are left to prepare.
        """
        while line := self.journal.read():
            chunk = next(chunks, None)
            if chunk is None or line["key"] != chunk.key or not _still_refused(line, chunk, again):
                chunks = chain([chunk] if chunk else [], chunks)
                break
            self._count(line)
            self.journal.keep()
        self.journal.cut()
        return chunks

    def add(self, chunk: Chunk, results: Iterable[Prepared | SetAside]) -> None:
        """Writes a chunk: its bytes, and the line that stands for them."""
        line: dict = {"key": chunk.key, "manifest": [], "set_aside": [], "refused": [], **{name: [] for name in TABLES}}
        pixels, bits = [], []
        offset = self.journal.end("masks.bits")
        for number, result in enumerate(results):
            if isinstance(result, SetAside):
                line["set_aside"].append(astuple(result))
                line["refused"].append(number)  # of the study in its chunk
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
        self.journal.append(line, {"images.u8": b"".join(pixels), "masks.bits": b"".join(bits)})
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
        write_tables(self.corpus, self.journal.lines(), self.labels, self.taken)
        if pq.read_metadata(self.corpus / "manifest.parquet").num_rows != self.count:
            raise DataError(self.journal.path, "damaged since it was written", "Check the disk, and run again.")
        check_manifest(self.corpus / "manifest.parquet")
        with (self.corpus / "absent.csv").open("w", newline="", encoding="utf-8") as table:
            csv.writer(table, lineterminator="\n").writerows([["image"], *([image] for image in absent)])
        counts = {"count": self.count, "set_aside": self.set_aside, "absent": len(absent)}
        header = {"format": FORMAT, "version": VERSION, "vocabulary": VOCABULARY, **counts} | facts
        names = sorted(path.name for path in self.corpus.iterdir() if path.name != HEADER)
        header["files"] = {
            name: {"bytes": (self.corpus / name).stat().st_size, "sha256": block_digests(self.corpus / name)}
            for name in names
        }
        header["sha256"] = header_digest(header)
        (self.corpus / HEADER).write_text(json.dumps(header, indent=1), encoding="utf-8")
        return self.corpus

    def _count(self, line: dict) -> None:
        self.count += len(line["manifest"])
        self.set_aside += len(line["set_aside"])
        self.first_reasons += [reason for *_, reason in line["set_aside"]][: 3 - len(self.first_reasons)]
        patients = (row["patient_id"] for row in line["manifest"])
        self.taken.update(patient for patient in patients if patient and patient.startswith(NUMBERED))
        self.labels |= dict.fromkeys(name for row in line["manifest"] for name in row if name.startswith(LABEL_PREFIX))


def _still_refused(line: dict, chunk: Chunk, again: Callable[[list[Study]], list[Prepared | SetAside]]) -> bool:
    """Whether all that a line says was set aside would be set aside again, for the same reasons."""
    refused = [chunk.studies[number] for number in line["refused"]]
    results = again(refused) if refused else []
    return [list(astuple(result)) if isinstance(result, SetAside) else None for result in results] == line["set_aside"]


def put_in_place(corpus: Path, out: Path) -> None:
    """Renames the finished folder; a corpus that was there is kept until then."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    corpus.rename(out)
    shutil.rmtree(old, ignore_errors=True)
