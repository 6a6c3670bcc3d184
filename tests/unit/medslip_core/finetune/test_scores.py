"""Scores of masks against loops and by hand; thresholds; results that carry the seeds' mean."""

import numpy as np
import pytest

from medslip_core.finetune.scores import (
    Thresholds,
    best_thresholds,
    dice_and_iou,
    evaluate_masks,
    score_masks,
)

SIZE = 8


def random_masks(seed: int, n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random((n, SIZE, SIZE)) > 0.6, generator.random((n, SIZE, SIZE)) > 0.5


def test_dice_and_iou_against_a_loop():
    predicted, truth = random_masks(0)
    dice, iou = dice_and_iou(predicted, truth)
    for i in range(len(truth)):
        ours = {tuple(p) for p in np.argwhere(predicted[i])}
        right = {tuple(p) for p in np.argwhere(truth[i])}
        assert dice[i] == pytest.approx(2 * len(ours & right) / (len(ours) + len(right)))
        assert iou[i] == pytest.approx(len(ours & right) / len(ours | right))


def test_nothing_marked_where_nothing_is_counts_as_right():
    empty, full = np.zeros((1, SIZE, SIZE), bool), np.ones((1, SIZE, SIZE), bool)
    for predicted, truth, expected in ((empty, empty, 1), (full, empty, 0), (empty, full, 0), (full, full, 1)):
        assert dice_and_iou(predicted, truth)[0] == expected


def test_masks_of_another_size():
    with pytest.raises(ValueError, match=r"\(4, 4\) px, the truth is \(8, 8\) px"):
        dice_and_iou(np.zeros((1, 4, 4), bool), np.zeros((1, SIZE, SIZE), bool))


def test_each_metric_has_its_own_threshold_and_it_comes_from_validation():
    """Positives glow at 0.4, and the negatives too: marking at 0.4 helps positives only."""
    truth = np.zeros((14, SIZE, SIZE), bool)
    truth[:4, :4] = True
    prob = np.full((14, SIZE, SIZE), 0.02, np.float32)
    prob[:, :4] = 0.4
    thresholds = best_thresholds([(np.arange(14), prob, truth)])
    assert thresholds.all_images > 0.4 >= thresholds.positives
    scores = score_masks([(np.arange(14), prob, truth)], np.array([f"p{i}" for i in range(14)]), thresholds)
    table = evaluate_masks(scores, resamples=200, seed=0).set_index("metric")
    assert table.loc["dice_all", "value"] == pytest.approx(5 / 7)
    assert table.loc["dice_positives", "value"] == table.loc["iou_positives", "value"] == 1
    assert table.loc["dice_all", "n"] == 14 and table.loc["dice_positives", "n"] == 4
    assert table.loc["dice_all", "low"] < 5 / 7 < table.loc["dice_all", "high"]
    assert np.isnan(table.loc["dice_positives", "low"]), "four patients show something"
    np.testing.assert_array_equal(np.unpackbits(scores.masks, axis=-1).astype(bool)[:2], truth[:2])


def test_batches_do_not_matter():
    prob, truth = np.random.default_rng(2).random((6, SIZE, SIZE)), random_masks(3)[1]
    patients = np.array(list("aabbcc"))
    whole = score_masks([(np.arange(6), prob, truth)], patients, Thresholds(0.5, 0.3))
    parts = score_masks(
        [(np.arange(2), prob[:2], truth[:2]), (np.arange(2, 6), prob[2:], truth[2:])], patients, Thresholds(0.5, 0.3)
    )
    assert whole.table.equals(parts.table)


def test_without_a_positive_the_scores_over_positives_are_undefined():
    prob, truth = np.full((3, SIZE, SIZE), 0.01), np.zeros((3, SIZE, SIZE), bool)
    thresholds = best_thresholds([(np.arange(3), prob, truth)])
    scores = score_masks([(np.arange(3), prob, truth)], np.array(list("abc")), thresholds)
    table = evaluate_masks(scores, resamples=20, seed=0).set_index("metric")["value"]
    assert table["dice_all"] == 1 and np.isnan(table["dice_positives"])
