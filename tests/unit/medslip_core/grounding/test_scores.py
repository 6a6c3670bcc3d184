"""Scores by hand; no leak from test to threshold."""

import numpy as np
import pandas as pd
import pytest
from bright_patches import SIZE, LooksAtBrightest, bright_corpus

from medslip_core.grounding.maps import attention_maps
from medslip_core.grounding.scores import (
    best_dice_threshold,
    contrast_to_noise,
    example_cases,
    pointing_game,
    score,
    score_baselines,
    score_question,
)
from medslip_core.grounding.summary import summarise
from medslip_core.grounding.truth import Truth, questions_of, rows_shown, widened
from medslip_core.overlap import THRESHOLDS, overlap


def truth_of(masks, first_row=0, label="mass"):
    rows = np.arange(len(masks)) + first_row
    return Truth(label, "masks", rows, rows, np.asarray(masks, bool))


def square(top, left, side=8):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_pointing_game_by_hand():
    mask = square(8, 8)
    heat = np.zeros((SIZE, SIZE))
    heat[10, 10] = 1
    assert pointing_game(heat, mask) == 1
    heat[20, 20] = 1  # a tie, half of it inside
    assert pointing_game(heat, mask) == 0.5
    heat[10, 10] = 0  # 5 rows and 5 columns beyond the last pixel (15, 15)
    assert pointing_game(heat, mask) == 0
    assert pointing_game(heat, widened(mask[None], 7)[0]) == 0
    assert pointing_game(heat, widened(mask[None], 7.1)[0]) == 1
    assert pointing_game(np.zeros_like(heat), mask) == mask.mean()


def test_contrast_by_hand():
    mask = square(8, 8)
    heat = square(8, 12).astype(float)  # half of it inside
    inside, outside = heat[mask], heat[~mask]
    expected = (inside.mean() - outside.mean()) / (inside.std() ** 2 + outside.std() ** 2) ** 0.5
    assert contrast_to_noise(heat, mask) == pytest.approx(expected)
    assert contrast_to_noise(1 - heat, mask) == pytest.approx(-expected)
    assert contrast_to_noise(np.ones_like(heat), mask) == 0
    assert np.isnan(contrast_to_noise(heat, np.ones_like(mask)))


def test_scores_of_a_model_that_looks_right():
    corpus, model = bright_corpus(16), LooksAtBrightest()
    (question,) = questions_of(corpus, "boxes", ["Nodule", "Pneumonia"])
    maps = attention_maps(model, corpus, rows_shown([question]))
    test, known = (
        {"pathology": maps.take(truth.rows).pathology("pneumonia")} for truth in (question.test, question.validation)
    )
    scores = score_question(question, test, known)
    ours = scores[scores["method"] == "pathology"]
    assert set(ours["label"]) == {"Pneumonia"} and len(ours) == 4
    assert (ours["pointing_game"] == 1).all() and (ours["dice"] > 0.7).all()
    chance = scores[scores["method"] == "random point"]
    np.testing.assert_allclose(chance["pointing_game"], 1 / 16)
    assert chance[["iou", "dice"]].isna().all(axis=None)
    summary = summarise(scores, "rsna", resamples=50)
    assert list(dict.fromkeys(summary["method"])) == [
        "pathology", "random point", "centre point", "mean truth", "mean map"
    ]  # fmt: skip
    assert set(summary["label"]) == {"Pneumonia"}  # the mean over one label is that label
    row = summary.query("method == 'pathology' and metric == 'pointing_game'").iloc[0]
    assert (row["value"], row["n"]) == (1, 4) and np.isnan(row["low"]), "four patients say little of others"


def test_threshold_is_the_best_of_validation_and_blind_to_test():
    masks = np.stack([square(8, 8), square(16, 4)])
    heat = np.stack([square(8, 8) * 0.5 + square(10, 10, 4) * 0.5, square(16, 4) * 0.6 + square(16, 4, 2) * 0.4])
    threshold = best_dice_threshold(heat, masks)
    naive = {t: np.mean([overlap(h >= t, m).dice for h, m in zip(heat, masks, strict=True)])
             for t in THRESHOLDS}  # fmt: skip
    assert naive[threshold] == max(naive.values()) == 1
    for test_heat in (heat, heat[::-1]):
        scores = score("m", test_heat, truth_of(masks, 10), heat, truth_of(masks))
        assert (scores["threshold"] == threshold).all()


def test_what_is_as_high_as_the_threshold_is_inside():
    mask, heat = square(8, 8), np.full((SIZE, SIZE), 0.47)
    heat[mask], heat[8, 8], heat[0, 0] = 0.5, 1, 0
    scores = score("m", heat[None], truth_of([mask], 1), heat[None], truth_of([mask]))
    assert scores["threshold"].tolist() == [0.5] and scores["dice"].tolist() == [1]


def test_baselines_look_at_the_centre_and_where_maps_are_highest_in_the_mean():
    centre, corner = square(SIZE // 2 - 4, SIZE // 2 - 4), square(0, 0)
    strong, weak = 10 * square(16, 0), square(0, 0, 4)  # once, and twice: each map counts as much
    for mask, at_centre, at_mean in ((centre, 1, 0), (corner, 0, 1)):
        known = truth_of([mask] * 3)
        scores = score_baselines(truth_of([mask], 10), known, np.stack([strong, weak, weak]).astype(float))
        pointed = scores.set_index("method")["pointing_game"]
        assert (pointed["centre point"], pointed["mean map"], pointed["mean truth"]) == (at_centre, at_mean, 1)


def test_scores_do_not_depend_on_the_other_images():
    generator = np.random.default_rng(0)
    maps, masks = generator.random((4, 4, 4)), np.stack([square(4 * i, 4) for i in range(4)])
    together = score("m", maps, truth_of(masks, 10), maps, truth_of(masks))
    alone = score("m", maps[2:3], truth_of(masks[2:3], 12), maps, truth_of(masks))
    pd.testing.assert_frame_equal(together.iloc[2:3].reset_index(drop=True), alone)


def test_leaks_and_misfits_raise():
    masks = np.stack([square(0, 0), square(8, 8)])
    maps = np.ones((2, 4, 4))
    with pytest.raises(ValueError, match="share 2 rows"):
        score("m", maps, truth_of(masks), maps, truth_of(masks))
    other_rows = Truth("mass", "masks", np.array([5, 6]), np.array([0, 1]), masks)
    with pytest.raises(ValueError, match="share 2 patients"):
        score("m", maps, other_rows, maps, truth_of(masks))
    with pytest.raises(ValueError, match="1 maps for 2 rows"):
        score("m", maps[:1], truth_of(masks, 5), maps, truth_of(masks))


def test_label_absent_from_validation_gives_nan_overlap_only():
    masks = np.stack([square(0, 0)])
    scores = score("m", np.ones((1, 4, 4)), truth_of(masks), np.ones((0, 4, 4)), truth_of(masks[:0]))
    assert scores[["iou", "dice"]].isna().all(axis=None) and scores["pointing_game"].notna().all()


def test_example_cases():
    masks = np.stack([square(0, 0)] * 3)
    heat = np.stack([square(0, 0), square(0, 4), square(16, 16)])
    scores = score("m", heat, truth_of(masks, 10), heat, truth_of(masks))
    cases = example_cases(scores, "iou")
    assert list(cases["case"]) == ["95 %", "50 %", "5 %"] and list(cases["row"]) == [10, 11, 12]
    assert list(example_cases(scores.assign(first=[0, 1, 2]), "first", "iou")["row"]) == [12, 11, 10]
    many = pd.DataFrame({"row": np.arange(41), "iou": np.linspace(0, 1, 41)})
    assert list(example_cases(many, "iou")["row"]) == [38, 20, 2]
