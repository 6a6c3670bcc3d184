"""Truth from boxes and masks, and which questions it allows."""

import numpy as np
import pytest
from bright_patches import SIZE, bright_corpus

from medslip_core.grounding.truth import (
    Question,
    Truth,
    boxes_of_parts,
    questions_of,
    rows_shown,
    truth_from_boxes,
    truth_from_masks,
    widened,
)


def test_truth_from_boxes_and_masks():
    corpus = bright_corpus()
    boxes = truth_from_boxes(corpus, np.arange(6), ["Pneumonia", "Nodule"])
    masks = truth_from_masks(corpus, np.arange(6), "pathology", ["pneumonia"])
    found = boxes["Pneumonia"]
    assert list(found.rows) == [0, 2, 4] and list(found.patients) == ["p0", "p2", "p4"]
    np.testing.assert_array_equal(found.masks, masks["pneumonia"].masks)
    assert boxes["Nodule"].masks.shape == (0, SIZE, SIZE) and len(boxes["Nodule"].rows) == 0
    anatomies = truth_from_masks(corpus, np.arange(6), "anatomy", ["trachea"])
    assert anatomies["trachea"].masks.shape == (3, SIZE, SIZE)


def test_widened_masks_hold_all_that_is_near():
    masks = np.random.default_rng(0).random((3, 12, 12)) > 0.97
    rows, columns = np.mgrid[:12, :12]
    for mask, wide in zip(masks, widened(masks, 2.5), strict=True):
        distances = [np.hypot(rows - y, columns - x) for y, x in np.argwhere(mask)]
        np.testing.assert_array_equal(wide, np.min(distances, axis=0) <= 2.5)


def test_boxes_go_round_each_part_of_a_mask():
    mask = np.zeros((1, 12, 12), bool)
    mask[0, 1:4, 1] = mask[0, 3, 1:4] = True  # an L
    mask[0, 8, 8] = mask[0, 9, 9] = True  # touches itself by a corner
    expected = np.zeros_like(mask)
    expected[0, 1:4, 1:4] = expected[0, 8:10, 8:10] = True
    assert np.array_equal(boxes_of_parts(mask), expected)

    truth, absent = (Truth("mass", "masks", np.arange(n), np.arange(n), mask[:n]) for n in (1, 0))
    asked = Question("mass", truth, absent).on_boxes()
    assert asked.test.kind == "boxes" and np.array_equal(asked.test.masks, expected)
    assert np.array_equal(truth.masks, mask) and len(asked.validation.masks) == 0


def test_questions_are_the_labels_that_test_rows_show():
    corpus = bright_corpus(16)
    (question,) = questions_of(corpus, "boxes", ["Nodule", "Pneumonia"])
    assert (question.label, question.query) == ("Pneumonia", "pneumonia")
    assert list(question.test.rows) == [8, 10, 12, 14] and list(question.validation.rows) == [0, 2, 4, 6]
    assert list(rows_shown([question])) == [0, 2, 4, 6, 8, 10, 12, 14]
    (anatomy,) = questions_of(corpus, "anatomies", ["trachea", "spine"], most_rows=3)
    assert anatomy.query == "trachea" and list(anatomy.test.rows) == [8, 10]
    with pytest.raises(ValueError, match=r"masks of 'rsna': none is called 'pneumona'; did you mean 'pneumonia'"):
        questions_of(corpus, "masks", ["pneumona"])
    assert questions_of(corpus, "boxes", ["Nodule"]) == [] and len(rows_shown([])) == 0


def test_boxes_of_any_dataset_are_asked_for_by_their_names():
    corpus = bright_corpus(16)
    corpus.header = {"dataset": "own"}
    (question,) = questions_of(corpus, "boxes", ["Pneumonia"])
    assert (question.label, question.query) == ("Pneumonia", "pneumonia")
    boxes = corpus.boxes
    corpus.boxes, corpus.classes = lambda row: boxes(row).replace("Pneumonia", "TB"), ["TB"]
    with pytest.raises(ValueError, match="boxes of 'own': no pathology stands for 'TB'; leave it out, or"):
        questions_of(corpus, "boxes", ["TB"])
