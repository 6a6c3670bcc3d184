"""Paired differences of fine-tuned weights: against a loop, on runs that are alike, and in words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from medslip_core.finetune import figures, reading, results
from medslip_core.finetune.compare import Case, case_of, cases, compare, difference, over_seeds
from medslip_core.finetune.scores import MASK_METRICS, MaskScores, Thresholds
from medslip_core.finetune.summary import comparisons
from medslip_core.zero_shot import ClassPredictions

PATIENTS = np.repeat([f"p{i:02d}" for i in range(20)], 3)
HARD = np.random.default_rng(0).normal(0, 1, 20).repeat(3)  # who is hard for one is hard for all


def case(weights: str, of_seeds: dict[int, np.ndarray], fraction: float = 1.0, **changes) -> Case:
    """A case whose metric is the mean of one score per image."""
    scores = np.stack(list(of_seeds.values()))  # [S, n]
    named = {"task": "t", "dataset": "nih", "kind": "classification", "features": "trunk", "protocol": "linear",
             "fraction": fraction, "weights": weights}  # fmt: skip
    values = lambda weight: (weight @ scores.T / weight.sum(axis=1)[:, None])[:, :, None]  # noqa: E731
    made = case_of(named, tuple(of_seeds), ["auroc"], values, np.arange(60), PATIENTS, [20], 5, resamples=400)
    return replace(made, named={**named, **changes})


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, 60)


def test_a_difference_is_that_of_a_loop_over_draws():
    ours = case("a", {0: HARD + noise(1), 1: HARD + noise(2)})
    other = case("b", {0: HARD - 0.02 + noise(3), 1: HARD - 0.01 + noise(4)})
    found = difference(ours, other, "auroc")
    scores = [[HARD + noise(1), HARD + noise(2)], [HARD - 0.02 + noise(3), HARD - 0.01 + noise(4)]]
    generator, drawn = np.random.default_rng(0), []
    for times in generator.multinomial(20, np.full(20, 1 / 20), size=400):
        images = [row for p, count in enumerate(times) for _ in range(count) for row in range(3 * p, 3 * p + 3)]
        drawn.append(np.mean([one[images].mean() for one in scores[0]])
                     - np.mean([one[images].mean() for one in scores[1]]))  # fmt: skip
    assert found["difference"] == pytest.approx(np.mean(scores[0]) - np.mean(scores[1]))
    assert [found["difference_low"], found["difference_high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_overlapping_intervals_do_not_hide_a_difference():
    ours, other = case("a", {0: HARD + 0.1 + noise(1)}), case("b", {0: HARD + noise(2)})
    found = difference(ours, other, "auroc")
    assert found["low"] < found["high_other"], "the weights' own intervals overlap"
    assert found["apart"] == "above" and found["difference_low"] > 0
    assert difference(other, ours, "auroc")["apart"] == "below"
    assert difference(ours, ours, "auroc")["apart"] == "no"
    nowhere = case("c", {0: np.full(60, np.nan)})
    assert difference(ours, nowhere, "auroc")["apart"] == "undefined"


def test_only_seeds_that_both_have_are_paired_and_those_that_agree_are_counted():
    ours = case("a", {0: HARD, 1: HARD, 2: HARD + 9})
    other = case("b", {1: HARD + 0.1, 0: HARD - 0.3})
    found = difference(ours, other, "auroc")
    assert (found["seeds"], found["agreeing"]) == (2, 1) and found["difference"] == pytest.approx(0.1)
    assert compare([ours, case("b", {7: HARD})], "a", "b", ["auroc"]).empty
    without = replace(case("z", {0: HARD + 1}), seeds=())
    assert difference(without, other, "auroc")["agreeing"] == 2, "what has no seed stands beside every seed"


def test_other_test_images_cannot_be_paired():
    ours = case("a", {0: HARD})
    with pytest.raises(ValueError, match="not tested on the same images; run them again"):
        difference(ours, replace(case("b", {0: HARD}), rows=np.arange(1, 61)), "auroc")


def run(folder: Path, weights: str, kind: str, predictions: dict) -> results.Run:
    """A finished run of seed 0."""
    named = {"task": "t", "dataset": "nih", "kind": kind, "features": "", "protocol": "full", "fraction": 1.0,
             "weights": weights, "train_patients": 5}  # fmt: skip
    results.write_run(
        folder / weights, {"seed": 0, "task": "t", "fraction": 1.0}, pd.DataFrame([named]), [], predictions
    )
    return results.read_run(folder / weights)


@pytest.mark.parametrize("positives, told", [(9, "undefined"), (10, "above")])
def test_few_positive_patients_tell_nothing_of_a_score_over_positives(positives, told, tmp_path):
    positive, runs = np.arange(60) < 3 * positives, []
    for weights, score in (("a", 0.9), ("b", 0.5)):
        table = pd.DataFrame({"row": np.arange(60), "patient": PATIENTS, "positive": positive})
        for metric in MASK_METRICS:
            table[metric] = score if metric.endswith("_all") else np.where(positive, score, np.nan)
        scores = MaskScores(table, np.zeros((60, 1, 1), np.uint8), Thresholds(0.5, 0.5))
        runs.append(run(tmp_path, weights, "segmentation", results.packed_masks(scores)))
    ours, other = cases(runs, resamples=20)
    apart = [difference(ours, other, metric) for metric in ("dice_positives", "iou_positives", "dice_all")]
    assert [one["apart"] for one in apart] == [told, told, "above"]
    ends = [apart[0][name] for name in ("low", "high", "low_other", "high_other", "difference_low", "difference_high")]
    over = over_seeds([ours]).set_index("metric").loc["dice_positives"]
    assert np.isnan([*ends, over["low"], over["high"]]).tolist() == [told == "undefined"] * 8


@pytest.mark.parametrize("positives, told", [(0, "above"), (9, "undefined"), (10, "above"), (11, "undefined")])
def test_a_class_with_few_patients_of_a_label_tells_nothing_of_a_mean_that_it_is_in(positives, told, tmp_path):
    """Of 20 patients; a class without positives has no AUROC and is not in the mean."""
    labels, runs = np.stack([np.arange(60) < 30, np.arange(60) < 3 * positives], axis=1).astype(np.float32), []
    for weights, prob in (("a", 0.1 + 0.8 * labels), ("b", np.full((60, 2), 0.5))):
        test = ClassPredictions("nih", ("Effusion", "Mass"), np.arange(60), PATIENTS, labels, prob)
        runs.append(run(tmp_path, weights, "classification", results.packed_classes(test, test)))
    ours, other = cases(runs, resamples=20)
    for metric in ("auroc", "average_precision", "auroc_learnable"):
        assert difference(ours, other, metric)["apart"] == told
    assert difference(ours, other, "accuracy")["apart"] == "above"


def test_only_classes_that_could_be_learned_count_as_learnable(tmp_path):
    draw, labels = np.random.default_rng(0), np.stack([np.arange(60) < 30, np.arange(60) % 2], axis=1)
    test = ClassPredictions(
        "nih", ("Effusion", "Mass"), np.arange(60), PATIENTS, labels.astype(np.float32), draw.random((60, 2))
    )
    runs = [run(tmp_path, "a", "classification", results.packed_classes(test, test))]
    held = pd.DataFrame({"task": ["t"], "fraction": [1.0], "seed": [0], "empty": [["Mass"]]})
    (told,), (both,) = cases(runs, 20, held), cases(runs, 20)
    learnable = told.mean("auroc_learnable").value
    assert learnable == pytest.approx(roc_auc_score(labels[:, 0], test.probabilities[:, 0]))
    assert both.mean("auroc_learnable").value == both.mean("auroc").value != learnable


def test_seeds_tested_on_other_images_are_refused(tmp_path):
    runs = []
    for seed, first in ((0, 0), (1, 1)):
        labels = np.tile([[0.0], [1.0]], (30, 1)).astype(np.float32)
        test = ClassPredictions("nih", ("Mass",), np.arange(60) + first, PATIENTS, labels, np.full((60, 1), 0.5))
        runs.append(run(tmp_path / f"of-seed{seed}", "a", "classification", results.packed_classes(test, test)))
    with pytest.raises(ValueError, match="^a and its other seeds were not tested on the same images"):
        cases(runs, 20)


@pytest.fixture
def found() -> list[Case]:
    """What `a` reaches with a tenth of the labels, `b` reaches with all."""
    height = {("a", 0.1): 0.5, ("a", 1.0): 0.6, ("b", 0.1): 0.2, ("b", 1.0): 0.5}
    return [case(name, {0: HARD + up, 1: HARD + up}, fraction) for (name, fraction), up in height.items()]


def test_how_many_labels_are_needed_is_read_at_the_height_of_the_others(found):
    (row,) = reading.labels_needed(found, "a", ["b"]).to_dict("records")
    assert (row["fraction"], row["fraction_other"]) == (0.1, 1.0)
    assert row["level"] == pytest.approx(HARD.mean() + 0.5)
    (turned,) = reading.labels_needed(found, "b", ["a"]).to_dict("records")
    assert np.isnan(turned["fraction"]) and turned["fraction_other"] == 1.0
    told = reading.labels_table(reading.labels_needed(found, "a", ["b"]), "a")
    assert told[["they need", "a needs"]].to_numpy().tolist() == [["100\u00a0%", "10\u00a0%"]]


def test_differences_read_with_three_decimals_and_in_words(found):
    pairs = comparisons(found, ["a", "b"])
    (row,) = reading.differences(pairs).to_dict("records")
    assert row == {"task": "t, linear", "metric": "AUROC", "10\u00a0%": "above: 0.300 [0.300,\u00a00.300] (2/2)",
                   "100\u00a0%": "above: 0.100 [0.100,\u00a00.100] (2/2)"}  # fmt: skip
    (row,) = reading.differences(comparisons(found, ["b", "a"])).to_dict("records")
    assert row["10\u00a0%"].startswith("below: −0.300 [−0.300")
    words = reading.in_words(pairs, "a")
    assert "*a* against *b*, classification: above in 2 of 2: 1 of 1 with fewer than 100" in words
    assert "below in none" in words and "Of 2 intervals" in words


def test_a_difference_without_a_value_is_a_dash_and_nothing_to_compare_is_nothing(found):
    pairs = comparisons([found[0], case("b", {0: np.full(60, np.nan)}, 0.1)], ["a", "b"])
    assert reading.differences(pairs)["10\u00a0%"].tolist() == ["–"] and reading.in_words(pairs, "a").count("\n") == 0
    nothing = comparisons(found, ["a", "nobody"])
    assert nothing.empty and reading.differences(nothing).empty and reading.in_words(nothing, "a") == ""
    assert reading.labels_needed(found, "a", ["nobody"]).empty


@pytest.fixture
def zero(found) -> list[Case]:
    without = case("a", {0: HARD + 0.9}, 0.0, protocol="zero-shot")
    return [replace(without, seeds=()), replace(without, seeds=(), named={**without.named, "task": "other"})]


def test_zero_shot_stands_beside_the_same_weights_and_task(found, zero):
    beside = reading.without_labels(zero, found)
    assert beside[["task", "weights", "fraction"]].to_numpy().tolist() == [["t", "a", 0.1], ["t", "a", 1.0]]
    assert beside["difference"].tolist() == pytest.approx([0.4, 0.3])
    words = reading.without_labels_in_words(beside)
    assert "lies above *linear* with 100\u00a0% of the labels" in words and "difference 0.300 [" in words
    assert "nothing can be asked" in reading.without_labels_in_words(reading.without_labels([], found))


def test_the_curves_show_zero_shot_of_their_task_as_a_line(found, zero):
    summary = over_seeds(found)
    drawn = figures.learning_curves(summary, "auroc", zero_shot=over_seeds(zero))
    (axis,) = drawn.figure.axes
    level = float(HARD.mean() + 0.9)
    (line,) = [line for line in axis.lines if line.get_label() == "a, no label"]
    assert list(line.get_ydata()) == pytest.approx([level, level])
    assert f"a, no label: {level:.2f}" in drawn.alt
    texts = [text.get_text() for text in drawn.figure.legends[0].get_texts()]
    assert texts == ["a", "b", "a, no label"]
    assert "no label" not in figures.learning_curves(summary, "auroc").alt
    few = [over_seeds([replace(one, test_patients=(9,)) for one in cases]) for cases in (found, zero)]
    assert few[0]["low"].isna().all()
    drawn = figures.learning_curves(few[0], "auroc", zero_shot=few[1])
    assert f"a, no label: {level:.2f}" in drawn.alt and drawn.figure.canvas.draw() is None
    pd.testing.assert_frame_equal(summary, over_seeds(found))
