"""Indiana University chest radiographs (OpenI) as downloaded: PNG or DICOM images, one XML report per patient.

    <root>/CXR1000_IM-0003-2001.png      NLMCXR_png, or 1000/1000_IM-0003-2001.dcm of NLMCXR_dcm, or Kaggle's
        images_normalized/1000_IM-0003-2001.dcm.png; anywhere below root
    <reports>/1000.xml      ecgen-radiology, a folder or NLMCXR_reports.tgz as it is: see `read`
    <tables>/nlmcxr_dicom_metadata.csv.gz, nlmcxr_tsne_pa.csv.gz      optional: views, shipped by torchxrayvision

Labels are the codes that two people gave each report (MeSH/major), matched whole. torchxrayvision looks for words
anywhere in the automatic codes, and so counts a pericardial effusion as a pleural one.

The headers call many lateral images "PA". torchxrayvision ships the views that t-SNE found for one image per report:
where its table is there, "PA" and "AP" are believed only of the images that it calls PA.

Source: Demner-Fushman et al., JAMIA 2016; views: Cohen et al., TorchXRayVision, MIDL 2022.
"""

import logging
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_prep.errors import DataError, RecordError
from data_prep.files import DICOM_SUFFIXES, index_images, report_absent
from data_prep.study import Studies, Study
from data_prep.tables import find_table, names_of_option, read_table, require_unique, tables_folder
from data_prep.texts import TextFiles
from data_prep.views import FRONTAL_VIEWS, header_has_view

logger = logging.getLogger(__name__)

CODES = {
    "No Finding": ("normal",),
    "Atelectasis": ("Pulmonary Atelectasis",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Consolidation": ("Consolidation",),
    "Edema": ("Pulmonary Edema",),
    "Effusion": ("Pleural Effusion", "Hydropneumothorax", "Hemothorax", "Hemopneumothorax"),
    "Emphysema": ("Emphysema", "Pulmonary Emphysema", "Bullous Emphysema"),
    "Fibrosis": ("Pulmonary Fibrosis", "Fibrosis"),
    "Fracture": ("Fractures, Bone",),
    "Granuloma": ("Granuloma", "Calcified Granuloma"),
    "Hernia": ("Hernia, Hiatal", "Hernia, Diaphragmatic"),
    "Infiltration": ("Infiltrate",),
    "Lung Opacity": ("Opacity",),
    "Mass": ("Mass",),
    "Nodule": ("Nodule",),
    "Pleural_Thickening": ("Thickening/pleura",),
    "Pneumonia": ("Pneumonia",),
    "Pneumothorax": ("Pneumothorax", "Hydropneumothorax", "Hemopneumothorax"),
}
"""Class -> how the codes begin that stand for it ("Thickening/pleura/right" begins with "Thickening/pleura")."""

NO_CODE = ("No Indexing", "Technical Quality of Image Unsatisfactory")
"""Codes that say nothing of the patient; a report with no other has unknown labels."""

KAGGLE_REPORTS = "indiana_reports.csv"
REPORTS_URL = "openi.nlm.nih.gov/imgs/collections/NLMCXR_reports.tgz"

SPEAKING = ("FINDINGS", "IMPRESSION")
"""Sections at least one of which a report needs to count as one."""


@dataclass(frozen=True)
class Report:
    """What one XML file says."""

    name: str  # of the file
    patient: str  # "CXR1000"
    text: str | None = None
    codes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()  # "CXR1000_IM-0003-2001"
    fault: str | None = None  # why the file cannot be read


def read(
    root: Path,
    views: str | Sequence[str] | None = FRONTAL_VIEWS,
    reports: str | Path | None = None,
    tables: str | Path | None = None,
) -> Studies:
    """Reads the images in the order of the reports; those not below root are left out.

    Args:
        root: folder with the images anywhere below it.
        views: of the tables, or else of the DICOM headers ("PA,AP" or a list); None or "" for all.
        reports: the folder ecgen-radiology or NLMCXR_reports.tgz. Default: looked for by these names in root and in
            the tables' folder.
        tables: folder of the tables, if not root; "torchxrayvision" takes tables and reports that this package ships.

    Raises:
        DataError: no report or image there, an image in two reports, a table not as published, or no view known.
    """
    root = Path(root)
    views = names_of_option(views)
    folder = tables_folder(root, tables)
    place, found = _read_reports(root, folder, reports)
    known_views = _views(folder)
    files = index_images(root)
    owners: dict[str, Report] = {}
    for report in found:
        for image in _images_by_name(report, files) if report.fault else report.images:
            if owners.setdefault(image, report) is not report:
                problem = f"image {image} is in {owners[image].name} and in {report.name}"
                raise DataError(place, problem, "Use the reports as downloaded.")
    paths = {image: next((files[name] for name in _spellings(image) if name in files), None) for image in owners}
    absent = report_absent([image for image, path in paths.items() if path is None], len(paths), place, root)
    images = [image for image, path in paths.items() if path is not None]
    if known_views is not None and views:
        frontal = [image for image in images if known_views.get(image) in views]
        message = "openi: %d of %d images have another view than %s, or none that is known"
        logger.info(message, len(images) - len(frontal), len(images), "/".join(views))
        images = frontal
        if not images:
            raise DataError(folder, f"no image with view {views}", "Name the views to read: views=….")
    elif views and not all(paths[image].suffix.lower() in DICOM_SUFFIXES for image in images):
        problem = "no table says which images are frontal"
        raise DataError(folder, problem, "Give tables=torchxrayvision, or views= (empty) to read all of them.")

    def studies() -> Iterator[Study]:
        other_views = 0
        for image in images:
            if known_views is None and views and not header_has_view(paths[image], views):
                other_views += 1
                continue
            report = owners[image]
            yield Study(
                study_id=report.patient,
                image_id=image,
                patient_id=report.patient,
                dataset="openi",
                image_path=paths[image],
                view=known_views.get(image) if known_views is not None else None,
                report=report.text,
                labels=_labels(report.codes),
                provenance={"report": report.name},
                fault=report.fault,
            )
        if other_views:
            logger.info("openi: %d images had another view than %s", other_views, "/".join(views))

    return Studies(studies(), len(images), absent)


def _read_reports(root: Path, tables: Path, given: str | Path | None) -> tuple[Path, list[Report]]:
    """Where the reports are, and all of them in the order of their numbers."""
    names = ("ecgen-radiology", "NLMCXR_reports.tgz", "NLMCXR_reports")
    places = [place / name for place in dict.fromkeys((root, tables)) for name in names]
    place = Path(given) if given is not None else next((place for place in places if place.exists()), None)
    if place is None:
        problem = f"no {' or '.join(names[:2])}"
        if (root / KAGGLE_REPORTS).is_file():
            problem += f"; {KAGGLE_REPORTS} is Kaggle's table, and the reports are read as XML"
            remedy = f"Put {names[0]} or {names[1]} (from {REPORTS_URL}) beside the images."
            remedy += " tables=torchxrayvision has them, too."
            raise DataError(root, problem, remedy)
        raise DataError(root, problem, "Download the reports into it, or name them by reports=….")
    texts = TextFiles(place)
    found = []
    for name in texts.names():
        if not name.endswith(".xml"):
            continue
        try:
            found.append(_parse(name, texts.read(name), f"{place}: {name}"))
        except RecordError as error:
            found.append(Report(name, f"CXR{PurePosixPath(name).stem}", fault=str(error)))
    if not found:
        raise DataError(place, "no XML report in it", "Download the reports again, or name them by reports=….")
    return place, sorted(found, key=lambda report: (len(report.patient), report.patient))


def _spellings(image: str) -> tuple[str, ...]:
    """File names without suffix of an image as the reports call it: as NLMCXR_png, NLMCXR_dcm and Kaggle spell it.

    The reports and NLMCXR_png have the number of the first one twice: CXR1_1_IM-0001-3001 is 1_IM-0001-3001 elsewhere.
    """
    number = image.removeprefix("CXR")
    once = re.sub(r"^(\d+)_\1_", r"\1_", number)
    return image, number, once, f"{once}.dcm"


def _images_by_name(report: Report, files: dict[str, Path]) -> list[str]:
    """The images that belong to a report by their names, where the report itself cannot say."""
    names = (f"CXR{name.removeprefix('CXR').removesuffix('.dcm')}" for name in files)
    return [name for name in names if name.startswith(f"{report.patient}_")]


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
    sections = {one.get("Label", "").upper(): (one.text or "").strip() for one in root.iter("AbstractText")}
    said = any(sections.get(section) for section in SPEAKING)
    lines = [f"{section}: {words}" for section, words in sections.items() if words]
    return Report(
        name=name,
        patient=patient.get("id"),
        text="\n\n".join(lines) if said else None,
        codes=tuple((one.text or "").strip() for one in root.iterfind("MeSH/major")),
        images=tuple(one.get("id", "") for one in root.iter("parentImage")),
    )


def _labels(codes: tuple[str, ...]) -> dict[str, float]:
    speaking = [code for code in codes if code.split("/")[0].strip() not in NO_CODE]
    if not speaking:
        return dict.fromkeys(CODES, float("nan"))
    return {
        name: float(any(f"{code}/".startswith(f"{start}/") for code in speaking for start in starts))
        for name, starts in CODES.items()
    }


def _views(folder: Path) -> dict[str, str] | None:
    """Image -> view, of those whose view is known; None without a table."""
    headers = find_table(folder, "nlmcxr_dicom_metadata.csv", required=False)
    derived = find_table(folder, "nlmcxr_tsne_pa.csv", required=False)
    if headers is None and derived is None:
        return None
    views = _column(headers, "View Position")
    if derived is not None:
        by_tsne = _column(derived, "tsne-view")
        views = {image: view for image, view in views.items() if view not in FRONTAL_VIEWS or image in by_tsne}
        for image, view in by_tsne.items():
            if view != "PA":
                views[image] = "LATERAL"
            elif views.get(image) not in FRONTAL_VIEWS:
                views[image] = "PA"
    return views


def _column(path: Path | None, name: str) -> dict[str, str]:
    if path is None:
        return {}
    table = read_table(path, ["imageid", name], filled=["imageid"])
    require_unique(table, "imageid", path)
    table = table[table[name].notna()]
    return dict(zip(table["imageid"], table[name], strict=True))
