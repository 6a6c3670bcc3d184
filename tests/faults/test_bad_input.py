"""What is wrong with a dataset is said by file, row and value, with a remedy; nothing is lost unseen.

`stops` lists faults of a dataset as a whole: preparing raises. `sets_aside` lists faults of one record: the others are
prepared, and set_aside.csv tells which one was not and why.
"""

import gzip
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data_prep.corpus import check_datasets, prepare
from data_prep.errors import DataError
from medslip_core.corpus import PreparedCorpus


@pytest.fixture
def layouts(request, tmp_path):
    """Dataset -> its tiny layout, written when asked for."""
    return lambda dataset: request.getfixturevalue(f"{dataset}_layout")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new, 1))


def table(name: str, old: str, new: str):
    """A fault: `old` replaced by `new` in a table."""
    return lambda root: edit(root / name, old, new)


def drop(name: str):
    return lambda root: (root / name).unlink()


def duplicate_line(name: str, start: str):
    def fault(root: Path) -> None:
        lines = (root / name).read_text().splitlines()
        lines.append(next(line for line in lines if line.startswith(start)))
        (root / name).write_text("\n".join(lines) + "\n")

    return fault


def two_copies(root: Path) -> None:
    shutil.copytree(root / "images_001", root / "images_003")


def no_images(root: Path) -> None:
    for path in [*root.rglob("*.png"), *root.rglob("*.jpg"), *root.rglob("*.dcm")]:
        path.unlink()


def other_images(root: Path) -> None:
    no_images(root)
    cv2.imwrite(str(root / "other.png"), np.zeros((8, 8), np.uint8))


def not_utf8(name: str):
    return lambda root: (root / name).write_bytes((root / name).read_bytes() + b"\xff\xfe,,,\n")


def truncated_gzip(root: Path) -> None:
    path = root / "mimic-cxr-2.0.0-metadata.csv"
    (root / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()


def empty(name: str):
    return lambda root: (root / name).write_bytes(b"")


def other_boxes(root):
    (root / BOXES).write_text((root / BOXES).read_text().replace("0000000", "0000009"))


NIH, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"
RSNA, DETAILS = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
META, SPLIT, CHEXPERT = (f"mimic-cxr-2.0.0-{name}.csv" for name in ("metadata", "split", "chexpert"))

STOPS = {
    # missing or unreadable tables
    "nih: no label table": ("nih", drop(NIH), rf"nih: no {NIH} or Data_Entry_2017.csv. Download"),
    "nih: column missing": ("nih", table(NIH, "Finding Labels", "Findings"), f"{NIH}: column 'Finding Labels' missing"),
    "nih: sex missing": ("nih", table(NIH, "Patient Gender", "G"), f"{NIH}: column 'Patient Gender' or 'Patient Sex'"),
    "nih: box column missing": ("nih", table(BOXES, "Bbox [x", "x"), rf"{BOXES}: column 'Bbox \[x' missing"),
    "rsna: column missing": ("rsna", table(RSNA, "Target", "target"), f"{RSNA}: column 'Target' missing"),
    "siim: column missing": ("siim", table("train-rle.csv", "Encoded", "En"), "column 'EncodedPixels' missing"),
    "mimic: column missing": ("mimic", table(META, "ViewPosition", "View"), f"{META}: column 'ViewPosition' missing"),
    "mimic: no split table": ("mimic", drop(SPLIT), r"no tables match mimic-cxr-2.\*-split.csv"),
    "mimic: class missing": ("mimic", table(CHEXPERT, "Edema,", "Oedema,"), f"{CHEXPERT}: column 'Edema' missing"),
    "covid: column missing": ("covid", table("metadata.csv", "finding", "f"), "metadata.csv: column 'finding' missing"),
    "mimic: truncated gzip": ("mimic", truncated_gzip, "metadata.csv.gz: not a readable CSV table.*Download it again"),
    "nih: empty table": ("nih", empty(NIH), f"{NIH}: is empty"),
    "nih: not UTF-8": ("nih", not_utf8(NIH), f"{NIH}: not UTF-8 at byte"),
    "nih: ragged row": ("nih", table(NIH, "Mass,0", 'Mass",0,,,,,,,,,,,,,,,,'), f"{NIH}: not a readable CSV table"),
    # values that are not known
    "nih: unknown label": ("nih", table(NIH, "Hernia", "Hiatus"), f"{NIH} row 5: Finding Labels is 'Hiatus'. Use"),
    "nih: finding and no finding": ("nih", table(NIH, "Hernia", "Hernia|No Finding"), f"{NIH} row 5: Finding Labels"),
    "nih: empty label": ("nih", table(NIH, "Hernia", ""), f"{NIH} row 5: Finding Labels is ''"),
    "nih: unknown box label": ("nih", table(BOXES, "Infiltrate", "Spot"), f"{BOXES} row 2: Finding Label is 'Spot'"),
    "nih: boxes of another release": (
        "nih", other_boxes, f"{BOXES}: none of its images is in {NIH}, the first is 00000091_000.png in row 2"
    ),
    "nih: box not a number": ("nih", table(BOXES, "256", "left"), f"{BOXES} row 2: box coordinate 'left'"),
    "nih: shifted patients": ("nih", table(NIH, ",0,3,", ",0,4,"), f"{NIH} row 5: Patient ID '4' does not belong to"),
    "nih: empty id": ("nih", table(NIH, "00000003_000.png", ""), f"{NIH} row 5: Image Index is empty"),
    "rsna: unknown target": ("rsna", table(RSNA, "c,,,,,0", "c,,,,,2"), f"{RSNA} row 5: Target is '2'. Use 0 or 1"),
    "rsna: two targets": ("rsna", table(RSNA, "c,,,,,0", "b,,,,,0"), f"{RSNA} row 5: patientId 'b' has Target 0 here"),
    "rsna: box not a number": ("rsna", table(RSNA, "8.0,16.0", "8.0,?"), f"{RSNA} row 3: box .* is not four numbers"),
    "rsna: unknown class": ("rsna", table(DETAILS, "a,Normal", "a,Fine"), f"{DETAILS} row 2: class is 'Fine'. Use"),
    "mimic: unknown label": ("mimic", table(CHEXPERT, ",,1.0", ",,yes"), f"{CHEXPERT} row 2: label 'Consolidation' is"),
    "mimic: unknown split": ("mimic", table(SPLIT, "validate", "dev"), f"{SPLIT} row 5: split is 'dev'. Use one of"),
    "mimic: empty split": ("mimic", table(SPLIT, "validate", ""), f"{SPLIT} row 5: split is empty. Fill it in"),
    "mimic: id with a path": ("mimic", table(META, "b-1", "../b"), f"{META} row 5: dicom_id is '../b'"),
    "mimic: image without split": ("mimic", table(SPLIT, "c-1", "d-1"), f"{SPLIT}: dicom_id 'c-1' .* row 6.* missing"),
    "covid: unknown mask": ("covid", table("masks.csv", "Tubings", "Wires"), "masks.csv row 4: class is 'Wires'. Use"),
    "covid: path in a table": ("covid", table("metadata.csv", "d.png", "../d.png"), "filename is '../d.png', not"),
    # duplicates
    "nih: image twice in table": ("nih", duplicate_line(NIH, "00000003"), rf"{NIH}: Image Index .* rows \[5, 10\]"),
    "nih: image twice on disk": ("nih", two_copies, "the image 00000001_000 is there twice: .*images_001.*images_003"),
    "mimic: image twice": ("mimic", duplicate_line(META, "b-1"), rf"{META}: dicom_id 'b-1' stands in rows \[5, 7\]"),
    "covid: image twice": ("covid", duplicate_line("metadata.csv", "5,0,F,40,No"), "filename 'd.png' stands in rows"),
    "rsna: index twice": ("rsna", duplicate_line("nih_image_index.csv", "b,"), "patientId 'b' stands in rows"),
    # images that are not there
    "nih: no image": ("nih", no_images, "nih: no image .* below it. Unpack"),
    "nih: other images": ("nih", other_images, f"{NIH}: none of its 8 images lies below .*nih, the first .*Point root"),
    "mimic: no image": ("mimic", no_images, f"{META}: none of its 4 images lies below .*files, the first .*Point root"),
    "covid: no image": ("covid", no_images, "metadata.csv: none of its 3 images lies below .*images, the .*Point root"),
    # splits
    "nih: one list only": ("nih", drop("test_list.txt"), "train_val_list.txt: the other of the two official lists"),
    "nih: image in both lists": (
        "nih", table("test_list.txt", "00000099_000", "00000002_000"), "test_list.txt line 3: 00000002_000.png is in"
    ),
    "nih: image in no list": (
        "nih", table("test_list.txt", "00000005_000.png\n", ""), "00000005_000.png .*row 7.* stands in neither list"
    ),
    "nih: patient in two splits": (
        "nih", lambda root: (edit(root / "train_val_list.txt", "00000001_001.png\n", ""),
                             edit(root / "test_list.txt", "00000005", "00000001_001.png\n00000005")),
        r"patient 00000001 stands in two splits: 00000001_000 in \w+ \(row 0\), 00000001_001 in test \(row 1\)",
    ),
    "mimic: patient in two splits": (
        "mimic", table(SPLIT, "a-2,50414267,10000032,train", "a-2,50414267,10000032,test"),
        r"patient p10000032 stands in two splits: a-1 in train \(row 0\), a-2 in test \(row 1\).*Correct the split",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_a_fault_of_the_dataset_stops_the_run(layouts, tmp_path, name):
    dataset, fault, said = STOPS[name]
    root = layouts(dataset)
    fault(root)
    with pytest.raises(DataError) as caught:
        prepare(dataset, root, tmp_path / "out", 16, max_set_aside=1.0)
    assert re.search(said, str(caught.value), re.DOTALL), str(caught.value)
    assert caught.value.remedy.endswith(".") and len(caught.value.remedy) > 8
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.partial").exists()


def content(name: str, data: bytes):
    return lambda root: (root / name).write_bytes(data)


def cut(name: str, share: float):
    def fault(root: Path) -> None:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(len(data) * share)])

    return fault


def other_mask_shape(root: Path) -> None:
    cv2.imwrite(str(root / "masks" / "a__Tubings.png"), np.zeros((90, 40), np.uint8))


REPORT = "files/p10/p10000764/s57375967.txt"
DCM = "stage_2_train_images/b.dcm"
RLE = "train-rle.csv"
NIH_IMAGE = "images_001/images/00000002_000.png"

SETS_ASIDE = {
    "nih: empty image": ("nih", content(NIH_IMAGE, b""), "00000002_000", f"{NIH_IMAGE}: the file is empty. Download"),
    "nih: cut image": ("nih", cut(NIH_IMAGE, 0.7), "00000002_000", f"{NIH_IMAGE}: truncated or damaged"),
    "nih: LFS pointer": (
        "nih", content(NIH_IMAGE, b"version https://git-lfs.github.com/spec/v1\n"), "00000002_000", "Run `git lfs pull`"
    ),
    "nih: NaN box": ("nih", table(BOXES, "100.5", ""), "00000002_000", f"{BOXES} row 4: box .*nan.* is not a box"),
    "nih: negative box": ("nih", table(BOXES, ",300,", ",-300,"), "00000002_000", f"{BOXES} row 4: .*-300.0.* is not"),
    "nih: box outside": (
        "nih", table(BOXES, ",300,", ",930,"), "00000002_000", rf"{BOXES} row 4: .*930.0.* outside the image of 1024"
    ),
    "nih: box left of it": ("nih", table(BOXES, "100.5", "-9"), "00000002_000", f"{BOXES} row 4: .* lies outside"),
    "rsna: box outside": ("rsna", table(RSNA, "8.0,16", "61.5,16"), "b", f"{RSNA} row 3: .* outside the image of 64"),
    "rsna: cut DICOM": ("rsna", cut(DCM, 0.9), "b", f"{DCM}: truncated or damaged"),
    "rsna: DICOM without pixels": ("rsna", cut(DCM, 0.1), "b", f"{DCM}: DICOM without pixel data. Leave it out"),
    "rsna: no DICOM": ("rsna", content(DCM, b"GIF89a"), "b", f"{DCM}: "),
    "siim: RLE past the end": ("siim", table(RLE, "4032 64", "4032 65"), "1.2.3", f"{RLE} row 5: RLE ends at .*4097"),
    "siim: RLE odd": ("siim", table(RLE, "64 3 61 2", "64 3 61"), "1.2.2", f"{RLE} row 3: RLE has 3 numbers"),
    "siim: RLE of words": ("siim", table(RLE, "64 3", "64 three"), "1.2.2", f"{RLE} row 3: RLE is not a list of whole"),
    "siim: RLE empty": ("siim", table(RLE, "64 3 61 2", ""), "1.2.2", rf"{RLE} rows \[3\]: an empty cell"),
    "siim: mask and none": ("siim", table(RLE, "0 64", "-1"), "1.2.3", rf"{RLE} rows \[4, 5\]: both a mask and -1"),
    "mimic: empty report": ("mimic", content(REPORT, b" \n"), "s57375967", r"row 5, report .*7.txt\): the report is"),
    "mimic: no report": ("mimic", drop(REPORT), "s57375967", "s57375967.txt: no such report. Download it"),
    "mimic: report not UTF-8": ("mimic", content(REPORT, b"\xff\xfe"), "s57375967", "5967.txt: not UTF-8 at byte 0"),
    "covid: no mask": ("covid", drop("masks/a__Tubings.png"), "a.jpg", "masks/a__Tubings.png: no such mask. Download"),
    "covid: cut mask": ("covid", cut("masks/a__Tubings.png", 0.6), "a.jpg", "masks/a__Tubings.png: truncated"),
    "covid: mask of another shape": ("covid", other_mask_shape, "a.jpg", "a.jpg: tube mask is 40 x 90 px, the image"),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS_ASIDE)
def test_a_fault_of_a_record_sets_it_aside(layouts, tmp_path, name):
    dataset, fault, study_id, said = SETS_ASIDE[name]
    root = layouts(dataset)
    total = len(PreparedCorpus.open(prepare(dataset, root, tmp_path / "whole", 16)))
    fault(root)
    corpus = PreparedCorpus.open(prepare(dataset, root, tmp_path / "out", 16, max_set_aside=0.5))
    set_aside = pd.read_csv(corpus.folder / "set_aside.csv", dtype=str)
    assert set_aside["study_id"].tolist() == [study_id]
    assert re.search(said, set_aside["reason"][0]), set_aside["reason"][0]
    assert len(corpus) == total - 1 and study_id not in set(corpus.manifest["study_id"])
    assert corpus.header["set_aside"] == 1


def test_too_many_unusable_records_stop_the_run(nih_layout, tmp_path):
    content(NIH_IMAGE, b"")(nih_layout)
    with pytest.raises(
        DataError, match=r"1 of 7 records cannot be used, more than the share of 0.01. First: images_001.*"
    ) as c:
        prepare("nih", nih_layout, tmp_path / "out", 16)
    assert "--max-set-aside" in c.value.remedy and ".." not in str(c.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"dataset": "nhi"},
            r"dataset 'nhi': no reader of this name. Did you mean 'nih'\? Use one of mimic, nih, rsna",
        ),
        ({"tabels": "/x"}, r"dataset 'nih': no option 'tabels'. Did you mean 'tables'\? Its options: tables, .*shares"),
        ({"root": "/no/such/root"}, "/no/such/root: no such folder. Point root at the dataset"),
        ({"limit": 0}, "limit 0: not a whole number above 0. Leave it out"),
        ({"limit": -1}, "limit -1: not a whole number above 0. Leave it out to read every study"),
        ({"processes": -1}, "processes -1: not a whole number above 0. Leave it out for one per core"),
        ({"image_size_px": 0}, "image_size_px 0: not a whole number above 0. For example 224"),
        ({"image_size_px": 128.0}, "image_size_px 128.0: not a whole number above 0. For example 224"),
        ({"fit": "stretch"}, "fit 'stretch': not one that is known. Use one of pad, crop, squash"),
        ({"tables": "/no/such/folder"}, "/no/such/folder: no Data_Entry_2017_v2020.csv"),
        ({"shares": (0.9, 0.9, 0.1)}, "not three shares that sum to 1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_arguments_are_named(nih_layout, tmp_path, arguments, said):
    given = {"dataset": "nih", "root": nih_layout, "out": tmp_path / "out", "image_size_px": 16} | arguments
    (nih_layout / "train_val_list.txt").unlink()
    (nih_layout / "test_list.txt").unlink()
    with pytest.raises(DataError, match=said):
        prepare(**given)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"root": "x", "sares": [0, 0.5, 0.5]},
            "no option 'sares'. Did you mean 'shares'\\? Its options: tables, .*limit",
        ),
        ({"rooot": "x"}, "no option 'rooot'. Did you mean 'root'\\?"),
        ({}, "says no root"),
        ({"root": "x", "fit": "squash"}, "no option 'fit'"),
        ({"root": "x", "shares": [0.5, 0.5]}, r"shares \[0.5, 0.5\]: not three shares that sum to 1"),
        ({"root": "x", "percentiles": [99, 1]}, r"percentiles \[99, 1\]: not two rising numbers"),
        ({"root": "x", "dataset": "sim"}, "dataset 'sim': no reader of this name. Did you mean 'siim'\\? Use one of"),
        (None, "says no dataset: None. For example"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_asked_of_the_last_of_several_corpora_is_checked_before_the_first(entry, said):
    good = {"dataset": "nih", "root": "nih", "tables": "torchxrayvision", "shares": [0, 0.25, 0.75]}
    check_datasets({"nih": good, "siim": {"dataset": "siim", "root": "x"}}, common=["fit"])
    entry = entry if entry is None else {"dataset": "siim"} | entry
    with pytest.raises(DataError, match=f"^datasets, last.*{said}"):
        check_datasets({"nih": good, "last": entry}, common=["fit"])


def test_a_corpus_that_later_chapters_need_is_missed_before_any_is_prepared():
    entry = {"dataset": "nih", "root": "nih"}
    check_datasets({"pretraining": entry}, needed=["pretraining"])
    said = "datasets: no corpus 'pretraining' among 'nih', 'pre-training'. Is it 'pre-training'. Call one of them"
    with pytest.raises(DataError, match=said):
        check_datasets({"nih": entry, "pre-training": entry}, needed=["pretraining"])


def test_a_folder_that_is_no_corpus_is_not_replaced(nih_layout, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(DataError, match="thesis: is there already and is no prepared corpus. Name another folder"):
        prepare("nih", nih_layout, tmp_path / "thesis", 16)
    assert (tmp_path / "thesis" / "chapter.txt").exists()
