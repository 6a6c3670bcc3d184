"""Our readers against torchxrayvision's on the same files: equal where those are right, shown where they are not."""

import warnings

import numpy as np
import pytest

from data_prep import covid, mimic, nih, rsna, siim
from data_prep.image import read_grey


@pytest.fixture(scope="module")
def xrv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchxrayvision", reason="torchxrayvision is not installed")


def grey_levels(sample: dict) -> np.ndarray:
    """Undoes torchxrayvision's scaling of 0..255 to -1024..1024."""
    return np.rint((sample["img"][0] / 1024 + 1) / 2 * 255).astype(np.uint8)


def box_mask(study, side: int) -> np.ndarray:
    """The study's boxes drawn as torchxrayvision draws them."""
    mask = np.zeros((side, side))
    frame = (study.box_frame_px or (side, side))[0]
    for box in study.boxes:
        x, y, width, height = (np.array([box.x, box.y, box.width, box.height]) * side / frame).astype(int)
        mask[y : y + height, x : x + width] = 1
    return mask


def test_nih_labels_pixels_ages_and_boxes(xrv, shared_data):
    root = shared_data / "nih-cxr14"
    theirs = xrv.datasets.NIH_Dataset(str(root / "images"), views=["*"], unique_patients=False)
    place = {name: index for index, name in enumerate(theirs.csv["Image Index"])}
    studies = list(nih.read(root, tables="torchxrayvision"))
    rows = [place[study.image_path.name] for study in studies]
    ours = np.array([[study.labels[name] for name in theirs.pathologies] for study in studies])
    np.testing.assert_array_equal(ours, theirs.labels[rows])
    assert [study.age_years for study in studies] == theirs.csv["age_years"].iloc[rows].tolist()
    assert [study.view for study in studies] == theirs.csv["view"].iloc[rows].tolist()
    assert [int(study.patient_id) for study in studies] == theirs.csv["Patient ID"].iloc[rows].tolist()
    boxed = [study for study in studies if study.boxes]
    assert len(boxed) >= 20
    for study in [*studies[:3], *boxed[:8]]:
        np.testing.assert_array_equal(
            read_grey(study.image_path).pixels, grey_levels(theirs[place[study.image_path.name]])
        )
        masks = theirs.get_mask_dict(study.image_path.name, 512)
        # Several boxes of one class overwrite each other there; ours are all kept.
        if len(masks) == len(study.boxes):
            union = np.maximum.reduce(list(masks.values()))[0] if masks else np.zeros((512, 512))
            np.testing.assert_array_equal(box_mask(study, 512), union)


def test_rsna_labels_pixels_and_boxes(xrv, shared_data):
    root = shared_data / "rsna-pneumonia"
    folder, table = root / "stage_2_train_images", root / "stage_2_train_labels.csv"
    theirs = xrv.datasets.RSNA_Pneumonia_Dataset(str(folder), csvpath=str(table), views=["*"], extension=".dcm")
    place = {name: index for index, name in enumerate(theirs.csv["patientId"])}
    studies = list(rsna.read(root))
    assert len(studies) == len(place)
    ours = [study.labels["Pneumonia"] for study in studies]
    np.testing.assert_array_equal(ours, theirs.labels[[place[study.image_id] for study in studies], 0])
    for study in studies[:6]:
        np.testing.assert_array_equal(read_grey(study.image_path).pixels, grey_levels(theirs[place[study.image_id]]))
    for study in studies[:60]:
        masks = theirs.get_mask_dict(study.image_id, 1024) if study.boxes else {0: np.zeros((1, 1024, 1024))}
        np.testing.assert_array_equal(box_mask(study, 1024), masks[0][0])


def test_siim_masks_agree_where_there_is_one_annotation_and_are_united_where_there_are_several(xrv, tmp_path):
    theirs = xrv.datasets.SIIM_Pneumothorax_Dataset(str(tmp_path), pathology_masks=True)
    table = theirs.csv[theirs.csv[" EncodedPixels"].str.strip() != "-1"]
    annotations = {image: list(group[" EncodedPixels"]) for image, group in table.groupby("ImageId")}
    single = [image for image, texts in annotations.items() if len(texts) == 1][:4]
    several = [image for image, texts in annotations.items() if len(texts) > 1][:4]
    assert len(single) == len(several) == 4
    for image in single + several:
        ours = siim.united_mask([(text, 0) for text in annotations[image]], tmp_path / "copy.png", tmp_path)
        mask = theirs.get_pathology_mask_dict(image, 1024)[0][0]
        if image in single:
            np.testing.assert_array_equal(ours, mask)
        else:  # only the last one is left there
            assert ours[mask > 0].all() and ours.sum() > mask.sum()


def test_mimic_labels_and_pixels(xrv, mimic_layout):
    tables = [str(mimic_layout / f"mimic-cxr-2.0.0-{name}.csv") for name in ("chexpert", "metadata")]
    files = str(mimic_layout / "files")
    theirs = xrv.datasets.MIMIC_Dataset(files, *tables, views=["PA", "AP"], unique_patients=False)
    place = {name: index for index, name in enumerate(theirs.csv["dicom_id"])}
    studies = list(mimic.read(mimic_layout))
    assert {study.image_id for study in studies} == set(place)
    for study in studies:
        sample = theirs[place[study.image_id]]
        names = [name.replace("Effusion", "Pleural Effusion") for name in theirs.pathologies]
        np.testing.assert_array_equal([study.labels[name] for name in names], sample["lab"])
        np.testing.assert_array_equal(read_grey(study.image_path).pixels, grey_levels(sample))


def test_mimic_keeps_images_of_studies_without_labels(xrv, mimic_layout):
    """torchxrayvision joins images to the rows of studies that have labels, and so loses the others unsaid."""
    labels = mimic_layout / "mimic-cxr-2.0.0-chexpert.csv"
    labels.write_text("".join(line for line in labels.open() if "57375967" not in line))
    tables = [str(mimic_layout / f"mimic-cxr-2.0.0-{name}.csv") for name in ("chexpert", "metadata")]
    theirs = xrv.datasets.MIMIC_Dataset(
        str(mimic_layout / "files"), *tables, views=["PA", "AP"], unique_patients=False
    ).csv
    assert "b-1" not in set(theirs["dicom_id"])
    ours = {study.image_id: study for study in mimic.read(mimic_layout)}
    assert set(ours) == {*theirs["dicom_id"], "b-1"}
    assert np.isnan(list(ours["b-1"].labels.values())).all() and ours["b-1"].split == "validate"


def test_covid_findings(xrv, shared_data):
    root = shared_data / "covid-chestxray-dataset"
    theirs = xrv.datasets.COVID19_Dataset(str(root / "images"), str(root / "metadata.csv"), views=["PA", "AP"])
    studies = {study.image_id: study for study in covid.read(root)}
    assert set(theirs.csv["filename"]) <= set(studies)
    for name in ("COVID-19", "SARS", "Pneumocystis"):
        ours = [studies[image].labels[name] for image in theirs.csv["filename"]]
        np.testing.assert_array_equal(ours, theirs.labels[:, list(theirs.pathologies).index(name)])
