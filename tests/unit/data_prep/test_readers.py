"""Each reader on a tiny layout written by hand."""

import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep import covid, mimic, nih, rsna, siim
from data_prep.study import Box


def by_image(studies):
    return {study.image_id: study for study in studies}


def test_nih(nih_layout, caplog):
    studies = nih.read(nih_layout)
    assert studies.__length_hint__() == 7
    images = by_image(studies)
    assert len(images) == 7 and "1 of its 8 images are not below" in caplog.text
    first = images["00000001_000"]
    assert (first.patient_id, first.view, first.age_years, first.sex) == ("00000001", "PA", 40.0, "M")
    assert {name for name, value in first.labels.items() if value} == {"Effusion", "Infiltration"}
    assert len(first.labels) == 15 and set(first.labels.values()) == {0.0, 1.0}
    assert images["00000001_001"].labels["No Finding"] == 1.0
    assert first.box_frame_px == (1024, 1024)
    assert [(box.label, box.x, box.y, box.width, box.height) for box in first.boxes] == [
        ("Infiltration", 256.0, 512.0, 128.0, 64.0),
        ("Effusion", 0.0, 0.0, 1024.0, 512.0),
    ]
    assert images["00000002_000"].boxes[0].source.endswith("BBox_List_2017.csv row 4")
    assert [study.split for study in images.values()] == ["train_val"] * 5 + ["test"] * 2
    assert first.image_path.is_file() and images["00000001_001"].image_path.parts[-3] == "images_002"


def test_nih_tables_elsewhere_without_lists_or_boxes(nih_layout, tmp_path):
    (tmp_path / "tables").mkdir()
    text = (nih_layout / "Data_Entry_2017_v2020.csv").read_text().replace("Gender", "Sex").replace(",40,", ",040Y,")
    (tmp_path / "tables" / "Data_Entry_2017.csv").write_text(text)
    studies = list(nih.read(nih_layout, tables=tmp_path / "tables"))
    assert len(studies) == 7 and {study.split for study in studies} == {None}
    assert (studies[0].age_years, studies[0].sex, studies[0].boxes) == (40.0, "M", ())


def test_rsna(rsna_layout):
    images = by_image(rsna.read(rsna_layout))
    assert list(images) == list("abcd")
    source = f"{rsna_layout / 'stage_2_train_labels.csv'} row 3"
    assert images["b"].boxes[0] == Box("Pneumonia", 8.0, 16.0, 4.0, 32.0, source)
    assert len(images["b"].boxes) == 2 and images["a"].boxes == ()
    assert [study.labels["Pneumonia"] for study in images.values()] == [0, 1, 0, 1]
    assert images["c"].labels["No Lung Opacity / Not Normal"] == 1
    assert [study.patient_id for study in images.values()] == ["00000007", "00000007", "00000008", "00000009"]


def test_rsna_without_the_optional_tables(rsna_layout):
    (rsna_layout / "nih_image_index.csv").unlink()
    (rsna_layout / "stage_2_detailed_class_info.csv").unlink()
    images = by_image(rsna.read(rsna_layout))
    assert images["a"].patient_id == "a" and set(images["a"].labels) == {"Pneumonia"}


def test_siim(siim_layout):
    images = by_image(siim.read(siim_layout))
    assert [study.labels["Pneumothorax"] for study in images.values()] == [0, 1, 1]
    assert images["1.2.1"].masks == ()
    one = images["1.2.2"].masks[0]
    assert (one.label, one.kind) == ("pneumothorax", "pathology")
    expected = np.zeros((64, 64), bool)
    expected[0:3, 1] = True
    expected[0:2, 2] = True
    np.testing.assert_array_equal(one.load(), expected)
    both = images["1.2.3"].masks[0].load()  # two annotations: the first and the last column
    np.testing.assert_array_equal(np.flatnonzero(both.any(axis=0)), [0, 63])
    assert both.sum() == 128


def test_siim_flat_copies_are_coded_in_the_released_frame(siim_layout):
    shutil.rmtree(siim_layout / "dicom-images-train")
    for image in ("1.2.1", "1.2.2", "1.2.3"):
        cv2.imwrite(str(siim_layout / f"{image}.png"), np.zeros((32, 32), np.uint8))
    assert by_image(siim.read(siim_layout))["1.2.2"].masks[0].load().shape == (1024, 1024)


def test_mimic(mimic_layout):
    images = by_image(mimic.read(mimic_layout))
    assert list(images) == ["a-1", "a-2", "b-1", "c-1"]  # the lateral image is left out
    first = images["a-1"]
    assert (first.study_id, first.patient_id, first.split, first.view) == ("s50414267", "p10000032", "train", "PA")
    assert first.report.startswith("FINDINGS: There is no pleural effusion.")
    assert (first.labels["Consolidation"], first.labels["Pleural Effusion"]) == (1.0, 0.0)
    assert math.isnan(first.labels["Pneumonia"]) and math.isnan(first.labels["Edema"])
    assert len(first.labels) == 14 and images["b-1"].split == "validate"
    assert "a-3" in by_image(mimic.read(mimic_layout, views=None))
    assert list(by_image(mimic.read(mimic_layout, views=("LATERAL",)))) == ["a-3"]


@pytest.mark.parametrize("place", ["mimic/mimic-cxr-reports/files", "mimic-cxr-reports/files", "elsewhere"])
def test_mimic_reports_in_their_own_tree(mimic_layout, place):
    for report in list((mimic_layout / "files").rglob("*.txt")):
        target = mimic_layout.parent / place / report.relative_to(mimic_layout / "files")
        target.parent.mkdir(parents=True, exist_ok=True)
        report.rename(target)
    options = {"reports": mimic_layout.parent / place} if place == "elsewhere" else {}
    assert all(study.report for study in mimic.read(mimic_layout, **options))


def test_mimic_without_reports_says_so(mimic_layout, caplog):
    for report in list((mimic_layout / "files").rglob("*.txt")):
        report.unlink()
    assert all(study.report is None and study.fault is None for study in mimic.read(mimic_layout))
    assert "no reports in" in caplog.text


def test_covid(covid_layout):
    images = by_image(covid.read(covid_layout))
    assert list(images) == ["a.jpg", "c.jpg", "d.png"]  # neither the lateral view nor the CT slice
    first = images["a.jpg"]
    assert (first.patient_id, first.age_years, first.sex, first.view) == ("2", 65.0, "M", "PA")
    assert first.report == 'Bilateral opacities, "patchy"\nand effusion.' and images["c.jpg"].report is None
    assert {name for name, value in first.labels.items() if value == 1} == {"COVID-19", "ARDS"}
    assert all(math.isnan(value) for value in images["c.jpg"].labels.values())
    assert first.provenance["license"] == "CC BY"
    assert [(mask.kind, mask.label) for mask in first.masks] == [
        ("anatomy", "right_lung_unspec"), ("anatomy", "left_lung_unspec"), ("pathology", "tube"), ("pathology", "tube"),
    ]  # fmt: skip
    assert first.masks[0].load()[8:40, :16].all()
    assert "b.jpg" in by_image(covid.read(covid_layout, frontal_only=False))


def test_relative_roots_work(mimic_layout, monkeypatch):
    monkeypatch.chdir(mimic_layout)
    assert len(list(mimic.read(Path(".")))) == 4
