"""The phantom's four layouts, written and read back: what was drawn is what the corpus holds."""

import numpy as np
import pytest

from data_prep.corpus import prepare
from data_prep.image import read_grey
from data_prep.phantom.generate import generate
from data_prep.phantom.layouts.dicom import dicom_bytes
from data_prep.phantom.truth import Truth
from medslip_core.corpus import PreparedCorpus
from medslip_core.vocabulary import ANATOMY_INDEX, DATASET_CLASSES, PATHOLOGY_INDEX, PRESENT

SIZE_PX = 96
STUDIES = {"mimic": 12, "nih": 24, "rsna": 24, "siim": 24}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("phantom"), STUDIES, SIZE_PX, seed=8, processes=1)


@pytest.fixture(scope="module", params=STUDIES)
def prepared(request, phantom, tmp_path_factory) -> tuple[PreparedCorpus, Truth]:
    """A corpus at the size of the phantom's images, so that nothing is resized, and the truth it should agree with."""
    dataset, folder = request.param, phantom / "truth" / request.param
    out = prepare(dataset, phantom / dataset, tmp_path_factory.mktemp("corpus") / "c", SIZE_PX, truth=folder)
    return PreparedCorpus.open(out), Truth.open(folder)


def test_every_study_is_there_and_none_set_aside(prepared):
    corpus, truth = prepared
    assert sorted(corpus.manifest["study_id"]) == sorted(truth.study_ids)
    assert corpus.header["set_aside"] == 0


def test_a_corpus_of_the_phantom_says_so(prepared, phantom, tmp_path):
    assert prepared[0].header["synthetic"] is True
    without_truth = prepare("mimic", phantom / "mimic", tmp_path / "c", SIZE_PX)
    assert PreparedCorpus.open(without_truth).header["synthetic"] is True


def assert_true_triplets(corpus, truth):
    matrix = corpus.matrix(np.arange(len(corpus)), source="truth")
    for row, study_id in enumerate(corpus.manifest["study_id"]):
        expected = np.full(matrix.shape[1:], -2)
        for anatomy, pathology, state in sorted(truth.triplets(study_id), key=lambda triplet: triplet[2]):
            expected[ANATOMY_INDEX[anatomy], PATHOLOGY_INDEX[pathology]] = state
        np.testing.assert_array_equal(matrix[row], expected)


@pytest.mark.parametrize("studies", [8, 6])
def test_a_phantom_drawn_anew_at_the_same_place_is_prepared_with_its_own_truth(tmp_path, studies):
    options = {"image_size_px": 32, "truth": tmp_path / "truth" / "nih", "processes": 1}
    for seed, count in enumerate((6, studies)):
        generate(tmp_path, {"nih": count}, 48, seed=seed, processes=1, overwrite=True)
        corpus = PreparedCorpus.open(prepare("nih", tmp_path / "nih", tmp_path / "out", **options))
        assert len(corpus) == count and corpus.header["set_aside"] == 0
        assert_true_triplets(corpus, Truth.open(options["truth"]))


def test_triplets_are_the_truth(prepared):
    assert_true_triplets(*prepared)


def test_masks_are_the_truth(prepared):
    corpus, truth = prepared
    for row, study_id in enumerate(corpus.manifest["study_id"]):
        for kind, masks in truth.masks(study_id).items():
            read = corpus.masks(row, kind)
            assert set(read) == {name for name, mask in masks.items() if mask.any()}
            for name, mask in read.items():  # SIIM's own run lengths are united with the truth: they must not add to it
                np.testing.assert_array_equal(mask, masks[name], err_msg=f"{study_id} {name}")


def test_labels_agree_with_the_truth(prepared):
    corpus, truth = prepared
    dataset = corpus.header["dataset"]
    if dataset == "mimic":
        assert all(corpus.report(row) == truth.report(i) for row, i in enumerate(corpus.manifest["study_id"]))
        return
    classes = DATASET_CLASSES[dataset]
    for row, study_id in enumerate(corpus.manifest["study_id"]):
        labels = corpus.labels(list(classes))[row]
        present = {pathology for _, pathology, state in truth.triplets(study_id) if state == PRESENT}
        if dataset == "siim":  # labelled by its masks
            present = {name for name, mask in truth.masks(study_id)["pathology"].items() if mask.any()}
        if dataset != "rsna":
            assert labels.tolist() == [float(pathology in present) for pathology in classes.values()]
        else:  # a box makes the label
            assert labels.tolist() == [float(not corpus.boxes(row).empty)]
            assert not labels[0] or "pneumonia" in present


def test_boxes_enclose_what_they_name(prepared):
    corpus, _ = prepared
    dataset = corpus.header["dataset"]
    boxed = [row for row in range(len(corpus)) if len(corpus.boxes(row))]
    assert bool(boxed) == (dataset in ("nih", "rsna"))
    for row in boxed:
        for label, boxes in corpus.boxes(row).groupby("label"):
            mask = corpus.masks(row, "pathology")[DATASET_CLASSES[dataset][label]]
            inside = np.zeros_like(mask)
            for box in boxes.itertuples():
                left, top = round(box.x), round(box.y)
                inside[top : top + round(box.height), left : left + round(box.width)] = True
            assert (mask & inside).sum() >= 0.9 * mask.sum()  # specks have no box of their own


def test_unusual_dicom_encodings_look_like_the_others(tmp_path):
    picture = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    facts = {"patient_id": "p", "study_uid": "2.25.1", "series_uid": "2.25.2", "sop_uid": "2.25.3", "view": "PA"}
    for encoding, levels in (("jpeg", 3), ("monochrome1", 3), ("twelve-bit", 0)):
        path = tmp_path / f"{encoding}.dcm"
        content = dicom_bytes(picture, **facts, age_years=51, sex="F", pixel_spacing_mm=0.5, encoding=encoding)
        path.write_bytes(content)
        grey = read_grey(path)
        assert np.abs(grey.pixels.astype(int) - picture).max() <= levels
        assert (grey.view, grey.age_years, grey.sex) == ("PA", 51.0, "F")


def test_studies_of_a_patient_stay_together(phantom, tmp_path):
    corpus = PreparedCorpus.open(prepare("siim", phantom / "siim", tmp_path / "c", 32, shares=(0.4, 0.2, 0.4)))
    truth = Truth.open(phantom / "truth" / "siim")
    patients = dict(zip(truth.study_ids, truth.table["patient_id"].to_pylist(), strict=True))
    manifest = corpus.manifest.assign(true_patient=corpus.manifest["study_id"].map(patients))
    assert manifest["true_patient"].duplicated().any()
    assert (manifest.groupby("true_patient")["split"].nunique() == 1).all()
    assert manifest["true_patient"].nunique() == manifest["patient_id"].nunique()
