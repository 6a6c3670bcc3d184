"""The label tables of the real releases, which torchxrayvision ships whole, parse to the last row.

The images are not there: a reader is given a name for each of them.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep import nih, openi, openi_reports, rle, rsna, siim
from data_prep.tables import find_table, read_table, tables_folder

SHIPPED = "torchxrayvision"


@pytest.fixture(scope="module")
def shipped() -> Path:
    pytest.importorskip(SHIPPED, reason="torchxrayvision, which ships the tables, is not installed")
    return tables_folder(None, SHIPPED)


class EveryName(dict):
    """Says of every image that it is there."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Path:
        return Path(f"{name}.png")

    def get(self, name: str, default: object = None) -> Path:
        return self[name]


@pytest.fixture
def all_there(monkeypatch):
    for module in (nih, rsna, siim, openi):
        monkeypatch.setattr(module, "index_images", lambda root: EveryName())


@pytest.fixture(scope="module")
def xrv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(SHIPPED, reason="torchxrayvision is not installed")


def test_nih(shipped, all_there, xrv):
    studies = list(nih.read(Path("."), tables=SHIPPED))
    assert len(studies) == 112_120 and len({study.patient_id for study in studies}) == 30_805
    assert sum(len(study.boxes) for study in studies) == 984
    assert sum(bool(study.boxes) for study in studies) == 880
    theirs = xrv.datasets.NIH_Dataset(".", views=["*"], unique_patients=False)
    assert [study.image_path.name for study in studies] == theirs.csv["Image Index"].tolist()
    ours = np.array([[study.labels[name] for name in theirs.pathologies] for study in studies])
    np.testing.assert_array_equal(ours, theirs.labels)
    assert [study.view for study in studies] == theirs.csv["view"].tolist()
    ages = pd.Series([study.age_years for study in studies], dtype=float)
    stated = theirs.csv["age_years"].astype(float)
    assert ages[stated <= 120].tolist() == stated[stated <= 120].tolist() and ages[stated > 120].isna().all()
    assert {study.sex for study in studies} == {"M", "F"}


def test_rsna(shipped, all_there):
    table = read_table(find_table(shipped, "kaggle_stage_2_train_labels.csv"), [])
    assert len(table) == 30_227
    studies = list(rsna.read(Path("."), tables=SHIPPED))
    assert len(studies) == 26_684
    assert sum(len(study.boxes) for study in studies) == (table["Target"] == "1").sum() == 9_555
    assert sum(study.labels["Pneumonia"] for study in studies) == 6_012
    # Copies as PNG have no header: view, age and sex come from the table of headers.
    assert {study.view for study in studies} == {"PA", "AP"} and {study.sex for study in studies} == {"M", "F"}
    assert np.median([study.age_years for study in studies if study.age_years is not None]) == 49


def test_siim(shipped, all_there):
    table = read_table(find_table(shipped, "siim-pneumothorax-train-rle.csv"), [])
    annotated = table[table["EncodedPixels"].str.strip() != rle.EMPTY]
    studies = list(siim.read(Path("."), tables=SHIPPED))
    assert len(studies) == table["ImageId"].nunique() == 12_047
    assert sum(study.labels["Pneumothorax"] for study in studies) == annotated["ImageId"].nunique() == 2_669
    assert not any(study.fault for study in studies)
    assert len(annotated) == 3_576  # 907 more than images: they are united
    for text, row in zip(annotated["EncodedPixels"][::8], annotated["row"][::8], strict=True):
        assert rle.decode(text, 1024, 1024, f"row {row}").any()


def test_openi(shipped, all_there):
    studies = list(openi.read(Path("."), views=None, tables=SHIPPED))
    assert len(studies) == 7_470 and not any(study.fault for study in studies)
    assert len({study.patient_id for study in studies}) == 3_851  # 104 of the 3,955 reports have no image
    assert len(openi_reports.read_reports(Path("."), shipped, None)[1]) == 3_955
    frontal = list(openi.read(Path("."), tables=SHIPPED))
    assert len(frontal) == len({study.patient_id for study in frontal}) == 3_267
    assert {study.view for study in frontal} == {"PA", "AP"}
    assert sum(study.report is None for study in frontal) < 30
    assert sum(np.isnan(study.labels["No Finding"]) for study in frontal) < 101


def test_openi_labels_are_the_people_s_codes_where_torchxrayvision_finds_words_in_the_automatic_ones(xrv, all_there):
    theirs = xrv.datasets.Openi_Dataset(".", views=["*"], unique_patients=False)
    place = {name: index for index, name in enumerate(theirs.csv["imageid"])}
    studies = [study for study in openi.read(Path("."), views=None, tables=SHIPPED)]
    studies = [study for study in studies if not np.isnan(study.labels["Effusion"])]
    rows = [place[study.image_id] for study in studies]
    for name in ("Atelectasis", "Cardiomegaly", "Emphysema", "Hernia", "Pneumothorax", "Nodule"):
        ours = np.array([study.labels[name] for study in studies])
        assert (ours == theirs.labels[rows, theirs.pathologies.index(name)]).mean() > 0.96, name
    automatic = theirs.csv["labels_automatic"].iloc[rows].str.split("|")
    effusions = theirs.labels[rows, theirs.pathologies.index("Effusion")]
    only_heart = [
        study.labels["Effusion"]
        for study, words, effusion in zip(studies, automatic, effusions, strict=True)
        if effusion and {word for word in words if "effusion" in word} == {"pericardial effusion"}
    ]
    assert len(only_heart) > 5 and np.mean(only_heart) < 0.5
