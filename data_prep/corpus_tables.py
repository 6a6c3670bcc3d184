"""The tables of a corpus, as `medslip_core.corpus` reads them, written from what its chunks left in the journal.

Who is known only from a DICOM header stands in the journal as a digest of the patient id. Whoever tries all hospital
numbers finds the one behind a digest, so the tables have a running number instead, "dicom-000001", by first appearance.
"""

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import fields
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.errors import DataError
from data_prep.record import SetAside
from data_prep.splits import check_no_leak

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


def write_tables(folder: Path, lines: Iterable[dict], labels: Iterable[str], taken: Collection[str]) -> None:
    """Writes manifest, set_aside.csv and all of TABLES, in constant memory.

    Args:
        folder: of the corpus.
        lines: one for every chunk: `manifest` and `set_aside`, rows of these, and those of TABLES by name.
        labels: the columns of the manifest for labels, in their order.
        taken: patient ids of the dataset that look like our numbers, which are then left out.
    """
    schemas = {"manifest": pa.schema(MANIFEST | dict.fromkeys(labels, pa.float32()))} | TABLES
    with ExitStack() as stack:
        table = stack.enter_context((folder / "set_aside.csv").open("w", newline="", encoding="utf-8"))
        set_aside = csv.writer(table, lineterminator="\n")
        set_aside.writerow([field.name for field in fields(SetAside)])
        writers = {
            name: stack.enter_context(pq.ParquetWriter(folder / f"{name}.parquet", schema))
            for name, schema in schemas.items()
        }
        held: dict[str, list] = {name: [] for name in schemas}
        numbers = (name for number in count(1) if (name := f"{NUMBERED}{number:06d}") not in taken)
        patients: dict[str, str] = defaultdict(numbers.__next__)  # digest -> what the manifest says for it
        for line in lines:
            for row in line["manifest"]:
                if digest := row.pop("patient_digest"):
                    row["patient_id"] = patients[digest]
            set_aside.writerows(line["set_aside"])
            for name, rows in held.items():
                rows += line[name]
            if len(held["manifest"]) >= ROWS_PER_GROUP:
                _write_group(writers, held)
        _write_group(writers, held)


def _write_group(writers: dict[str, pq.ParquetWriter], held: dict[str, list]) -> None:
    for name, writer in writers.items():
        names = writer.schema.names
        rows = held[name] if name == "manifest" else [dict(zip(names, row, strict=True)) for row in held[name]]
        writer.write_table(pa.Table.from_pylist(rows, writer.schema))
        held[name].clear()


def check_manifest(manifest: Path) -> None:
    """Raises DataError for what is only seen over all rows: an image twice, or a patient in two splits."""
    rows = pq.read_table(manifest, columns=["image_id", "source_path", "patient_id", "split"]).to_pandas()
    twice = rows["image_id"].duplicated()
    if twice.any():
        second = rows.loc[twice.idxmax()]
        first = rows[rows["image_id"] == second.image_id].iloc[0]
        problem = f"image id {second.image_id!r} is there twice, as {first.source_path} too"
        raise DataError(second.source_path, problem, "Keep one of the two.")
    check_no_leak(rows)
