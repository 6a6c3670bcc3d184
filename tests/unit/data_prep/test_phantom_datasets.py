"""The phantom on disk: four layouts with the tables of the real downloads, exact truth beside them, the same bytes."""

import gzip
import hashlib
import importlib.util
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.pixels import apply_voi_lut

from data_prep.phantom import POPULATIONS, draw_study
from data_prep.phantom import __main__ as command
from data_prep.phantom import generate as driver
from data_prep.phantom.generate import LAYOUTS, generate, plan
from data_prep.phantom.layouts.boxes import finding_boxes
from data_prep.phantom.layouts.dicom import dicom_bytes
from data_prep.phantom.layouts.siim import relative_run_lengths
from data_prep.phantom.truth import Truth, pack_masks, unpack_masks
from medslip_core.vocabulary import DATASET_CLASSES, PRESENT

SIZE_PX = 64
STUDIES = {"mimic": 12, "nih": 24, "rsna": 24, "siim": 16}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("phantom"), STUDIES, SIZE_PX, seed=3, processes=1)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def published_table(name: str) -> pd.DataFrame:
    """A label table of a real release, as torchxrayvision ships it."""
    package = importlib.util.find_spec("torchxrayvision")  # not imported: that takes ten seconds
    if package is None:
        pytest.skip("torchxrayvision, which ships the published tables, is not installed")
    content = (Path(package.submodule_search_locations[0]) / "data" / name).read_bytes()
    if name.endswith(".zip"):
        archive = zipfile.ZipFile(io.BytesIO(content))
        content = archive.read(archive.namelist()[0])
    else:
        content = gzip.decompress(content)
    return pd.read_csv(io.BytesIO(content), nrows=5)


# ------------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        ("nih/Data_Entry_2017_v2020.csv", "Data_Entry_2017_v2020.csv.gz"),
        ("nih/BBox_List_2017.csv", "BBox_List_2017.csv.gz"),
        ("rsna/stage_2_train_labels.csv", "kaggle_stage_2_train_labels.csv.zip"),
        ("siim/train-rle.csv", "siim-pneumothorax-train-rle.csv.gz"),
    ],
)
def test_tables_have_the_columns_of_the_release(root, ours, published):
    assert list(pd.read_csv(root / ours).columns) == list(published_table(published).columns)


def test_mimic_layout(root):
    tables = {
        name: pd.read_csv(root / f"mimic/mimic-cxr-2.0.0-{name}.csv.gz") for name in ("metadata", "split", "chexpert")
    }
    metadata, truth = tables["metadata"], Truth.open(root / "truth/mimic")
    assert len(metadata) == metadata["dicom_id"].nunique() == metadata["study_id"].nunique() == 12
    for row in metadata.itertuples():
        folder = f"files/p{row.subject_id // 10**6}/p{row.subject_id}/s{row.study_id}"
        assert (root / "mimic" / folder / f"{row.dicom_id}.jpg").is_file()
        assert (root / "mimic-cxr-reports" / f"{folder}.txt").read_text() == truth.report(f"s{row.study_id}")
    assert set(tables["split"]["split"]) <= {"train", "validate", "test"}
    assert (tables["split"].groupby("subject_id")["split"].nunique() == 1).all()
    chexpert = tables["chexpert"].set_index("study_id").drop(columns="subject_id")
    assert chexpert.shape == (12, 14) and set(np.unique(chexpert.fillna(9))) <= {-1.0, 0.0, 1.0, 9.0}
    for study_id in truth.study_ids:
        states = {state for _, pathology, state in truth.said(study_id) if pathology == "effusion"}
        label = chexpert.loc[int(study_id[1:]), "Pleural Effusion"]
        assert np.isnan(label) if not states else label == 1 if PRESENT in states else label in (0, -1)


def test_nih_layout(root):
    truth = Truth.open(root / "truth/nih")
    entries = pd.read_csv(root / "nih/Data_Entry_2017_v2020.csv").set_index("Image Index")
    for name, row in entries.iterrows():
        assert (root / "nih/images" / name).is_file()
        present = {pathology for _, pathology, state in truth.triplets(name[:-4]) if state == PRESENT}
        expected = {label for label, pathology in DATASET_CLASSES["nih"].items() if pathology in present}
        assert set(row["Finding Labels"].split("|")) == (expected or {"No Finding"})
        assert int(name[:8]) == row["Patient ID"] and int(name[9:12]) == row["Follow-up #"]
    lists = {name: (root / f"nih/{name}_list.txt").read_text().split() for name in ("train_val", "test")}
    assert sorted(lists["train_val"] + lists["test"]) == sorted(entries.index)
    assert not {name[:8] for name in lists["train_val"]} & {name[:8] for name in lists["test"]}
    boxes = pd.read_csv(root / "nih/BBox_List_2017.csv").iloc[:, :6]
    boxes.columns = ["image", "label", "x", "y", "w", "h"]
    assert len(boxes) and set(boxes["image"]) <= set(lists["test"])
    for (image, label), group in boxes.groupby(["image", "label"]):
        pathology = "infiltrate" if label == "Infiltrate" else label.lower()
        mask = truth.masks(image[:-4])["pathology"][pathology]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        scale = 1024 / SIZE_PX
        assert group["x"].min() >= columns[0] * scale and group["y"].min() >= rows[0] * scale
        assert (group["x"] + group["w"]).max() <= (columns[-1] + 1) * scale + 1e-6
        assert (group["y"] + group["h"]).max() <= (rows[-1] + 1) * scale + 1e-6


def test_rsna_layout(root):
    labels = pd.read_csv(root / "rsna/stage_2_train_labels.csv")
    details = pd.read_csv(root / "rsna/stage_2_detailed_class_info.csv")
    assert list(details["patientId"]) == list(labels["patientId"])
    assert ((details["class"] == "Lung Opacity") == (labels["Target"] == 1)).all()
    assert set(details["class"]) == {"Lung Opacity", "No Lung Opacity / Not Normal", "Normal"}
    truth = Truth.open(root / "truth/rsna")
    for patient_id, group in labels.groupby("patientId"):
        pneumonia = [f for f in truth.findings(patient_id) if f["pathology"] == "pneumonia"]
        assert bool(pneumonia) == bool(group["Target"].iloc[0]) == bool(group["x"].notna().any())
        header = pydicom.dcmread(root / f"rsna/stage_2_train_images/{patient_id}.dcm")
        assert (
            header.PatientID == patient_id and header.ViewPosition in ("PA", "AP") and header.PatientSex in ("F", "M")
        )
        assert header.pixel_array.shape == (SIZE_PX, SIZE_PX)


def test_siim_layout(root):
    table, truth = pd.read_csv(root / "siim/train-rle.csv"), Truth.open(root / "truth/siim")
    files = {path.stem: path for path in (root / "siim/dicom-images-train").glob("*/*/*.dcm")}
    assert set(table["ImageId"]) == set(files) == set(truth.study_ids)
    assert (table[" EncodedPixels"] != "-1").any()
    for image, runs in table.groupby("ImageId")[" EncodedPixels"]:
        painted = np.zeros(SIZE_PX * SIZE_PX, bool)
        for text in runs[runs != "-1"]:
            position, numbers = 0, [int(number) for number in text.split()]
            for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
                painted[position + gap : position + gap + length] = True
                position += gap + length
        expected = truth.masks(image)["pathology"].get("pneumothorax", np.zeros((SIZE_PX, SIZE_PX), bool))
        np.testing.assert_array_equal(painted.reshape(SIZE_PX, SIZE_PX).T, expected)


@pytest.mark.parametrize(("encoding", "tolerance"), [("jpeg", 12), ("monochrome1", 12), ("twelve-bit", 0.51)])
def test_every_dicom_encoding_shows_the_same_image(encoding, tolerance):
    image = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    content = dicom_bytes(
        image, patient_id="p", study_uid="2.25.1", series_uid="2.25.2", sop_uid="2.25.3", view="PA", age_years=51,
        sex="F", pixel_spacing_mm=0.5, encoding=encoding,
    )  # fmt: skip
    dataset = pydicom.dcmread(io.BytesIO(content))
    shown = apply_voi_lut(dataset.pixel_array, dataset).astype(float)
    if encoding == "twelve-bit":
        assert dataset.pixel_array.max() > 255
        shown *= 255 / 4095
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    assert np.abs(shown - image).max() <= tolerance
    assert str(dataset.PatientAge) == "51"


def test_an_unknown_dicom_encoding_is_an_error():
    with pytest.raises(ValueError, match="one of jpeg"):
        dicom_bytes(
            np.zeros((4, 4), np.uint8), patient_id="p", study_uid="2.25.1", series_uid="2.25.2", sop_uid="2.25.3",
            view="PA", age_years=51, sex="F", pixel_spacing_mm=0.5, encoding="gif",
        )  # fmt: skip


def test_boxes_hold_the_connected_parts_and_leave_out_specks():
    mask = np.zeros((20, 30), bool)
    mask[2:6, 3:13] = mask[10:18, 20:26] = mask[19, 0] = True
    assert finding_boxes(mask) == [(20, 10, 6, 8), (3, 2, 10, 4)]
    assert finding_boxes(np.zeros((4, 4), bool)) == []


def test_run_lengths_by_hand():
    mask = np.array([[0, 1, 0], [1, 1, 0]], bool)  # down the columns: 0 1, 1 1, 0 0
    assert relative_run_lengths(mask) == "1 3"
    assert relative_run_lengths(np.array([[1, 0, 1], [0, 0, 1]], bool)) == "0 1 3 2"
    assert relative_run_lengths(np.zeros((2, 3), bool)) == "-1"


# -------------------------------------------------------------------------------------------------------- truth


@pytest.mark.parametrize("dataset", list(STUDIES))
def test_truth_is_that_of_the_drawn_study(root, dataset):
    truth = Truth.open(root / "truth" / dataset)
    assert len(truth.study_ids) == STUDIES[dataset]
    for slot, study_id in list(zip(plan(dataset, STUDIES[dataset], 3), truth.study_ids, strict=True))[:4]:
        study = draw_study(POPULATIONS[dataset], 3, slot.patient_number, slot.study_number, SIZE_PX)
        assert truth.triplets(study_id) == study.triplets
        assert [finding["kind"] for finding in truth.findings(study_id)] == [f.kind for f in study.findings]
        masks = truth.masks(study_id)
        assert masks.keys() == {"pathology", "anatomy"}
        for kind, drawn in (("pathology", study.pathology_masks), ("anatomy", study.anatomy_masks)):
            assert masks[kind].keys() == drawn.keys()
            for name, mask in drawn.items():
                np.testing.assert_array_equal(masks[kind][name], mask)


def test_packed_masks_come_back():
    rng = np.random.default_rng(0)
    masks = {name: rng.random((13, 13)) < 0.3 for name in ("a", "b", "c")}
    back = unpack_masks(pack_masks(masks), list(masks), 13)
    assert all((back[name] == masks[name]).all() and back[name].dtype == bool for name in masks)
    assert unpack_masks(pack_masks({}), [], 13) == {}
    with pytest.raises(ValueError, match="4 masks of 13 px"):
        unpack_masks(pack_masks(masks), list("abcd"), 13)


def test_truth_errors_name_the_place(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no truth table"):
        Truth.open(tmp_path)
    with pytest.raises(KeyError, match="no study 'nobody'"):
        Truth.open(root / "truth/nih").triplets("nobody")
    shutil.copytree(root / "truth/nih", tmp_path / "nih")
    bits = tmp_path / "nih/masks-00000.bits"
    bits.write_bytes(bits.read_bytes()[:-50])
    broken = Truth.open(tmp_path / "nih")
    with pytest.raises(ValueError, match="masks-00000.bits: the masks of study .* cannot be read"):
        broken.masks(broken.study_ids[-1])


# ------------------------------------------------------------------------------------------------------- driver


def test_a_plan_grows_without_changing_and_keeps_patients_in_one_split():
    for dataset in LAYOUTS:
        long, short = plan(dataset, 200, 0), plan(dataset, 60, 0)
        assert long[:60] == short and [slot.index for slot in long] == list(range(200))
        assert len({(slot.patient_number, slot.split) for slot in long}) == len({slot.patient_number for slot in long})
        visits = max(slot.study_number for slot in long)
        assert visits > 0 if dataset != "rsna" else visits == 0
    assert {slot.split for slot in plan("nih", 200, 0)} == {"train", "test"}


def test_bytes_do_not_depend_on_processes_nor_on_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "SHARD_STUDIES", 3)
    studies = {"mimic": 7, "siim": 3}
    clean = hashes(generate(tmp_path / "one", studies, 48, seed=1, processes=1))
    assert hashes(generate(tmp_path / "two", studies, 48, seed=1, processes=2)) == clean

    write_shard, written = driver._write_shard, []

    def killed(shard):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard.number)
        write_shard(shard)

    monkeypatch.setattr(driver, "_write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "killed", studies, 48, seed=1, processes=1)
    assert not list((tmp_path / "killed").rglob("finished.json"))
    monkeypatch.setattr(driver, "_write_shard", lambda shard: (written.append(shard.number), write_shard(shard)))
    assert hashes(generate(tmp_path / "killed", studies, 48, seed=1, processes=1)) == clean
    assert len(written) == 4  # the two shards of before were not written again
    generate(tmp_path / "killed", studies, 48, seed=1, processes=1)
    assert len(written) == 4  # nothing to do


def test_another_phantom_is_not_overwritten_unasked(tmp_path):
    generate(tmp_path, {"nih": 2}, 48, seed=1, processes=1)
    before = hashes(tmp_path)
    with pytest.raises(FileExistsError, match="--overwrite"):
        generate(tmp_path, {"nih": 2}, 48, seed=2, processes=1)
    assert hashes(tmp_path) == before
    generate(tmp_path, {"nih": 1}, 48, seed=2, processes=1, overwrite=True)
    assert len(list((tmp_path / "nih/images").iterdir())) == 1


def test_what_is_asked_for_has_to_make_sense(tmp_path):
    with pytest.raises(ValueError, match="unknown dataset 'padchest'"):
        generate(tmp_path, {"padchest": 3})
    with pytest.raises(ValueError, match="at least one study"):
        generate(tmp_path, {"nih": 0})


def test_command_line(tmp_path, monkeypatch, capsys):
    arguments = "--mimic 0 --nih 2 --rsna 0 --siim 0 --size-px 48 --processes 1"
    monkeypatch.setattr("sys.argv", ["phantom", "--out", str(tmp_path), *arguments.split()])
    command.main()
    assert (tmp_path / "nih/test_list.txt").is_file() and not (tmp_path / "mimic").exists()
    monkeypatch.setattr("sys.argv", ["phantom", "--out", str(tmp_path), *arguments.split(), "--seed", "9"])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2 and "--overwrite" in capsys.readouterr().err
