"""Each fault that a dataset may have is found by the check, and a dataset without fault passes."""

import json
import shutil
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from data_prep import READERS
from data_prep.__main__ import main
from data_prep.check import check, dataset
from data_prep.check.columns import unexpected_columns
from data_prep.check.image import INVERTED_BELOW, chest_likeness
from data_prep.doubts import looks_foreign
from data_prep.errors import DataError
from data_prep.image import read_grey
from data_prep.phantom.generate import generate
from data_prep.study import Studies, Study

STUDIES = {"mimic": 3, "nih": 6, "rsna": 3, "siim": 3}
HARMLESS = {"image left out", "reader warns"}
CANARY = "ZZCANARY"
PATIENT_TAGS = ("PatientName", "PatientID", "PatientAddress", "ReferringPhysicianName", "InstitutionName",
                "AccessionNumber", "StudyDescription", "ViewPosition")  # fmt: skip


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("phantom"), STUDIES, 96, seed=3, processes=1)


@pytest.fixture
def copy(phantom: Path, tmp_path: Path):
    """A copy of a phantom dataset, to put faults into."""

    def copy_of(name: str) -> Path:
        for folder in (name, "mimic-cxr-reports") if name == "mimic" else (name,):
            shutil.copytree(phantom / folder, tmp_path / folder)
        return tmp_path / name

    return copy_of


def images(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in (".png", ".jpg", ".dcm"))


def kinds(report) -> dict[str, str]:
    return {finding.kind: finding.severity for finding in report.findings}


@pytest.mark.parametrize("name", STUDIES)
def test_a_dataset_without_fault_passes(phantom, name):
    report = check(name, phantom / name, processes=1)
    assert not kinds(report).keys() - HARMLESS, report.findings
    assert report.errors == 0 and report.studies == report.looked_at > 0 and report.pictures and not report.suspects
    counts = report.counts.set_index(["what", "value"])["count"]
    assert counts["size", "96 x 96 px"] == report.studies
    assert counts["view"].sum() == counts["split"].sum() == report.studies
    assert counts["with", "report"] == (report.studies if name == "mimic" else 0)


def test_counts(nih_layout):
    counts = check("nih", nih_layout, processes=1).counts.set_index(["what", "value"])
    assert counts.loc[("split", "train_val"), "count"] == 5 and counts.loc[("split", "test"), "count"] == 2
    assert tuple(counts.loc[("label", "Effusion"), ["count", "of"]]) == (1, 7)
    assert counts.loc[("view", "PA"), "count"] == 4 and counts.loc[("patients", ""), "count"] == 6
    assert counts.loc[("files", ".png"), "count"] == 7 and counts.loc[("with", "box"), "count"] == 2


def test_what_headers_tell_is_counted(siim_layout):
    counts = check("siim", siim_layout, processes=1).counts.set_index(["what", "value"])
    told = {name: tuple(counts.loc[("with", name), ["count", "of"]]) for name in ("patient", "age", "report")}
    assert told == {"patient": (3, 3), "age": (0, 3), "report": (0, 3)}


def _first(root: Path) -> Path:
    return images(root)[0]


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _pixels(root: Path, change) -> None:
    path = _first(root)
    assert cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))


def _truncate(root: Path) -> None:
    _first(root).write_bytes(_first(root).read_bytes()[:500])


def _box_far_out(root: Path) -> None:
    header = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    (root / "BBox_List_2017.csv").write_text(f"{header}{_first(root).name},Mass,1000,10,200,50,,,\n")


FAULTS = {
    "empty file": (lambda root: _first(root).write_bytes(b""), "unreadable image", "error"),
    "truncated": (_truncate, "unreadable image", "error"),
    "pointer": (
        lambda root: _first(root).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "Git LFS pointer",
        "error",
    ),
    "missing": (lambda root: _first(root).unlink(), "missing image", "warning"),
    "extra": (lambda root: shutil.copy(_first(root), root / "stranger 1.png"), "extra image", "warning"),
    "twice": (lambda root: shutil.copy(_first(root), images(root)[1]), "same image", None),
    "inverted": (partial(_pixels, change=lambda pixels: 255 - pixels), "looks inverted", "warning"),
    "constant": (partial(_pixels, change=lambda pixels: np.full_like(pixels, 77)), "constant image", "error"),
    "blank": (partial(_pixels, change=lambda pixels: pixels // 32 + 90), "nearly blank image", "warning"),
    "box": (_box_far_out, "box out of its image", "error"),
    "column": (
        lambda root: _rewrite(root / "Data_Entry_2017_v2020.csv", "Follow-up #", "Follow up"),
        "unexpected column",
        "warning",
    ),
    "archive": (lambda root: (root / "images_001.tar.gz").touch(), "archive", "note"),
    "unfinished": (lambda root: (root / "images_002.tar.gz.part").touch(), "unfinished download", "warning"),
    "label": (
        lambda root: _rewrite(root / "Data_Entry_2017_v2020.csv", "No Finding", "Nothing"),
        "reader stops",
        "error",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(copy, fault):
    root = copy("nih")
    put, kind, severity = FAULTS[fault]
    put(root)
    report = check("nih", root, processes=1)
    found = [finding for finding in report.findings if finding.kind.startswith(kind)]
    assert len(found) == 1 and severity in (found[0].severity, None)
    assert not {finding.kind for finding in report.findings} - {found[0].kind} - HARMLESS
    assert str(root) not in str(report), "paths are told below the root"
    assert bool(report.errors) == (found[0].severity == "error")


def test_the_remedy_is_told_beside_the_problem(mimic_layout):
    (mimic_layout / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    report = check("mimic", mimic_layout, processes=1)
    said = "no tables match mimic-cxr-2.*-chexpert.csv[.gz]. Download it into this folder, or name the tables' folder"
    remedy = report.table().set_index("finding").loc["reader stops", "remedy"]
    assert said in str(report) and "tables=… (`--option tables=…`)" in remedy


@pytest.mark.parametrize("name, option", [("mimic-cxr-reports.zip", {}), ("mine.zip", {"reports": "mine.zip"})])
def test_an_archive_that_the_reader_reads_is_not_said_to_be_left_alone(mimic_layout, monkeypatch, name, option):
    with zipfile.ZipFile(mimic_layout / name, "w") as archive:
        for text in list((mimic_layout / "files").rglob("*.txt")):
            archive.write(text, text.relative_to(mimic_layout))
            text.unlink()
    monkeypatch.chdir(mimic_layout)
    (mimic_layout / "images.zip").touch()
    report = check("mimic", mimic_layout, processes=1, **option)
    assert report.counts.set_index("value")["count"]["report"] == 4
    assert [finding.where for finding in report.findings if finding.kind == "archive"] == ["images.zip"]


def test_the_columns_of_a_table_zipped_on_a_mac_are_those_of_the_table(nih_layout):
    table = nih_layout / "Data_Entry_2017_v2020.csv"
    text = table.read_text()
    table.unlink()
    for given, expected in ((text, set()), (text.replace("Follow-up #", "Follow up"), {"unexpected column"})):
        with zipfile.ZipFile(f"{table}.zip", "w") as archive:
            archive.writestr(f"__MACOSX/._{table.name}", "other,columns\n")
            archive.writestr(table.name, given)
        assert {finding.kind for finding in unexpected_columns("nih", nih_layout)} == expected


def test_what_nih_lacks_is_a_warning(nih_layout):
    for name in ("BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"):
        (nih_layout / name).unlink()
    said = [f.problem for f in check("nih", nih_layout, processes=1).findings if f.kind == "reader warns"]
    assert len(said) == 2 and "there are no boxes" in said[0] and "not the official one" in said[1]


def test_images_are_opened_even_if_the_reader_stops(copy):
    root = copy("nih")
    _truncate(root)
    (root / "Data_Entry_2017_v2020.csv").unlink()
    assert {"reader stops", "unreadable image"} <= kinds(check("nih", root, processes=1)).keys()


def test_a_patient_in_two_splits_and_one_image_in_both(nih_layout):
    _rewrite(nih_layout / "train_val_list.txt", "00000001_001.png\n", "")
    with (nih_layout / "test_list.txt").open("a") as file:
        file.write("00000001_001.png\n")
    shutil.copy(nih_layout / "images_001/images/00000001_000.png", nih_layout / "images_002/images/00000001_001.png")
    found = {finding.kind: finding for finding in check("nih", nih_layout, processes=1).findings}
    assert "00000001_000 in train_val, 00000001_001 in test" in found["patient in two splits"].problem
    assert "images_001/images/00000001_000.png" in found["same image in two splits"].problem
    assert found["same image in two splits"].severity == "error"


def test_empty_and_missing_reports(copy):
    root = copy("mimic")
    reports = sorted((root.parent / "mimic-cxr-reports").rglob("*.txt"))
    reports[0].write_text(" \n")
    reports[1].unlink()
    found = kinds(check("mimic", root, processes=1))
    assert found["empty report"] == found["incomplete record"] == "error"


def test_boxes_of_dicom_images_and_masks(rsna_layout, siim_layout):
    _rewrite(rsna_layout / "stage_2_train_labels.csv", "d,0,0,64,64", "d,0,0,64,80")
    assert kinds(check("rsna", rsna_layout, processes=1))["box out of its image"] == "error"
    _rewrite(siim_layout / "train-rle.csv", "1.2.3,4032 64", "1.2.3,4090 64")
    assert kinds(check("siim", siim_layout, processes=1))["unusable mask"] == "error"


def test_masks_and_lateral_views_are_no_strangers(covid_layout):
    report = check("covid", covid_layout, processes=1)
    left_out = [finding.where for finding in report.findings if finding.kind == "image left out"]
    assert left_out == ["images/b.jpg"] and "extra image" not in kinds(report)
    assert "which takes the views PA, AP, FRONTAL. If its view is another one" in str(report)
    every_view = str(check("covid", covid_layout, processes=1, views=""))
    assert "left out" not in every_view


def test_images_without_a_patient_are_a_note(tmp_path):
    (tmp_path / "manifest.csv").write_text("path\na.png\n")
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(4096, dtype=np.uint8).reshape(64, 64))
    report = check("manifest", tmp_path, processes=1)
    assert kinds(report)["reader notes"] == "note" and "each image counts as a patient of its own" in str(report)


GERMAN = "Befund: Keine Infiltrate in beiden Lungen. Kein Nachweis von Pleuraerguss. Kein Pneumothorax."
SPANISH = "No se observan consolidaciones. No hay derrame pleural. Silueta cardiaca de tamaño normal. No pneumothorax."
TERSE = "Clear lungs. Normal heart. No pneumothorax. Heart size normal."


def _of_reports(root: Path, reports: list[str]) -> list[tuple[str, str, str, str]]:
    """What a check says of the reports of images of one's own."""
    (root / "manifest.csv").write_text(
        "path,report\n" + "".join(f'{i}.png,"{text}"\n' for i, text in enumerate(reports))
    )
    for number in range(len(reports)):
        cv2.imwrite(str(root / f"{number}.png"), np.full((8, 8), number, np.uint8))
    findings = check("manifest", root, processes=1).findings
    return [(f.severity, f.kind, f.where, f.problem) for f in findings if "reports" in f.kind]


@pytest.mark.parametrize("foreign", [GERMAN, SPANISH])
def test_reports_that_are_not_in_english_are_warned_of(tmp_path, foreign):
    ((severity, kind, where, problem),) = _of_reports(tmp_path, ["Small left effusion.", foreign, foreign])
    assert (severity, kind, where) == ("warning", "foreign reports", "manifest.csv row 3")
    assert problem.startswith("2 of 3 reports, this the first of them, do not look English") and "Translate" in problem


@pytest.mark.parametrize("reports", [
    [TERSE], ["Clear lungs. Normal heart."], [GERMAN, TERSE], ["There is no effusion and the lungs are clear.", GERMAN],
])  # fmt: skip
def test_terse_reports_are_english_and_a_foreign_half_is_no_most(tmp_path, reports):
    assert _of_reports(tmp_path, reports) == []


def test_reports_that_say_nothing_or_are_names_of_files_are_warned_of(tmp_path):
    said = _of_reports(tmp_path, ["reports/0.txt", "reports/1.txt"])
    assert [one[:3] for one in said] == [
        ("warning", "reports are files", "manifest.csv"), ("warning", "reports say nothing", "manifest.csv row 2"),
    ]  # fmt: skip
    assert "none of 2 reports" in said[1][3] and "the first is 'reports/0.txt' in row 2" in said[0][3]


def test_no_real_or_phantom_reports_look_foreign(phantom, shared_data):
    texts = [path.read_text() for path in (phantom / "mimic-cxr-reports").rglob("*.txt")]
    notes = pd.read_csv(shared_data / "covid-chestxray-dataset/metadata.csv")["clinical_notes"].dropna()
    assert not any(map(looks_foreign, texts))
    assert sum(map(looks_foreign, notes)) <= 3


def test_a_warning_names_its_place_once(mimic_layout):
    for path in list((mimic_layout / "files").rglob("*.txt")):
        path.unlink()
    warnings = [f for f in check("mimic", mimic_layout, processes=1).findings if f.kind == "reader warns"]
    assert [(f.where, f.problem[:14]) for f in warnings] == [("mimic", "no reports in ")]


@pytest.mark.parametrize("name, folder", [("rsna", "stage_2_test_images"), ("siim", "dicom-images-test/1/2")])
def test_the_test_images_of_a_dataset_are_no_strangers(request, name, folder):
    root = request.getfixturevalue(f"{name}_layout")
    (root / folder).mkdir(parents=True)
    shutil.copy(_first(root), root / folder / "of-the-test.dcm")
    (root / "sample_submission.csv").write_text("id,answer\nof-the-test,\n")
    left_out = [f for f in check(name, root, processes=1).findings if "test" in f.where]
    assert [(f.kind, f.severity, "need not be" in f.remedy) for f in left_out] == [("image left out", "note", True)]


def test_inverted_copies_are_told_from_images(phantom):
    likeness = np.array([chest_likeness(read_grey(path).pixels) for path in images(phantom)])
    inverted = np.array([chest_likeness(255 - read_grey(path).pixels) for path in images(phantom)])
    assert (likeness > -INVERTED_BELOW).all() and (inverted < INVERTED_BELOW).all()


def test_nothing_of_a_dicom_header_is_told(rsna_layout, tmp_path, capfd):
    paths = images(rsna_layout)
    for number, path in enumerate(paths):
        header = pydicom.dcmread(path)
        for tag in PATIENT_TAGS:
            setattr(header, tag, f"{CANARY}{number % 3}")
        header.save_as(path)
    paths[0].write_bytes(paths[0].read_bytes()[:-2000])
    assert main(["check", "rsna", str(rsna_layout), "--processes", "1", "--out", str(tmp_path / "out")]) == 1
    told = "".join(capfd.readouterr()) + "".join(path.read_text() for path in (tmp_path / "out").glob("*.[cj]s*"))
    assert "unreadable image" in told and CANARY not in told
    assert all(CANARY.encode() not in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_command_prints_writes_and_fails_on_errors(copy, tmp_path, capsys):
    root, out = copy("nih"), tmp_path / "out"
    command = ["check", "nih", str(root), "--processes", "1", "--out", str(out)]
    assert main(command) == 0
    assert "0 errors" in capsys.readouterr().out and not (out / "suspects.png").exists()
    _truncate(root)
    cv2.imwrite(str(images(root)[1]), 255 - read_grey(images(root)[1]).pixels)
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert "unreadable image" in printed and "looks inverted" in printed and images(root)[0].name in printed
    content = json.loads((out / "check.json").read_text())
    assert content["errors"] == 1 and {f["kind"] for f in content["findings"]} >= {"unreadable image"}
    assert (out / "findings.csv").read_text().startswith("severity,kind,where,problem,remedy\nerror,unreadable image,")
    for name in ("images.png", "suspects.png"):
        assert cv2.imread(str(out / name)).std() > 10
    assert main(["check", "nih", str(tmp_path / "nowhere")]) == 1


def test_quick_opens_a_sample_and_still_reads_every_row(copy, monkeypatch):
    root = copy("nih")
    monkeypatch.setattr(dataset, "QUICK_IMAGES", 2)
    images(root)[0].unlink()
    report = check("nih", root, quick=True, processes=1)
    assert report.looked_at == 2 and report.studies == STUDIES["nih"] - 1
    assert kinds(report)["missing image"] == "warning"


def test_processes_change_nothing(copy, monkeypatch):
    root = copy("nih")
    monkeypatch.setattr(dataset, "CHUNK", 2)
    _truncate(root)
    one, two = (check("nih", root, processes=processes) for processes in (1, 2))
    assert one.findings == two.findings and one.counts.equals(two.counts)


def test_a_reader_of_ones_own_is_checked_too(phantom, monkeypatch):
    def read(root: Path) -> Studies:
        paths = images(root)
        return Studies((Study(path.stem, "same", path.stem, "own", path) for path in paths), len(paths))

    monkeypatch.setitem(READERS, "own", read)
    assert kinds(check("own", phantom / "nih", processes=1)) == {"image id twice": "error"}
    with pytest.raises(DataError, match="no option"):
        check("own", phantom / "nih", tables="elsewhere")
