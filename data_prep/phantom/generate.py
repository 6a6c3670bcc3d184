"""Writes phantom datasets to disk, in parallel: four layouts as downloaded, and the truth beside them.

Work goes in shards of consecutive studies. A finished shard leaves a part file; a killed run, started again with the
same arguments, goes on after the parts that are there and ends with the same bytes.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from data_prep.parallel import cores, in_order
from data_prep.phantom.layouts import Slot, mimic, nih, rsna, siim
from data_prep.phantom.population import POPULATIONS
from data_prep.phantom.render import draw_study
from data_prep.phantom.report import write_report
from data_prep.phantom.truth import SCHEMA, TABLE_NAME, pack_masks
from medslip_core.files import write_whole

logger = logging.getLogger(__name__)

LAYOUTS = {"mimic": mimic, "nih": nih, "rsna": rsna, "siim": siim}
DEFAULT_STUDIES: Mapping[str, int] = {"mimic": 6000, "nih": 900, "rsna": 600, "siim": 600}
SHARD_STUDIES = 32
MAX_STUDIES_OF_PATIENT = {"mimic": 4, "nih": 4, "rsna": 1, "siim": 3}
PART_SCHEMA = SCHEMA.append(pa.field("layout_row", pa.string()))  # JSON: what the layout's tables need
RETURN_PROB = 0.35
"""Chance that a patient comes back for one more study."""
SPLIT_SHARES = {
    "mimic": {"train": 0.90, "validate": 0.05, "test": 0.05},
    "nih": {"train": 0.40, "validate": 0.0, "test": 0.60},
    "rsna": {"train": 1.0, "validate": 0.0, "test": 0.0},  # the challenges publish labels of their training set only
    "siim": {"train": 1.0, "validate": 0.0, "test": 0.0},
}


@dataclass(frozen=True)
class _Shard:
    """What a worker needs to write some consecutive studies of one dataset."""

    root: Path
    number: int
    slots: tuple[Slot, ...]
    size_px: int

    @property
    def part(self) -> Path:
        return _parts(self.root, self.slots[0].dataset) / f"{self.number:05d}.parquet"


def generate(
    root: str | Path,
    studies: Mapping[str, int] = DEFAULT_STUDIES,
    size_px: int = 320,
    seed: int = 0,
    processes: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write phantom datasets in the layouts of the real downloads, with their truth beside them.

    Args:
        root: folder to write: `root/mimic`, `root/mimic-cxr-reports`, `root/nih`, `root/rsna`, `root/siim`, and
            `root/truth/<dataset>` (see `truth.Truth`).
        studies: number of studies of each dataset; those left out are not written.
        size_px: side of the square images.
        seed: everything is a function of it: equal arguments give equal bytes, whatever the number of processes.
        processes: worker processes; None takes every core this process may use, 1 works in this process.
        overwrite: replace a phantom that was written with other arguments or by other code.

    Returns:
        `root`.

    Raises:
        ValueError: unknown dataset, or no studies asked for.
        FileExistsError: `root` holds a phantom of other arguments or code, and `overwrite` is False.
    """
    root = Path(root)
    if unknown := set(studies) - set(LAYOUTS):
        raise ValueError(f"unknown dataset {sorted(unknown)[0]!r} in studies; one of {', '.join(LAYOUTS)}")
    if not studies or min(studies.values()) < 1:
        raise ValueError(f"studies must name datasets with at least one study each, not {dict(studies)}")

    code, shards = _code_sha256(), []
    for dataset, count in studies.items():
        arguments = {"studies": count, "size_px": size_px, "seed": seed, "code_sha256": code}
        if _claim(root, dataset, arguments, overwrite):
            slots = plan(dataset, count, seed)
            numbered = enumerate(slots[start : start + SHARD_STUDIES] for start in range(0, count, SHARD_STUDIES))
            shards += [_Shard(root, number, part, size_px) for number, part in numbered]
    with tqdm(total=sum(len(shard.slots) for shard in shards), desc="phantom", unit="study") as progress:
        for shard in _written(shards, processes or cores()):
            progress.update(len(shard.slots))
    for dataset in dict.fromkeys(shard.slots[0].dataset for shard in shards):
        _finish(root, dataset)
    return root


def plan(dataset: str, count: int, seed: int) -> tuple[Slot, ...]:
    """Who comes when: `count` slots, patient by patient; some patients come several times, all in one split."""
    rng = np.random.default_rng([17, POPULATIONS[dataset].number, seed])
    splits, shares = zip(*SPLIT_SHARES[dataset].items(), strict=True)
    slots: list[Slot] = []
    for patient_number in range(count):
        visits = min(int(rng.geometric(1 - RETURN_PROB)), MAX_STUDIES_OF_PATIENT[dataset])
        split = str(rng.choice(splits, p=shares))
        for study_number in range(visits):
            slots.append(Slot(dataset, seed, len(slots), patient_number, study_number, split))
            if len(slots) == count:
                return tuple(slots)
    raise AssertionError("unreachable: every patient has at least one study")


def _claim(root: Path, dataset: str, arguments: dict, overwrite: bool) -> bool:
    """Make a dataset's folder ours; False if it is already there, finished, with equal arguments."""
    marker = root / "truth" / dataset / "finished.json"
    started = _parts(root, dataset) / "arguments.json"
    found = next((path for path in (marker, started) if path.is_file()), None)
    if found and json.loads(found.read_text()) == arguments:
        if found is marker:
            logger.info("%s is there already, finished", root / dataset)
            shutil.rmtree(_parts(root, dataset), ignore_errors=True)  # of a run killed at its very end
        return found is started
    leftovers = [root / "truth" / dataset, _parts(root, dataset), root / dataset]
    if dataset == "mimic":
        leftovers.append(root / mimic.REPORTS_FOLDER)
    if any(folder.exists() for folder in leftovers):
        if not overwrite:
            raise FileExistsError(
                f"{root / dataset} was written with other arguments or by other code than {arguments}; "
                "take another folder, delete this one, or pass overwrite=True (--overwrite)"
            )
        for path in (marker, started):  # first, so that a deletion cut short is not taken for a dataset to go on with
            path.unlink(missing_ok=True)
        for folder in leftovers:
            shutil.rmtree(folder, ignore_errors=True)
    write_whole(started, json.dumps(arguments).encode())
    return True


def _written(shards: list[_Shard], processes: int) -> Iterator[_Shard]:
    """Write the shards, yielding each when it is on disk."""
    yield from (shard for shard in shards if shard.part.is_file())
    todo = [shard for shard in shards if not shard.part.is_file()]
    alone = ([shard] for shard in todo)
    with closing(in_order(_write_shards, lambda shard: None, alone, max(1, min(processes, len(todo))))) as done:
        for shard, _ in zip(todo, done, strict=True):
            if not shard.part.is_file():
                raise RuntimeError(f"the process that wrote {shard.part} died; run it again to go on from there")
            yield shard


def _write_shards(shards: list[_Shard]) -> list[None]:
    return [_write_shard(shard) for shard in shards]


def _write_shard(shard: _Shard) -> None:
    """Draw and write the studies of a shard, then its masks, last its part file."""
    rows, blocks, offset = [], [], 0
    mask_file = f"masks-{shard.number:05d}.bits"
    for slot in shard.slots:
        layout = LAYOUTS[slot.dataset]
        study = draw_study(POPULATIONS[slot.dataset], slot.seed, slot.patient_number, slot.study_number, shard.size_px)
        report = write_report(study, slot.study_number)
        row = layout.write_study(shard.root / slot.dataset, slot, study, report)
        masks = {f"pathology/{name}": mask for name, mask in study.pathology_masks.items()}
        masks |= {f"anatomy/{name}": mask for name, mask in study.anatomy_masks.items()}
        blocks.append(pack_masks(masks))
        truth = {
            "study_id": row["study_id"],
            "patient_id": row["patient_id"],
            "patient_number": slot.patient_number,
            "study_number": slot.study_number,
            "image_path": row["image_path"],
            "report": report.text,
            "triplets": _as_rows(study.triplets),
            "said": _as_rows(report.said),
            "findings": [{k: v for k, v in asdict(finding).items() if k != "attributes"} for finding in study.findings],
            "mask_labels": list(masks),
            "mask_size_px": shard.size_px,
            "mask_file": mask_file,
            "mask_offset": offset,
            "mask_length": len(blocks[-1]),
        }
        offset += len(blocks[-1])
        rows.append(truth | {"layout_row": json.dumps(row)})
    write_whole(shard.root / "truth" / slot.dataset / mask_file, b"".join(blocks))
    write_whole(shard.part, _parquet_bytes(pa.Table.from_pylist(rows, schema=PART_SCHEMA)))


def _finish(root: Path, dataset: str) -> None:
    """Write the tables from the parts, then mark the dataset finished and drop the parts."""
    parts = sorted(_parts(root, dataset).glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(part) for part in parts]).combine_chunks()
    LAYOUTS[dataset].write_tables(root / dataset, [json.loads(row) for row in table["layout_row"].to_pylist()])
    write_whole(root / "truth" / dataset / TABLE_NAME, _parquet_bytes(table.drop_columns("layout_row")))
    arguments = (_parts(root, dataset) / "arguments.json").read_bytes()
    write_whole(root / "truth" / dataset / "finished.json", arguments)
    shutil.rmtree(_parts(root, dataset))


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _parts(root: Path, dataset: str) -> Path:
    return root / "truth" / f".{dataset}.parts"


def _as_rows(triplets) -> list[dict]:
    return [dict(zip(("anatomy", "pathology", "state"), triplet, strict=True)) for triplet in triplets]


def _code_sha256() -> str:
    """Of all code that decides what is drawn and written."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
