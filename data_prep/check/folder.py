"""What lies below a dataset's root, and which of it nothing asks for."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.check.columns import lines_of, tables_of
from data_prep.check.finding import NOTE, WARNING, Finding
from data_prep.files import IMAGE_SUFFIXES, walk
from data_prep.mimic import REPORTS as MIMIC_REPORTS
from data_prep.tables import as_option

ARCHIVES = (".tar", ".tgz", ".tar.gz", ".zip", ".7z")
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp", ".aria2")
LISTED_IN = (".csv", ".csv.gz", ".csv.zip", ".xml", ".txt")
TEST_SETS = {
    "rsna": {"stage_1_test_images", "stage_2_test_images"},
    "siim": {"dicom-images-test", "stage_2_images"},
}
"""Dataset -> folders of the images that its challenge was decided on, published without labels."""

REPORTS = "reports.tgz"
"""How the name of an archive ends that may hold reports, and they name images; other archives hold the images."""

BETWEEN_NAMES = re.compile(r"""\s*[\t\r\n,;|"'<>=/\\]+\s*""")


@dataclass
class Folder:
    """The files below a root. images: path below the root -> its name without suffix."""

    root: Path
    suffixes: Counter = field(default_factory=Counter)
    images: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    lists: list[Path] = field(default_factory=list)  # tables that may name images


def scan(root: Path, reports: str | Path | None = None) -> Folder:
    """Walks through a folder; no file is opened.

    Args:
        root: the folder.
        reports: archive or folder that the reader is told to take reports from.
    """
    found = Folder(root)
    read_as_they_are = {MIMIC_REPORTS, Path(reports or "").name}
    for place, names in walk(root):
        for name in names:
            path = Path(place, name)
            below = path.relative_to(root).as_posix()
            stem, suffix = os.path.splitext(name)
            found.suffixes[suffix.lower()] += 1
            if suffix.lower() in IMAGE_SUFFIXES:
                found.images[below] = stem
            elif name.lower().endswith(UNFINISHED):
                problem = "a download that did not end"
                found.findings.append(Finding(WARNING, "unfinished download", below, problem, "Download it again."))
            elif name.lower().endswith(LISTED_IN) and (place == str(root) or suffix.lower() == ".xml"):
                found.lists.append(path)
            elif name.endswith(REPORTS):
                found.lists.append(path)
            elif name.lower().endswith(ARCHIVES) and name not in read_as_they_are:
                problem = "an archive, which is not looked into"
                found.findings.append(Finding(NOTE, "archive", below, problem, "Unpack it, if that is not done yet."))
    return found


def extra_images(
    folder: Folder, read: Iterable[str], dataset: str, tables: Path, views: Iterable[str] = ()
) -> list[Finding]:
    """Image files that no study was made of: those that a table names, or of a test set, were left out, the others are
    strangers.

    Args:
        folder: what lies there.
        read: paths below the root of the images that studies were made of.
        dataset: a name in `READERS`.
        tables: folder of the dataset's tables, if not the root.
        views: that the reader takes, if not all.
    """
    left = {path: _names(path, folder.images[path]) for path in folder.images.keys() - set(read)}
    names = {name for spellings in left.values() for name in spellings}
    beside = [*(path for path, _ in tables_of(dataset, tables)), *tables.glob(f"*{REPORTS}")]
    lists = dict.fromkeys([*folder.lists, *beside])
    named: set[str] = set()
    for path in lists if names else ():
        for line in lines_of(path):
            named.update(names.intersection(BETWEEN_NAMES.split(line)))
    taken = ", ".join(views)
    left_out = f"named by a table, and left out by the reader{taken and f', which takes the views {taken}'}"
    remedy = f"If its view is another one, it is read with {as_option('views')}." if taken else ""
    findings = []
    for path, spellings in sorted(left.items()):
        if not TEST_SETS.get(dataset, set()).isdisjoint(Path(path).parts):
            problem = "of the dataset's own test set, whose labels no table here has"
            findings.append(Finding(NOTE, "image left out", path, problem, "It is not used, and need not be."))
        elif not named.isdisjoint(spellings):
            findings.append(Finding(NOTE, "image left out", path, left_out, remedy))
        else:
            problem = "no table names this image"
            findings.append(Finding(WARNING, "extra image", path, problem, "It is not used; complete the table."))
    return findings


def _names(path: str, stem: str) -> tuple[str, str, str]:
    """What a table may call an image file: its name, without its suffix, and as Indiana's reports name Kaggle's."""
    return Path(path).name, stem, f"CXR{stem.removesuffix('.dcm')}"
