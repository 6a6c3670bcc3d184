"""The phantom's exact truth, kept beside a layout: triplets, masks, what the report said.

A layout holds only what the real download holds. What the phantom knows beyond that lies in
`<root>/truth/<dataset>/`: `truth.parquet`, one row per study, and `masks-*.bits`, each study's masks packed to bits
and compressed as one block, to which the row points.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TABLE_NAME = "truth.parquet"

_TRIPLETS = pa.list_(pa.struct([("anatomy", pa.string()), ("pathology", pa.string()), ("state", pa.int8())]))
_FINDING = pa.struct(
    [
        ("kind", pa.string()),
        ("pathology", pa.string()),
        ("anatomies", pa.list_(pa.string())),
        ("severity", pa.float32()),
    ]
)
SCHEMA = pa.schema(
    [
        ("study_id", pa.string()),
        ("patient_id", pa.string()),
        ("patient_number", pa.int32()),
        ("study_number", pa.int32()),
        ("image_path", pa.string()),  # relative to the layout's root
        ("report", pa.string()),
        ("triplets", _TRIPLETS),  # what is true
        ("said", _TRIPLETS),  # what the report states
        ("findings", pa.list_(_FINDING)),
        ("mask_labels", pa.list_(pa.string())),  # "pathology/effusion", "anatomy/left_pleural", in the block's order
        ("mask_size_px", pa.int32()),
        ("mask_file", pa.string()),
        ("mask_offset", pa.int64()),
        ("mask_length", pa.int32()),
    ]
)


def pack_masks(masks: dict[str, np.ndarray]) -> bytes:
    """Masks of one study as one compressed block.

    Args:
        masks: label -> [S, S] bool, all of one size.
    """
    if not masks:
        return b""
    stack = np.stack(list(masks.values()))  # [n, S, S]
    return zlib.compress(np.packbits(stack).tobytes(), level=1)


def unpack_masks(block: bytes, labels: list[str], size_px: int) -> dict[str, np.ndarray]:
    """Undo `pack_masks`: label -> [S, S] bool.

    Raises:
        ValueError: the block does not hold as many masks of that size as there are labels.
    """
    if not labels:
        return {}
    count = len(labels) * size_px * size_px
    packed = np.frombuffer(zlib.decompress(block), dtype=np.uint8)
    if packed.size != (count + 7) // 8:
        raise ValueError(f"mask block holds {packed.size} bytes, {len(labels)} masks of {size_px} px need {count // 8}")
    stack = np.unpackbits(packed, count=count).view(bool).reshape(len(labels), size_px, size_px)
    return dict(zip(labels, stack, strict=True))


@dataclass(frozen=True)
class Truth:
    """Read access to one dataset's truth by study id (the ids that the layout's reader gives)."""

    folder: Path
    table: pa.Table
    row_of: dict[str, int]

    @classmethod
    def open(cls, folder: str | Path) -> "Truth":
        """Open `<root>/truth/<dataset>`.

        Raises:
            FileNotFoundError: there is no truth table in the folder.
        """
        folder = Path(folder)
        path = folder / TABLE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no truth table; write it with `python -m data_prep.phantom --out …`")
        table = pq.read_table(path, schema=SCHEMA)
        return cls(folder, table, {study_id: row for row, study_id in enumerate(table["study_id"].to_pylist())})

    @property
    def study_ids(self) -> list[str]:
        """Every study, in the order in which it was drawn."""
        return list(self.row_of)

    def triplets(self, study_id: str) -> list[tuple[str, str, int]]:
        """What is true of the study: (anatomy, pathology, state)."""
        return [(t["anatomy"], t["pathology"], t["state"]) for t in self._value(study_id, "triplets")]

    def said(self, study_id: str) -> list[tuple[str, str, int]]:
        """What the study's report states: (anatomy, pathology, state), hedged findings as uncertain."""
        return [(t["anatomy"], t["pathology"], t["state"]) for t in self._value(study_id, "said")]

    def report(self, study_id: str) -> str:
        """The free-text report; every study has one, though only the MIMIC layout ships it."""
        return self._value(study_id, "report")

    def findings(self, study_id: str) -> list[dict]:
        """The findings drawn into the image: kind, pathology, anatomies, severity 0..1."""
        return self._value(study_id, "findings")

    def masks(self, study_id: str) -> dict[str, dict[str, np.ndarray]]:
        """Masks at the source image's size: {"pathology": {name: [S, S] bool}, "anatomy": {name: [S, S] bool}}."""
        path = self.folder / self._value(study_id, "mask_file")
        length = self._value(study_id, "mask_length")
        with path.open("rb") as file:
            file.seek(self._value(study_id, "mask_offset"))
            block = file.read(length)
        labels = self._value(study_id, "mask_labels")
        try:
            unpacked = unpack_masks(block, labels, self._value(study_id, "mask_size_px"))
        except (ValueError, zlib.error) as error:
            problem = f"the masks of study {study_id} cannot be read ({error})"
            raise ValueError(f"{path}: {problem}; generate the phantom again with --overwrite") from error
        masks: dict[str, dict[str, np.ndarray]] = {"pathology": {}, "anatomy": {}}
        for label, mask in unpacked.items():
            kind, name = label.split("/")
            masks[kind][name] = mask
        return masks

    def _value(self, study_id: str, column: str):
        if study_id not in self.row_of:
            raise KeyError(f"{self.folder / TABLE_NAME}: no study {study_id!r}")
        return self.table[column][self.row_of[study_id]].as_py()
