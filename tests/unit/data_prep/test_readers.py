"""Each reader on a tiny layout written by hand."""

import gzip
import json
import math
import shutil
import tarfile
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep import READERS, covid, manifest, mimic, nih, openi, rsna, rsna_patients, siim
from data_prep.errors import DataError
from data_prep.study import Box


def by_image(studies):
    return {study.image_id: study for study in studies}


def test_nih(nih_layout, caplog):
    studies = nih.read(nih_layout)
    assert studies.__length_hint__() == 7
    images = by_image(studies)
    assert len(images) == 7 and "1 of its 8 images are not below" in caplog.text and "no " not in caplog.text
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


def test_nih_tables_elsewhere_without_lists_or_boxes(nih_layout, tmp_path, caplog):
    (tmp_path / "tables").mkdir()
    for name in ("train_val_list.txt", "test_list.txt", "BBox_List_2017.csv"):
        (nih_layout / name).unlink()
    text = (nih_layout / "Data_Entry_2017_v2020.csv").read_text().replace("Gender", "Sex").replace(",40,", ",040Y,")
    (tmp_path / "tables" / "Data_Entry_2017.csv").write_text(text)
    studies = list(nih.read(nih_layout, tables=tmp_path / "tables"))
    assert len(studies) == 7 and {study.split for study in studies} == {None}
    assert (studies[0].age_years, studies[0].sex, studies[0].boxes) == (40.0, "M", ())
    places = f"in {tmp_path / 'tables'} or {nih_layout}"
    assert f"no train_val_list.txt and test_list.txt {places}; the split is drawn" in caplog.text
    assert f"no BBox_List_2017.csv {places}; there are no boxes" in caplog.text


def test_nih_lists_and_boxes_in_root_count_where_the_tables_lie_elsewhere(nih_layout, tmp_path, caplog):
    here = [(study.split, len(study.boxes)) for study in nih.read(nih_layout)]
    (tmp_path / "tables").mkdir()
    (nih_layout / "Data_Entry_2017_v2020.csv").rename(tmp_path / "tables" / "Data_Entry_2017_v2020.csv")
    assert [(study.split, len(study.boxes)) for study in nih.read(nih_layout, tables=tmp_path / "tables")] == here
    assert "no " not in caplog.text
    for name, text in (("train_val_list.txt", ""), ("test_list.txt", (nih_layout / "test_list.txt").read_text())):
        (tmp_path / "tables" / name).write_text(text)  # the tables' own lists come first
    with pytest.raises(DataError, match="tables/test_list.txt: image 00000001_000.png .* stands in neither list"):
        nih.read(nih_layout, tables=tmp_path / "tables")


def test_nih_label_table_cut_to_a_subset(nih_layout, caplog):
    labels = nih_layout / "Data_Entry_2017_v2020.csv"
    kept = [line for line in labels.read_text().splitlines() if not line.startswith("00000002_000")]
    labels.write_text("\n".join(kept) + "\n")
    assert [len(study.boxes) for study in nih.read(nih_layout)] == [2, 0, 0, 0, 0, 0]
    assert "1 of the 3 boxes in BBox_List_2017.csv are of images" in caplog.text
    assert "the first is 00000002_000.png in row 4" in caplog.text


def test_rsna(rsna_layout):
    images = by_image(rsna.read(rsna_layout))
    assert list(images) == list("abcd")
    source = f"{rsna_layout / 'stage_2_train_labels.csv'} row 3"
    assert images["b"].boxes[0] == Box("Pneumonia", 8.0, 16.0, 4.0, 32.0, source)
    assert len(images["b"].boxes) == 2 and images["a"].boxes == ()
    assert [study.labels["Pneumonia"] for study in images.values()] == [0, 1, 0, 1]
    assert images["c"].labels["No Lung Opacity / Not Normal"] == 1
    assert [study.patient_id for study in images.values()] == ["00000007", "00000007", "00000008", "00000009"]


def test_rsna_without_the_optional_tables(rsna_layout, caplog):
    (rsna_layout / "nih_image_index.csv").unlink()
    (rsna_layout / "stage_2_detailed_class_info.csv").unlink()
    images = by_image(rsna.read(rsna_layout))
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "of its own" in caplog.text
    assert f"no {rsna_patients.MAPPING} in {rsna_layout}" in caplog.text and f"into {rsna_layout}" in caplog.text
    assert images["a"].patient_id == "a" and set(images["a"].labels) == {"Pneumonia"}


def test_rsna_image_without_a_detailed_class_has_unknown_ones(rsna_layout):
    details = rsna_layout / "stage_2_detailed_class_info.csv"
    details.write_text(details.read_text().replace("a,Normal\n", "a,\n").replace("d,Lung Opacity\n", ""))
    images = by_image(rsna.read(rsna_layout))
    for image in "ad":
        assert all(math.isnan(images[image].labels[name]) for name in rsna.DETAILED_CLASSES)
    assert [images["b"].labels[name] for name in rsna.DETAILED_CLASSES] == [0, 1, 0]


def test_rsna_mapping_that_lacks_images(rsna_layout, caplog):
    index = rsna_layout / "nih_image_index.csv"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:3]))
    patients = [study.patient_id for study in rsna.read(rsna_layout)]
    assert patients == ["00000007", "00000007", "c", "d"]
    assert "nih_image_index.csv lacks 2 of the 4 images, the first is c" in caplog.text


@pytest.mark.parametrize("tables_elsewhere", [False, True])
def test_rsna_patients_from_the_mapping_that_rsna_publishes(rsna_layout, tmp_path, caplog, tables_elsewhere):
    index = (rsna_layout / "nih_image_index.csv").read_text().split()[1:]
    (rsna_layout / "nih_image_index.csv").unlink()
    pairs = [line.split(",") for line in index]
    entries = [{"img_id": original, "subset_img_id": image, "orig_labels": []} for image, original in pairs]
    (rsna_layout / rsna_patients.MAPPING).write_text(json.dumps(entries))
    tables = rsna_layout
    if tables_elsewhere:
        tables = tmp_path / "tables"
        tables.mkdir()
        (rsna_layout / "stage_2_train_labels.csv").rename(tables / "stage_2_train_labels.csv")
    studies = rsna.read(rsna_layout, tables=tables)
    assert [study.patient_id for study in studies] == ["00000007", "00000007", "00000008", "00000009"]
    assert not caplog.records


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"img_id": ', "not readable as JSON (JSONDecodeError"),
        ("\udcff", "not readable as JSON (UnicodeDecodeError"),
        ("[" * 100_000, "not readable as JSON (RecursionError"),
        ('{"a": "b"}', "not a list of images"),
        ("[]", "not a list of images"),
        ('[{"subset_img_id": "a", "img_id": "00000007_000.png"}, {"img_id": "1"}]', " entry 2: no subset_img_id in it"),
        ('[{"subset_img_id": "a"}]', " entry 1: no img_id in it"),
        ("[7]", " entry 1: no subset_img_id in it"),
        ('[{"subset_img_id": "a", "img_id": null}]', " entry 1: img_id is None"),
        (
            '[{"subset_img_id": "a", "img_id": "1_0.png"}, {"subset_img_id": "a", "img_id": "2_0.png"}]',
            " entry 2: subset_img_id 'a' is of another patient",
        ),
    ],
    ids=lambda value: str(value)[:24],
)
def test_rsna_mapping_that_is_broken(rsna_layout, text, said):
    (rsna_layout / "nih_image_index.csv").unlink()
    path = rsna_layout / rsna_patients.MAPPING
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(DataError) as caught:
        rsna.read(rsna_layout)
    assert str(caught.value).startswith(str(path)) and said in str(caught.value)
    assert f"Download it again from {rsna_patients.MAPPING_URL}" in caught.value.remedy


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


def test_siim_s_empty_cell_is_neither_a_mask_nor_none(siim_layout):
    path = siim_layout / "train-rle.csv"
    path.write_text(path.read_text().replace("-1", ""))
    emptied = [study for study in siim.read(siim_layout) if study.fault]
    assert emptied and all("an empty cell. Write -1 for no mask" in study.fault for study in emptied)


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
    reports = [study.report for study in mimic.read(mimic_layout, **options)]
    assert len(reports) == 4 and all(reports)


def test_mimic_reports_within_the_folders_of_the_studies(mimic_layout):
    before = {study.image_id: study.report for study in mimic.read(mimic_layout)}
    for path in list((mimic_layout / "files").rglob("*.txt")):
        path.rename(path.with_suffix("") / path.name)
    after = list(mimic.read(mimic_layout))
    assert {study.image_id: study.report for study in after} == before
    assert all(study.provenance["report"].count(study.study_id) == 2 for study in after)


def test_mimic_reports_where_wget_puts_them(mimic_layout):
    before = {study.image_id: study.report for study in mimic.read(mimic_layout)}
    images = mimic_layout.parent / "physionet.org/files/mimic-cxr-jpg/2.1.0"
    shutil.copytree(mimic_layout, images)
    texts = sorted((images / "files").rglob("*.txt"))
    for version, note in (("2.0.0", " Old."), ("10.0.0", "")):
        place = images.parent.parent / "mimic-cxr" / version
        place.mkdir(parents=True)
        with zipfile.ZipFile(place / "mimic-cxr-reports.zip", "w") as archive:
            for text in texts:
                archive.writestr(text.relative_to(images).as_posix(), text.read_text() + note)
    for text in texts:
        text.unlink()
    assert {study.image_id: study.report for study in mimic.read(images)} == before


def test_mimic_reports_that_are_not_where_they_were_said_to_be(mimic_layout, monkeypatch):
    monkeypatch.chdir(mimic_layout)
    with pytest.raises(DataError) as caught:
        mimic.read(mimic_layout, reports="texts")
    said = (
        f"{mimic_layout / 'texts'}: no such folder or archive; reports=… (`--option reports=…`) is 'texts', seen from"
    )
    assert str(caught.value).startswith(f"{said} {mimic_layout}. ") and "name it" not in str(caught.value)


def test_mimic_without_reports_says_so(mimic_layout, caplog):
    for report in list((mimic_layout / "files").rglob("*.txt")):
        report.unlink()
    assert [(study.report, study.fault) for study in mimic.read(mimic_layout)] == [(None, None)] * 4
    assert "no reports in" in caplog.text and "; the first looked for is p10/p10000032/s50414267.txt;" in caplog.text


def test_mimic_with_annotations_of_other_studies_stops(mimic_layout, radgraph_file):
    radgraph_file.write_text(radgraph_file.read_text().replace("/s", "/t"))
    with pytest.raises(DataError, match="annotates none of these 3 studies, the first looked for is s50414267. Name"):
        mimic.read(mimic_layout, radgraph=radgraph_file)
    radgraph_file.write_text(radgraph_file.read_text()[:-9])
    with pytest.raises(DataError, match=r"graphs.json: not readable as JSON \(.* at byte \d+\). Download it again"):
        mimic.read(mimic_layout, radgraph=str(radgraph_file))


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


@pytest.mark.parametrize("views, images", [
    (None, "a.jpg b.jpg c.jpg d.png"), ("", "a.jpg b.jpg c.jpg d.png"), ("L", "b.jpg"), ("AP", "d.png"),
    (["PA", "AP Supine"], "a.jpg d.png"), ("AP Erect, FRONTAL", "c.jpg"),
])  # fmt: skip
def test_covid_views(covid_layout, views, images):
    assert list(by_image(covid.read(covid_layout, views=views))) == images.split()


def test_covid_without_such_a_view_says_so(covid_layout):
    with pytest.raises(DataError, match=r"no image with view 'False'; its views: .*\(`--option views=…`\)"):
        covid.read(covid_layout, views="False")


def as_dicom(layout, write_dicom, suffix=".dcm"):
    """MIMIC-CXR instead of MIMIC-CXR-JPG: DICOM files, the list of records, and none of the other's tables."""
    lines = ["subject_id,study_id,dicom_id,path"]
    for path in sorted((layout / "files").rglob("*.jpg")):
        view = {"a-1": "PA", "a-2": "AP", "a-3": "LATERAL", "b-1": "AP", "c-1": "PA"}[path.stem]
        write_dicom(path.with_suffix(suffix), np.zeros((8, 8), np.uint8), ViewPosition=view)
        path.unlink()
        relative = path.with_suffix(suffix).relative_to(layout)
        lines.append(f"{path.parts[-3][1:]},{path.parts[-2][1:]},{path.stem},{relative.as_posix()}")
    for table in layout.glob("mimic-cxr-2.*"):
        table.rename(layout.parent / table.name)
    (layout / "cxr-record-list.csv").write_text("\n".join(lines) + "\n")
    return layout


def test_mimic_dicom_by_its_own_list_takes_views_from_the_headers(mimic_layout, write_dicom):
    images = by_image(mimic.read(as_dicom(mimic_layout, write_dicom)))
    assert list(images) == ["a-1", "a-2", "b-1", "c-1"]
    assert images["b-1"].report.startswith("IMPRESSION: Right pneumothorax.")
    assert images["b-1"].split is None and math.isnan(images["b-1"].labels["Pneumothorax"])
    assert len(list(mimic.read(mimic_layout, views=None))) == 5
    assert list(by_image(mimic.read(mimic_layout, views="LATERAL"))) == ["a-3"]
    images["a-3"] = mimic_layout / "files/p10/p10000032/s50414267/a-3.dcm"
    images["a-3"].write_bytes(b"")  # nobody knows its view: it is not left out, the writer sets it aside
    assert "a-3" in by_image(mimic.read(mimic_layout))


def test_mimic_dicom_with_the_tables_of_the_jpg_release(mimic_layout, write_dicom):
    as_dicom(mimic_layout, write_dicom)
    images = by_image(mimic.read(mimic_layout, tables=mimic_layout.parent))
    assert list(images) == ["a-1", "a-2", "b-1", "c-1"] and images["a-1"].image_path.suffix == ".dcm"
    assert (images["b-1"].split, images["b-1"].view, images["b-1"].labels["Pneumothorax"]) == ("validate", "AP", 1.0)


@pytest.mark.parametrize("prefix", ["files/", "", "mimic-cxr-reports/files/"])
def test_mimic_reports_within_their_zip(mimic_layout, prefix):
    with zipfile.ZipFile(mimic_layout / "mimic-cxr-reports.zip", "w") as archive:
        archive.writestr("../../evil.txt", "never unpacked")
        for report in list((mimic_layout / "files").rglob("*.txt")):
            if "57375967" not in report.name:
                name = prefix + report.relative_to(mimic_layout / "files").as_posix()
                archive.writestr(name, report.read_text())
            report.unlink()
    before = sorted(mimic_layout.parent.rglob("*"))
    images = by_image(mimic.read(mimic_layout))
    assert images["a-1"].report.startswith("FINDINGS: There is no pleural effusion.") and images["a-1"].fault is None
    assert images["b-1"].report is None and "p10000764/s57375967.txt: no such report" in images["b-1"].fault
    assert sorted(mimic_layout.parent.rglob("*")) == before


def test_mimic_takes_the_plain_table_where_it_was_unpacked_beside_its_gz(mimic_layout):
    for name in ("metadata", "split", "chexpert"):
        (mimic_layout / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress(b"of another time\n"))
    assert len(list(mimic.read(mimic_layout))) == 4
    shutil.copy(mimic_layout / "mimic-cxr-2.0.0-split.csv", mimic_layout / "mimic-cxr-2.1.0-split.csv")
    said = (
        r"2 tables match mimic-cxr-2.\*-split.csv.*Keep one of mimic-cxr-2.0.0-split.csv, .*, mimic-cxr-2.1.0-split.csv"
    )
    with pytest.raises(DataError, match=said):
        mimic.read(mimic_layout)


def test_mimic_names_reports_that_are_of_other_studies_and_a_study_labelled_twice(mimic_layout):
    other = mimic_layout / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("files/p10/p10000001/s1.txt", "x")
    with pytest.raises(DataError, match="other.zip: no report of these studies, the first looked for is p10/.*txt"):
        mimic.read(mimic_layout, reports=other)
    table = mimic_layout / "mimic-cxr-2.0.0-chexpert.csv"
    table.write_text(table.read_text() + "10000764,57375967,1.0,,,,,,,,,,,,,\n")
    with pytest.raises(DataError, match=r"study_id '57375967' stands in rows \[3, 5\]"):
        mimic.read(mimic_layout)


def test_mimic_holds_little_of_each_image(tmp_path_factory):
    def held_bytes(images: int) -> int:
        root = tmp_path_factory.mktemp("mimic")
        tables = {"metadata": "dicom_id,subject_id,study_id,ViewPosition\n", "split": "dicom_id,split\n"}
        tables["chexpert"] = ",".join(["subject_id", "study_id", *mimic.CLASSES]) + "\n"
        for number in range(images):
            subject, study = 10_000_000 + number, 50_000_000 + number
            image = root / "files" / f"p10/p{subject}/s{study}" / f"{number:040d}.jpg"
            image.parent.mkdir(parents=True)
            image.touch()
            tables["metadata"] += f"{image.stem},{subject},{study},PA\n"
            tables["split"] += f"{image.stem},train\n"
            tables["chexpert"] += f"{subject},{study}{',1.0' * len(mimic.CLASSES)}\n"
        for name, text in tables.items():
            (root / f"mimic-cxr-2.0.0-{name}.csv").write_text(text)
        tracemalloc.start()
        studies = mimic.read(root)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(list(studies)) == images
        return held

    held_bytes(600)  # what is imported, and the names of folders, which Python keeps
    assert (held_bytes(600) - held_bytes(100)) / 500 < 512


REPORT = """<?xml version="1.0"?><eCitation><uId id="CXR{number}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON"/><AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText></Abstract></Article></MedlineCitation>
<MeSH>{codes}</MeSH>{images}</eCitation>"""


@pytest.fixture
def openi_layout(tmp_path):
    """Three reports: a normal one with two images, one with an effusion of the heart, one that is not indexed."""
    root = tmp_path / "openi"
    (root / "ecgen-radiology").mkdir(parents=True)
    (root / "NLMCXR_png").mkdir()
    reports = {
        1: ("Clear lungs.", "Normal.", ["normal"], ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]),
        2: ("", "Large heart.", ["Pericardial Effusion", "Thickening/pleura/right"], ["CXR2_IM-0652-1001"]),
        10: ("", "", ["No Indexing"], ["CXR10_IM-0002-1001"]),
    }
    for number, (findings, impression, codes, images) in reports.items():
        text = REPORT.format(
            number=number, findings=findings, impression=impression,
            codes="".join(f"<major>{code}</major>" for code in codes),
            images="".join(f'<parentImage id="{image}"/>' for image in images),
        )  # fmt: skip
        (root / "ecgen-radiology" / f"{number}.xml").write_text(text)
        for image in images:
            cv2.imwrite(str(root / "NLMCXR_png" / f"{image}.png"), np.zeros((8, 8), np.uint8))
    views = "imageid,View Position\nCXR1_1_IM-0001-3001,PA\nCXR1_1_IM-0001-4001,PA\nCXR2_IM-0652-1001,AP\n"
    (root / "nlmcxr_dicom_metadata.csv").write_text(views + "CXR10_IM-0002-1001,PA\n")
    derived = "imageid,tsne-view\nCXR1_1_IM-0001-3001,PA\nCXR2_IM-0652-1001,PA\nCXR10_IM-0002-1001,L\n"
    (root / "nlmcxr_tsne_pa.csv").write_text(derived)
    return root


def test_openi(openi_layout):
    images = by_image(openi.read(openi_layout))
    assert list(images) == ["CXR1_1_IM-0001-3001", "CXR2_IM-0652-1001"]
    first, second = images.values()
    assert (first.patient_id, first.view, first.labels["No Finding"]) == ("CXR1", "PA", 1.0)
    assert first.report == "FINDINGS: Clear lungs.\n\nIMPRESSION: Normal."
    assert second.view == "AP" and second.labels["Effusion"] == 0.0 and second.labels["Pleural_Thickening"] == 1.0
    everything = by_image(openi.read(openi_layout, views=""))
    assert everything["CXR1_1_IM-0001-4001"].view is None  # the header's PA is not believed of it
    assert everything["CXR10_IM-0002-1001"].report is None
    assert all(math.isnan(value) for value in everything["CXR10_IM-0002-1001"].labels.values())


def test_openi_dicom_with_reports_in_a_tar_and_no_tables(openi_layout, write_dicom):
    for table in openi_layout.glob("*.csv"):
        table.unlink()
    with pytest.raises(DataError, match="no table says which images are frontal"):
        openi.read(openi_layout)
    for path in (openi_layout / "NLMCXR_png").iterdir():
        name = path.stem.removeprefix("CXR")
        view = "LATERAL" if "4001" in name else "PA"
        write_dicom(openi_layout / name.split("_")[0] / f"{name}.dcm", np.zeros((8, 8), np.uint8), ViewPosition=view)
    shutil.rmtree(openi_layout / "NLMCXR_png")
    with tarfile.open(openi_layout / "NLMCXR_reports.tgz", "w:gz") as archive:
        archive.add(openi_layout / "ecgen-radiology", "ecgen-radiology")
    shutil.rmtree(openi_layout / "ecgen-radiology")
    assert list(by_image(openi.read(openi_layout))) == [
        "CXR1_1_IM-0001-3001", "CXR2_IM-0652-1001", "CXR10_IM-0002-1001",
    ]  # fmt: skip


def as_on_kaggle(root):
    """Renames the images as the Indiana collection on Kaggle does."""
    folder = root / "images" / "images_normalized"
    folder.mkdir(parents=True)
    for path in (root / "NLMCXR_png").iterdir():
        path.rename(folder / f"{path.stem.removeprefix('CXR').replace('1_1_', '1_')}.dcm.png")
    assert (folder / "1_IM-0001-4001.dcm.png").is_file() and (folder / "10_IM-0002-1001.dcm.png").is_file()


def test_openi_finds_the_images_that_kaggle_renamed(openi_layout):
    before = [(study.image_id, study.view, study.report) for study in openi.read(openi_layout, views="")]
    as_on_kaggle(openi_layout)
    studies = openi.read(openi_layout, views="")
    assert not studies.absent
    assert [(study.image_id, study.view, study.report) for study in studies] == before
    (openi_layout / "ecgen-radiology" / "2.xml").write_text("<eCitation><uId")
    assert "not readable as XML" in by_image(openi.read(openi_layout))["CXR2_IM-0652-1001"].fault


def test_openi_finds_dicom_files_whose_number_stands_once(openi_layout, write_dicom):
    shutil.rmtree(openi_layout / "NLMCXR_png")
    write_dicom(openi_layout / "1" / "1_IM-0001-3001.dcm", np.zeros((8, 8), np.uint8))
    assert list(by_image(openi.read(openi_layout))) == ["CXR1_1_IM-0001-3001"]


KAGGLE_REPORTS = """uid,MeSH,Problems,image,indication,comparison,findings,impression
1,normal,normal,Chest,,,Clear lungs.,Normal.
2,Pericardial Effusion;Thickening/pleura/right ,Pericardial Effusion,Chest,,,,Large heart.
10,No Indexing,No Indexing,Chest,Pain,None.,,
"""
KAGGLE_IMAGES = """uid,filename,projection
1,1_IM-0001-3001.dcm.png,Frontal
1,1_IM-0001-4001.dcm.png,Lateral
2,2_IM-0652-1001.dcm.png,Frontal
10,10_IM-0002-1001.dcm.png,Frontal
"""


@pytest.fixture
def kaggle_layout(openi_layout):
    as_on_kaggle(openi_layout)
    shutil.rmtree(openi_layout / "ecgen-radiology")
    (openi_layout / "indiana_reports.csv").write_text(KAGGLE_REPORTS)
    (openi_layout / "indiana_projections.csv").write_text(KAGGLE_IMAGES)
    return openi_layout


def test_openi_s_tables_of_kaggle_say_what_the_xml_says(openi_layout, request):
    from_xml = by_image(openi.read(openi_layout, views=""))
    from_kaggle = by_image(openi.read(request.getfixturevalue("kaggle_layout"), views=""))
    assert len(from_xml) == len(from_kaggle) == 4
    for (_, one), (_, other) in zip(sorted(from_xml.items()), sorted(from_kaggle.items()), strict=True):
        assert (one.patient_id, one.report) == (other.patient_id, other.report)
        np.testing.assert_array_equal(list(one.labels.values()), list(other.labels.values()))


def test_openi_on_kaggle_is_frontal_where_someone_saw_so(kaggle_layout):
    images = by_image(openi.read(kaggle_layout))
    assert {name: image.view for name, image in images.items()} == {
        "CXR1_IM-0001-3001": "PA", "CXR2_IM-0652-1001": "AP", "CXR10_IM-0002-1001": "PA",
    }  # fmt: skip
    for table in kaggle_layout.glob("nlmcxr*.csv"):
        table.unlink()
    images = by_image(openi.read(kaggle_layout))
    assert [image.view for image in images.values()] == ["FRONTAL"] * 3
    assert by_image(openi.read(kaggle_layout, views=""))["CXR1_IM-0001-4001"].view == "LATERAL"


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("indiana_reports.csv", "\n2,", "\n1,", "uid '1' stands in rows"),
        ("indiana_reports.csv", "\n2,", "\n3,", "indiana_projections.csv row 4: uid is '2'"),
        ("indiana_projections.csv", "Lateral", "Oblique", "row 3: projection is 'Oblique'. Use Frontal or Lateral"),
        ("indiana_projections.csv", "filename", "file", "column 'filename' missing"),
    ],
)
def test_openi_refuses_tables_of_kaggle_that_were_changed(kaggle_layout, file, old, new, message):
    path = kaggle_layout / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        openi.read(kaggle_layout)


def test_openi_says_which_reports_and_tables_are_missing(kaggle_layout):
    (kaggle_layout / "indiana_projections.csv").unlink()
    with pytest.raises(DataError, match="no indiana_projections.csv beside it"):
        openi.read(kaggle_layout)
    (kaggle_layout / "indiana_reports.csv").unlink()
    with pytest.raises(DataError, match="no ecgen-radiology, NLMCXR_reports.tgz or indiana_reports.csv"):
        openi.read(kaggle_layout)


def test_openi_sets_the_images_of_a_damaged_report_aside(openi_layout):
    (openi_layout / "ecgen-radiology" / "2.xml").write_text("<eCitation><uId")
    images = by_image(openi.read(openi_layout))
    assert "2.xml: not readable as XML" in images["CXR2_IM-0652-1001"].fault
    assert images["CXR1_1_IM-0001-3001"].fault is None


@pytest.fixture
def own_layout(tmp_path):
    root = tmp_path / "own"
    (root / "a").mkdir(parents=True)
    for name in ("a/1.png", "a/2.png", "3.png"):
        cv2.imwrite(str(root / name), np.zeros((8, 8), np.uint8))
    rows = [
        "path,patient,split,view,age,sex,label:Edema,Mass,report,mirrored,note",
        'a/1.png,007,train,PA,058Y,M,1,0,"No mass, seen.",,x',
        "a/2.png,007,train,LATERAL,,,-1,,,1,y",
        "3.png,,,,,,0,1,,,z",
        "absent.png,,,,,,,,,,",
    ]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_blanks_around_ids_make_no_other_patient(own_layout):
    path = own_layout / "manifest.csv"
    path.write_text(path.read_text().replace("a/2.png,007", "a/2.png, 007 ").replace("label:Edema", "label: Edema"))
    first, second, _ = by_image(manifest.read(own_layout)).values()
    assert first.patient_id == second.patient_id == "007" and "Edema" in first.labels


def test_a_patient_in_two_splits_is_found_before_anything_is_prepared(own_layout):
    path = own_layout / "manifest.csv"
    path.write_text(path.read_text().replace("a/2.png,007,train", "a/2.png,007,test"))
    with pytest.raises(DataError, match=r"patient 007 stands in two splits: a/1.png in train \(row 2\), .* \(row 3\)"):
        manifest.read(own_layout)


def test_manifest_of_ones_own_images(own_layout, caplog):
    images = by_image(manifest.read(own_layout, labels="Mass"))
    first, second, third = images.values()
    assert list(images) == ["a/1.png", "a/2.png", "3.png"] and "1 of its 4 images" in caplog.text
    assert (first.patient_id, first.split, first.view, first.age_years, first.sex) == ("007", "train", "PA", 58.0, "M")
    assert first.report == "No mass, seen." and first.labels == {"Edema": 1.0, "Mass": 0.0}
    assert math.isnan(second.labels["Edema"]) and second.mirrored and not first.mirrored
    assert (third.study_id, third.patient_id, third.split, third.report) == ("3.png", None, None, None)
    assert "columns left alone: note" in caplog.text
    assert list(by_image(manifest.read(own_layout, views="PA"))) == ["a/1.png"]


@pytest.mark.parametrize("dataset, layout", [("manifest", "own_layout"), ("openi", "openi_layout")])
def test_images_that_are_not_there_are_named(dataset, layout, request):
    root = request.getfixturevalue(layout)
    before = READERS[dataset](root).absent
    lost = next(READERS[dataset](root))
    lost.image_path.unlink()
    assert READERS[dataset](root).absent == sorted([*before, lost.image_id], key=str)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a/1.png", "../1.png", "row 2: path is '../1.png', which is not below root"),
        ("a/1.png", "/etc/1.png", "row 2: path is '/etc/1.png', which is absolute and not below root"),
        ("a/1.png", "C:\\\\1.png", "which is absolute and not below root"),
        ("a/2.png,007,train", "a/2.png,007,training", "row 3: split is 'training'. Use train, validate, test"),
        ("058Y", "old", "row 2: age is 'old'"),
        (",M,1,", ",Male,1,", "row 2: sex is 'Male'. Use M, F"),
        (",M,1,", ",M,yes,", "row 2: label:Edema is 'yes'. Use 1, 1.0, 0"),
        ("a/2.png", "a/1.png", "path 'a/1.png' stands in rows"),
        ("a/2.png", "a\\1.png", "path 'a/1.png' stands in rows"),
        ("a/2.png", "./a//1.png", "path 'a/1.png' stands in rows"),
        ("a/2.png", "{root}/a/1.png", "path 'a/1.png' stands in rows"),
        ("a/2.png", "{root}/../1.png", "/../1.png', which is not below root"),
        ("a/1.png", "a/" + "1" * 252 + ".png", "row 2: path has 258 characters. Check the row's quotes."),
        ("a/1.png", "\\\\server\\1.png", "which is absolute and not below root"),
        ("path,", "Path,", "column 'path' missing; it has 'Path', "),
        ("path,", "Path,", "Is 'Path' meant? Then name it 'path'.\n"),
        ("patient,", "patient_id,", "column 'patient_id' is none that is read. Is 'patient' meant?"),
        ("patient,", "Patient,", "Is 'patient' meant?"),
        ("patient,", "patientId,", "Is 'patient' meant?"),
        ("patient,", "Patient ID,", "Is 'patient' meant?"),
        ("patient,", "subject_id,", "Is 'patient' meant?"),
        (",sex,", ",Gender,", "Is 'sex' meant?"),
        (",split,", ",Split,", "Is 'split' meant?"),
        ("label:Edema", "label_Edema", "Is 'label:Edema' meant?"),
        ("label:Edema", "Label:Edema", "Is 'label:Edema' meant?"),
        ("label:Edema", "labels Edema", "Is 'label:Edema' meant?"),
        (".png", "", "none of its 4 images lies below {root}, the first looked for is a/1. Point root"),
    ],
)
def test_manifest_names_the_row_of_a_wrong_cell(own_layout, old, new, said):
    table = own_layout / "manifest.csv"
    table.write_text(table.read_text().replace(old, new.replace("{root}", str(own_layout))))
    with pytest.raises(DataError) as caught:
        manifest.read(own_layout)
    assert said.format(root=own_layout) in f"{caught.value}\n"


def test_manifest_leaves_columns_alone_that_only_resemble_its_own(own_layout, caplog):
    table = own_layout / "manifest.csv"
    given, *rows = table.read_text().splitlines()
    other = ["patient_id,reporter,labelled by,Mass label", *["1,2,3,4"] * len(rows)]
    table.write_text("".join(f"{a},{b}\n" for a, b in zip([given, *rows], other, strict=True)))
    assert by_image(manifest.read(own_layout))["a/1.png"].patient_id == "007"
    assert "columns left alone: Mass, note, patient_id, reporter, labelled by, Mass label" in caplog.text
    assert "patient of its own" not in caplog.text


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "is empty. Write it with a header row."),
        ("path,patient\n", "has a header and no row below it. Write a row for each image."),
        ('path\n"a.png\n', "not a readable CSV table"),
        (None, "Write one, a row per image with its path, or name its folder: tables=… (`--option tables=…`)."),
    ],
)
def test_nobody_is_told_to_download_a_table_of_his_own(tmp_path, content, said):
    if content is not None:
        (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        manifest.read(tmp_path)
    assert said in str(caught.value) and "ownload" not in str(caught.value)


def test_a_view_that_no_image_has_is_refused_with_those_that_are_there(own_layout):
    with pytest.raises(DataError, match="no image with view 'ap'; its views: PA, LATERAL. Name the views to read"):
        next(manifest.read(own_layout, views="ap"))


def test_manifest_from_windows(own_layout):
    table = own_layout / "manifest.csv"
    table.write_text(table.read_text().replace("a/", "a\\"))
    assert list(by_image(manifest.read(own_layout))) == ["a/1.png", "a/2.png", "3.png"]


def test_manifest_takes_deep_paths_and_absolute_ones_below_root(own_layout, monkeypatch):
    deep = "/".join(["Abteilung für Radiologie und Neuroradiologie"] * 8)
    (own_layout / deep).mkdir(parents=True)
    (own_layout / "a/1.png").rename(own_layout / deep / "1.png")
    (own_layout.parent / "link").symlink_to(own_layout)
    table = own_layout / "manifest.csv"
    text = table.read_text().replace("a/1.png", f"{deep}/1.png").replace("a/2.png", f"{own_layout}/a/2.png")
    table.write_text(text)
    monkeypatch.chdir(own_layout.parent)
    for root in (own_layout, own_layout.parent / "link", Path("own"), Path("link")):
        assert list(by_image(manifest.read(root))) == [f"{deep}/1.png", "a/2.png", "3.png"]


@pytest.mark.parametrize("on_disk, in_table", [("NFC", "NFD"), ("NFD", "NFC")])
def test_manifest_finds_letters_that_macos_takes_apart(own_layout, on_disk, in_table):
    place, said = (unicodedata.normalize(form, "Röntgen/Müller.png") for form in (on_disk, in_table))
    (own_layout / place).parent.mkdir()
    (own_layout / "3.png").rename(own_layout / place)
    table = own_layout / "manifest.csv"
    table.write_text(table.read_text().replace("\n3.png", f"\n{said}"))
    (*_, third) = manifest.read(own_layout)
    assert third.image_path == own_layout / place and third.image_path.is_file()
    table.write_text(table.read_text() + f"{place},,,,,,,,,,\n")
    with pytest.raises(DataError, match="stands in rows"):
        manifest.read(own_layout)


def test_manifest_takes_both_forms_of_a_letter_for_one_file_even_where_the_disk_has_both(own_layout):
    """As macOS seems to have, which finds a file by either."""
    table = own_layout / "manifest.csv"
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "ö.png")
        shutil.copy(own_layout / "3.png", own_layout / name)
        table.write_text(table.read_text() + f"{name},,,,,,,,,,\n")
    with pytest.raises(DataError, match="stands in rows"):
        manifest.read(own_layout)


def test_manifest_asks_headers_for_views_that_its_table_leaves_out(tmp_path, write_dicom, caplog):
    caplog.set_level("INFO")
    pixels = np.zeros((8, 8), np.uint8)
    for name, view in (("1.dcm", "PA"), ("2.dcm", "LATERAL"), ("3", "PA"), ("4.dcm", "")):
        write_dicom(tmp_path / name, pixels, ViewPosition=view)
    cv2.imwrite(str(tmp_path / "5.png"), pixels)
    (tmp_path / "6.dcm").write_bytes(b"")
    cells = ["1.dcm,", "2.dcm,", "3,", "4.dcm,", "5.png,", "6.dcm,", "7.png,LATERAL", "8.png,LATERAL"]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,view", *cells, ""]))
    assert list(by_image(manifest.read(tmp_path, views="PA"))) == ["1.dcm", "3", "6.dcm"], "6.dcm is to be set aside"
    assert "manifest.csv: 3 of 8 images have another view than PA and are left out" in caplog.text
    assert "manifest.csv: 2 of 8 images are left out, for nothing tells their view" in caplog.text
    (tmp_path / "6.dcm").unlink()
    with pytest.raises(DataError, match="no image with view 'AP'; its views: LATERAL, PA"):
        list(manifest.read(tmp_path, views="AP"))


def test_manifest_says_that_reports_are_names_of_files(own_layout, caplog):
    (own_layout / "reports").mkdir()
    (own_layout / "reports/1").write_text("No mass.")
    table = own_layout / "manifest.csv"
    manifest.read(own_layout)
    assert "names of files" not in caplog.text
    text = table.read_text().replace('"No mass, seen."', "Mass in the left lung.").replace("-1,,,1", "-1,,reports/1,1")
    for old, said in (
        ("0,1,,", "1 of 2 reports are names of files, the first is 'reports/1' in row 3"),
        ("0,1,reports\\3.TXT,", "2 of 3 reports are names of files, the first is 'reports/1' in row 3"),
    ):
        table.write_text(text.replace("0,1,,", old))
        manifest.read(own_layout)
        assert said in caplog.text


def test_siim_reads_the_second_release_where_both_are_there(siim_layout, caplog):
    text = (siim_layout / "train-rle.csv").read_text().replace(" EncodedPixels", "EncodedPixels").replace(" -1", "-1")
    images = len(list(siim.read(siim_layout)))
    assert "is read" not in caplog.text
    shutil.copy(next(siim_layout.rglob("*.dcm")), siim_layout / "of-the-first-test.dcm")
    (siim_layout / "stage_2_train.csv").write_text(text + "of-the-first-test,-1\n")
    assert len(list(siim.read(siim_layout))) == images + 1
    assert "siim: stage_2_train.csv is read, the newest table of those there, and not train-rle.csv" in caplog.text


def test_siim_tables_of_both_releases(siim_layout):
    first = [study.labels for study in siim.read(siim_layout)]
    text = (siim_layout / "train-rle.csv").read_text()
    (siim_layout / "train-rle.csv").unlink()
    (siim_layout / "stage_2_train.csv").write_text(text.replace(" EncodedPixels", "EncodedPixels").replace(" -1", "-1"))
    assert [study.labels for study in siim.read(siim_layout)] == first


def test_rsna_copies_have_view_age_and_sex_from_the_table_of_headers(rsna_layout):
    shutil.rmtree(rsna_layout / "stage_2_train_images")
    for number, image in enumerate("abcd"):
        cv2.imwrite(str(rsna_layout / f"{image}.{('png', 'jpg')[number % 2]}"), np.zeros((8, 8), np.uint8))
    header = ",PatientID,PatientAge,PatientSex,ViewPosition\n0,a,51,F,PA\n1,b,148,M,AP\n"
    (rsna_layout / "stage_2_train_images_dicom_headers.csv").write_text(header)
    images = by_image(rsna.read(rsna_layout))
    assert (images["a"].view, images["a"].age_years, images["a"].sex) == ("PA", 51.0, "F")
    assert (images["b"].view, images["b"].age_years) == ("AP", None) and images["c"].view is None
    assert images["a"].box_frame_px == (1024, 1024)


def test_relative_roots_work(mimic_layout, monkeypatch):
    monkeypatch.chdir(mimic_layout)
    assert len(list(mimic.read(Path(".")))) == 4
