"""Indiana University chest radiographs (OpenI) as downloaded from there or from Kaggle: PNG or DICOM, and reports.

    <root>/CXR1000_IM-0003-2001.png      NLMCXR_png, or 1000/1000_IM-0003-2001.dcm of NLMCXR_dcm, or Kaggle's
        images_normalized/1000_IM-0003-2001.dcm.png; anywhere below root
    <reports>      XML or Kaggle's tables: see `data_prep.openi_reports`
    <tables>/nlmcxr_dicom_metadata.csv.gz, nlmcxr_tsne_pa.csv.gz      optional: views, shipped by torchxrayvision

Labels are the codes that two people gave each report (MeSH/major), matched whole. torchxrayvision looks for words
anywhere in the automatic codes, and so counts a pericardial effusion as a pleural one.

The headers call many lateral images "PA". Kaggle's table of images tells frontal (3,818) from lateral by eye, and is
believed where it is there. Else torchxrayvision ships the views that t-SNE found for one image per report: where its
table is there, "PA" and "AP" are believed only of the images that it calls PA (3,267).

Source: Demner-Fushman et al., JAMIA 2016; views: Cohen et al., TorchXRayVision, MIDL 2022, and kaggle.com/datasets/
raddar/chest-xrays-indiana-university.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data_prep.errors import DataError
from data_prep.files import DICOM_SUFFIXES, index_images, report_absent
from data_prep.openi_reports import KAGGLE_IMAGES, Report, kaggle_projections, number_once, read_reports
from data_prep.study import Studies, Study
from data_prep.tables import find_optional, find_table, names_of_option, read_table, require_unique, tables_folder
from data_prep.views import FRONTAL_VIEWS, no_such_view, of_views

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

VIEWS = (*FRONTAL_VIEWS, "FRONTAL")
"""Read by default; "FRONTAL" where only that is known."""


def read(
    root: Path,
    views: str | Sequence[str] | None = VIEWS,
    reports: str | Path | None = None,
    tables: str | Path | None = None,
) -> Studies:
    """Reads the images in the order of the reports; those not below root are left out.

    Args:
        root: folder with the images anywhere below it.
        views: of the tables, or else of the DICOM headers ("PA,AP" or a list); None or "" for all.
        reports: the folder ecgen-radiology or NLMCXR_reports.tgz. Default: looked for by these names in root and in
            the tables' folder, and then for Kaggle's tables there.
        tables: folder of the tables, if not root; "torchxrayvision" takes tables and reports that this package ships.

    Raises:
        DataError: no report or image there, an image in two reports, a table not as published, or no view known.
    """
    root = Path(root)
    views = names_of_option(views)
    folder = tables_folder(root, tables)
    place, found = read_reports(root, folder, reports)
    known_views = _views(root, folder)
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
        frontal = [image for image in images if known_views.get(number_once(image)) in views]
        message = "openi: %d of %d images have another view than %s, or none that is known"
        logger.info(message, len(images) - len(frontal), len(images), "/".join(views))
        if not frontal:
            raise no_such_view(folder, views, pd.Series([known_views.get(number_once(image)) for image in images]))
        images = frontal
    elif views and not all(paths[image].suffix.lower() in DICOM_SUFFIXES for image in images):
        problem = "no table says which images are frontal"
        remedy = "Give tables=torchxrayvision (`--option tables=torchxrayvision`), or empty views (`--option views=`)."
        raise DataError(folder, problem, remedy)

    def studies() -> Iterator[Study]:
        for image in images:
            report = owners[image]
            yield Study(
                study_id=report.patient,
                image_id=image,
                patient_id=report.patient,
                dataset="openi",
                image_path=paths[image],
                view=known_views.get(number_once(image)) if known_views is not None else None,
                report=report.text,
                labels=_labels(report.codes),
                provenance={"report": report.name},
                fault=report.fault,
            )

    return Studies(of_views(studies(), views, root.absolute()), len(images), absent)


def _spellings(image: str) -> tuple[str, ...]:
    """File names without suffix of an image as the reports call it: as NLMCXR_png, NLMCXR_dcm and Kaggle spell it.

    The reports and NLMCXR_png have the number of the first one twice: CXR1_1_IM-0001-3001 is 1_IM-0001-3001 elsewhere.
    """
    number = image.removeprefix("CXR")
    once = number_once(number)
    return image, number, once, f"{once}.dcm"


def _images_by_name(report: Report, files: dict[str, Path]) -> list[str]:
    """The images that belong to a report by their names, where the report itself cannot say."""
    names = (f"CXR{name.removeprefix('CXR').removesuffix('.dcm')}" for name in files)
    return [name for name in names if name.startswith(f"{report.patient}_")]


def _labels(codes: tuple[str, ...]) -> dict[str, float]:
    speaking = [code for code in codes if code.split("/")[0].strip() not in NO_CODE]
    if not speaking:
        return dict.fromkeys(CODES, float("nan"))
    return {
        name: float(any(f"{code}/".startswith(f"{start}/") for code in speaking for start in starts))
        for name, starts in CODES.items()
    }


def _views(root: Path, folder: Path) -> dict[str, str] | None:
    """Image, its number once -> view, of those whose view is known; None without a table."""
    kaggle = find_optional((root, folder), KAGGLE_IMAGES)
    headers = find_table(folder, "nlmcxr_dicom_metadata.csv", required=False)
    derived = find_table(folder, "nlmcxr_tsne_pa.csv", required=False)
    if kaggle is None and headers is None and derived is None:
        return None
    views = _column(headers, "View Position")
    if kaggle is not None:
        known = {}
        for image, projection in kaggle_projections(kaggle).items():
            agrees = (views.get(image) in FRONTAL_VIEWS) == (projection == "Frontal")
            known[image] = views[image] if image in views and agrees else projection.upper()
        return known
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
    return dict(zip(table["imageid"].map(number_once), table[name], strict=True))
