"""NIH ChestX-ray14 as downloaded, at full size or resized.

    <root>/images/00000001_000.png      or images_001/images/… to images_012/images/…, or any folders below root
    <tables>/Data_Entry_2017_v2020.csv
    <tables>/BBox_List_2017.csv      optional, or in root: without it there are no boxes
    <tables>/train_val_list.txt, test_list.txt      optional, or in root: without them the split is drawn by patient

Source: Wang et al., ChestX-ray8, CVPR 2017. Boxes are measured in the released 1024 x 1024 images, also for resized
copies; the box table's header is broken ("Bbox [x") and it calls Infiltration "Infiltrate".
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_prep.age import parse_age
from data_prep.errors import DataError
from data_prep.files import index_images, report_absent
from data_prep.study import Box, Studies, Study
from data_prep.tables import find_optional, find_table, read_table, require_unique, tables_folder
from medslip_core.vocabulary import DATASET_CLASSES

logger = logging.getLogger(__name__)

CLASSES = tuple(DATASET_CLASSES["nih"])
NO_FINDING = "No Finding"
BOX_TABLE = "BBox_List_2017.csv"
BOX_FRAME_PX = (1024, 1024)
BOX_NAMES = {"Infiltrate": "Infiltration"}
OFFICIAL_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
ONE_RELEASE = "Use tables of one release, unless the labels are a subset on purpose."
BOX_COLUMNS = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]


def read(root: Path, tables: str | Path | None = None) -> Studies:
    """Reads the images in the order of the label table; rows whose image is not below root are left out.

    Args:
        root: folder with the images anywhere below it.
        tables: folder of the tables, if not root; "torchxrayvision" takes those that this package ships.

    Raises:
        DataError: a table missing or not as published, an image twice, an unknown label, no image there.
    """
    root = Path(root)
    folder = tables_folder(root, tables)
    path = find_table(folder, "Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
    columns = ["Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position"]
    table = read_table(path, columns, filled=["Image Index", "Patient ID"])
    sex_column = next((name for name in ("Patient Gender", "Patient Sex") if name in table.columns), None)
    if sex_column is None:
        raise DataError(path, "column 'Patient Gender' or 'Patient Sex' missing", "Use the table as downloaded.")
    require_unique(table, "Image Index", path)
    findings = _findings(table, path)
    patients = _patients(table, path)
    places = list(dict.fromkeys((folder, root)))
    boxes = _boxes(places, set(table["Image Index"]), path.name)
    lists = _folder_of_lists(places)
    splits = _official_split(lists) if lists else {}

    files = index_images(root)
    table = table.assign(
        findings=findings, patient=patients, path=[files.get(name.rpartition(".")[0]) for name in table["Image Index"]]
    )
    there = table["path"].notna()
    absent = report_absent(table.loc[~there, "Image Index"].tolist(), len(table), path, root)
    table = table[there].rename(columns={"Image Index": "image", sex_column: "sex"})
    table = table.rename(columns={"Patient Age": "age", "View Position": "view"})
    if splits and not table["image"].isin(list(splits)).all():
        lost = table[~table["image"].isin(list(splits))].iloc[0]
        problem = f"image {lost.image} ({path.name} row {lost.row}) stands in neither list"
        raise DataError(lists / OFFICIAL_LISTS["test"], problem, "Use both lists as downloaded, or neither.")

    def studies() -> Iterator[Study]:
        for row in table.itertuples():
            stem = Path(row.image).stem
            yield Study(
                study_id=stem,
                image_id=stem,
                patient_id=row.patient,
                dataset="nih",
                image_path=row.path,
                split=splits.get(row.image),
                view=row.view if isinstance(row.view, str) else None,
                age_years=parse_age(row.age) if isinstance(row.age, str) else None,
                sex=row.sex if row.sex in ("M", "F") else None,
                labels={NO_FINDING: float(not row.findings), **{name: float(name in row.findings) for name in CLASSES}},
                boxes=boxes.get(row.image, ()),
                box_frame_px=BOX_FRAME_PX,
                provenance={"table": path.name, "row": row.row},
            )

    return Studies(studies(), len(table), absent)


def patient_of(image_index: str) -> str:
    """The patient's number in an image name: "00000013_005.png" -> "00000013"."""
    return image_index.split("_")[0].zfill(8)


def _findings(table: pd.DataFrame, path: Path) -> pd.Series:
    """The findings of each row, "Effusion|Mass" taken apart; an empty set stands for "No Finding"."""
    texts = table["Finding Labels"].fillna("")
    names_of = {text: frozenset(text.split("|")) for text in texts.unique()}
    for text, names in names_of.items():
        if names - {*CLASSES, NO_FINDING} or (NO_FINDING in names and len(names) > 1):
            row = table["row"][(texts == text).idxmax()]
            remedy = f"Use {NO_FINDING!r}, or names of {', '.join(CLASSES)}."
            raise DataError(f"{path} row {row}", f"Finding Labels is {text!r}", remedy)
    return texts.map({text: names - {NO_FINDING} for text, names in names_of.items()})


def _patients(table: pd.DataFrame, path: Path) -> pd.Series:
    """Patient numbers with their eight digits; they have to agree with the images' names."""
    patients = table["Patient ID"].str.zfill(8)
    differ = patients != table["Image Index"].map(patient_of)
    if differ.any():
        row = table[differ].iloc[0]
        problem = f"Patient ID {row['Patient ID']!r} does not belong to image {row['Image Index']!r}"
        raise DataError(f"{path} row {row.row}", problem, "Use the table as downloaded (not sorted column by column).")
    return patients


def _boxes(places: Sequence[Path], images: set[str], labels: str) -> dict[str, tuple[Box, ...]]:
    """Boxes of these images, which are those of the table named `labels`; a table cut to a subset names fewer."""
    path = find_optional(places, BOX_TABLE)
    if path is None:
        logger.warning("nih: no %s in %s; there are no boxes", BOX_TABLE, " or ".join(map(str, places)))
        return {}
    table = read_table(path, BOX_COLUMNS)
    boxes: dict[str, tuple[Box, ...]] = {}
    strays = []
    for image, name, *numbers, row in table[[*BOX_COLUMNS, "row"]].itertuples(index=False):
        source = f"{path} row {row}"
        label = BOX_NAMES.get(name, name)
        if label not in CLASSES:
            raise DataError(source, f"Finding Label is {name!r}", f"Use one of {', '.join(CLASSES)}.")
        x, y, width, height = (_number(text, source) for text in numbers)
        if image not in images:
            strays.append(f"{image} in row {row}")
            continue
        boxes[image] = (*boxes.get(image, ()), Box(label, x, y, width, height, source))
    if strays and not boxes:
        raise DataError(path, f"none of its images is in {labels}, the first is {strays[0]}", ONE_RELEASE)
    if strays:
        said = "nih: %d of the %d boxes in %s are of images that %s does not name, the first is %s; left out. %s"
        logger.warning(said, len(strays), len(table), path.name, labels, strays[0], ONE_RELEASE)
    return boxes


def _number(text: str | float, source: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(source, f"box coordinate {text!r} is not a number", "Use the table as downloaded.") from error


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read ({error})", "Download the list again.") from error


def _folder_of_lists(places: Sequence[Path]) -> Path | None:
    """The first of these folders that holds the official lists.

    Raises:
        DataError: it holds only one of the two.
    """
    for folder in places:
        there = [folder / name for name in OFFICIAL_LISTS.values() if (folder / name).is_file()]
        if len(there) == 1:
            problem = "the other of the two official lists is missing"
            raise DataError(there[0], problem, "Download both, or use neither.")
        if there:
            return folder
    said = "nih: no %s in %s; the split is drawn by patient, its test set is not the official one"
    logger.warning(said, " and ".join(OFFICIAL_LISTS.values()), " or ".join(map(str, places)))
    return None


def _official_split(folder: Path) -> dict[str, str]:
    """Image -> "train_val" or "test", from the two lists."""
    splits: dict[str, str] = {}
    for split, name in OFFICIAL_LISTS.items():
        for number, image in enumerate(_lines(folder / name), start=1):
            if splits.setdefault(image, split) != split:
                problem = f"{image} is in both lists"
                raise DataError(f"{folder / name} line {number}", problem, "Use the lists as downloaded.")
    return splits
