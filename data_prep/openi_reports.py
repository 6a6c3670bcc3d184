"""The reports of the Indiana University collection: one XML file per patient, or the table that Kaggle made of them.

    ecgen-radiology/1000.xml      a folder or NLMCXR_reports.tgz as it is
    indiana_reports.csv, indiana_projections.csv      Kaggle: a row per report, and per image with its patient

The table has the XML's words (3,848 of its 3,851 reports are equal to the letter; a spreadsheet spoilt the indication
of three), and leaves out the 104 reports without images.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from data_prep.errors import DataError, RecordError
from data_prep.tables import as_option, find_optional, read_table, require_known, require_unique
from data_prep.texts import TextFiles

XML = ("ecgen-radiology", "NLMCXR_reports.tgz", "NLMCXR_reports")
KAGGLE_REPORTS = "indiana_reports.csv"
KAGGLE_IMAGES = "indiana_projections.csv"
PROJECTIONS = ("Frontal", "Lateral")

SECTIONS = ("comparison", "indication", "findings", "impression")
"""Columns of Kaggle's table, in the order in which the XML has them."""

SPEAKING = ("FINDINGS", "IMPRESSION")
"""Sections at least one of which a report needs to count as one."""


@dataclass(frozen=True)
class Report:
    """What is known of one patient, who has one report."""

    name: str  # where it stands
    patient: str  # "CXR1000"
    text: str | None = None
    codes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()  # "CXR1000_IM-0003-2001"
    fault: str | None = None  # why it cannot be read


def read_reports(root: Path, tables: Path, given: str | Path | None) -> tuple[Path, list[Report]]:
    """Where the reports are, and all of them in the order of their numbers.

    Args:
        root: folder of the images, where they are looked for first.
        tables: folder of the tables, where they are looked for next.
        given: the folder or archive of the XML files, if known.

    Raises:
        DataError: neither the XML files nor Kaggle's table, or no report in them.
    """
    folders = list(dict.fromkeys((root, tables)))
    place = Path(given) if given is not None else next(
        (folder / name for folder in folders for name in XML if (folder / name).exists()), None
    )  # fmt: skip
    if place is not None:
        found = _of_xml(place)
    elif (place := find_optional(folders, KAGGLE_REPORTS)) is not None:
        found = _of_kaggle(place, find_optional(folders, KAGGLE_IMAGES))
    else:
        problem = f"no {XML[0]}, {XML[1]} or {KAGGLE_REPORTS}"
        raise DataError(root, problem, f"Download the reports into it, or name the XML files: {as_option('reports')}.")
    if not found:
        raise DataError(place, "no report in it", f"Download the reports again, or name them: {as_option('reports')}.")
    return place, sorted(found, key=lambda report: (len(report.patient), report.patient))


def kaggle_projections(path: Path) -> dict[str, str]:
    """Image ("CXR1000_IM-0003-2001") -> "Frontal" or "Lateral", as one looked at each and told them apart.

    Raises:
        DataError: not the table as published; names row and value.
    """
    table = _images(path)
    return dict(zip(table["image"], table["projection"], strict=True))


def number_once(image: str) -> str:
    """An image's name with its patient's number once: the XML has that of the first twice (CXR1_1_IM-0001-3001)."""
    return re.sub(r"^(CXR)?(\d+)_\2_", r"\1\2_", image)


def _images(path: Path) -> pd.DataFrame:
    """Kaggle's table of images, with a column `image` for the name that the XML gives each."""
    table = read_table(path, ["uid", "filename", "projection"], filled=["uid", "filename", "projection"])
    require_unique(table, "filename", path)
    require_known(table, "projection", PROJECTIONS, path, remedy=f"Use {' or '.join(PROJECTIONS)}.")
    return table.assign(image="CXR" + table["filename"].str.removesuffix(".png").str.removesuffix(".dcm"))


def _of_kaggle(path: Path, images: Path | None) -> list[Report]:
    if images is None:
        raise DataError(path, f"no {KAGGLE_IMAGES} beside it, which says whose the images are", "Download it, too.")
    table = read_table(path, ["uid", "MeSH", *SECTIONS], filled=["uid"]).fillna("")
    require_unique(table, "uid", path)
    owned = _images(images)
    require_known(owned, "uid", set(table["uid"]), images, remedy=f"Use the {path.name} it was downloaded with.")
    of = owned.groupby("uid")["image"].agg(tuple)
    return [
        Report(
            name=f"{path.name} row {row['row']}",
            patient=f"CXR{row['uid']}",
            text=_text({section.upper(): row[section].strip() for section in SECTIONS}),
            codes=tuple(code.strip() for code in row["MeSH"].split(";") if code.strip()),
            images=of.get(row["uid"], ()),
        )
        for row in table.to_dict("records")
    ]


def _of_xml(place: Path) -> list[Report]:
    texts = TextFiles(place)
    found = []
    for name in texts.names():
        if not name.endswith(".xml"):
            continue
        try:
            found.append(_parse(name, texts.read(name), f"{place}: {name}"))
        except RecordError as error:
            found.append(Report(name, f"CXR{PurePosixPath(name).stem}", fault=str(error)))
    return found


def _parse(name: str, text: str, place: str) -> Report:
    remedy = "Download it again; its images are set aside."
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise RecordError(place, "XML with a document type of its own, which these reports have not", remedy)
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise RecordError(place, f"not readable as XML ({error})", remedy) from error
    patient = root.find("uId")
    if patient is None or not patient.get("id"):
        raise RecordError(place, "has no uId", remedy)
    return Report(
        name=name,
        patient=patient.get("id"),
        text=_text({one.get("Label", "").upper(): (one.text or "").strip() for one in root.iter("AbstractText")}),
        codes=tuple((one.text or "").strip() for one in root.iterfind("MeSH/major")),
        images=tuple(one.get("id", "") for one in root.iter("parentImage")),
    )


def _text(sections: dict[str, str]) -> str | None:
    """The report as one text with its headings; None if it says nothing of the image."""
    if not any(sections.get(section) for section in SPEAKING):
        return None
    return "\n\n".join(f"{section}: {words}" for section, words in sections.items() if words)
