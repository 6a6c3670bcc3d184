"""Metrics against scikit-learn and hand counts; intervals over patients."""

import numpy as np
import pytest
from sklearn import metrics as sk

from medslip_core import metrics

ONES = np.ones((1, 6))
TRUTH = np.array([1, 1, 0, 1, 0, 0.0])
PROB = np.array([0.9, 0.8, 0.8, 0.3, 0.2, 0.1])


def random_sample(n=200, ties=True, seed=0):
    generator = np.random.default_rng(seed)
    truth = (generator.random(n) < 0.3).astype(float)
    prob = np.clip(generator.normal(0.3 + 0.2 * truth, 0.2), 0, 1)
    return truth, np.round(prob, 1) if ties else prob


def test_hand_count():
    # 9 pairs; of the positives, 0.9 beats all 3, 0.8 beats 2 and ties 1, 0.3 beats 2
    assert metrics.auroc(TRUTH, PROB, ONES)[0] == pytest.approx((3 + 2.5 + 2) / 9)
    # steps: 0.9 -> 1/1, {0.8, 0.8} -> 2/3, 0.3 -> 3/4
    assert metrics.average_precision(TRUTH, PROB, ONES)[0] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert [float(cell[0]) for cell in metrics.confusion(TRUTH, PROB, 0.5, ONES)] == [2, 1, 1, 2]
    assert metrics.best_f1_threshold(TRUTH, PROB) == pytest.approx(0.25)  # 3 found, 1 false: F1 = 6 / 7


@pytest.mark.parametrize("ties", [True, False])
def test_against_scikit_learn(ties):
    truth, prob = random_sample(ties=ties)
    weight = np.random.default_rng(1).integers(0, 4, size=(5, len(truth))).astype(float)
    ours = metrics.class_metrics(truth, prob, 0.4, weight)
    called = prob >= 0.4
    for row, w in zip(ours, weight, strict=True):
        theirs = [
            sk.roc_auc_score(truth, prob, sample_weight=w),
            sk.average_precision_score(truth, prob, sample_weight=w),
            sk.f1_score(truth, called, sample_weight=w),
            sk.accuracy_score(truth, called, sample_weight=w),
            sk.recall_score(truth, called, sample_weight=w),
            sk.recall_score(truth, called, sample_weight=w, pos_label=0),
            sk.brier_score_loss(truth, prob, sample_weight=w),
        ]
        np.testing.assert_allclose(row[:-1], theirs, rtol=1e-10)


def test_weight_is_repetition():
    truth, prob = random_sample(60)
    times = np.random.default_rng(2).integers(0, 3, 60)
    weighted = metrics.class_metrics(truth, prob, 0.4, times[None].astype(float))
    repeated = metrics.class_metrics(truth.repeat(times), prob.repeat(times), 0.4, np.ones((1, times.sum())))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-10)


def test_calibration_error_by_naive_loop():
    truth, prob = random_sample(ties=False)
    expected = 0.0
    for low in np.arange(10) / 10:
        chosen = [i for i in range(len(prob)) if low <= prob[i] < low + 0.1 or (low == 0.9 and prob[i] == 1)]
        if chosen:
            expected += len(chosen) / len(prob) * abs(truth[chosen].mean() - prob[chosen].mean())
    ones = np.ones((1, len(truth)))
    assert metrics.expected_calibration_error(truth, prob, ones)[0] == pytest.approx(expected)
    assert metrics.expected_calibration_error(np.ones(6), np.ones(6), ONES)[0] == 0
    curve = metrics.reliability(np.r_[truth, np.nan], np.r_[prob, 0.5])
    assert (curve.n / 200 * (curve.frequency - curve.probability).abs()).sum() == pytest.approx(expected)


def test_calibration_error_of_the_surest():
    """A probability of 1 lies in the last bin, with those just below it."""
    truth, prob = np.array([1, 1, 1, 0.0]), np.array([1.0, 0.96, 1.0, 0.96])
    assert metrics.expected_calibration_error(truth, prob, np.ones((1, 4)))[0] == pytest.approx(0.98 - 0.75)


@pytest.mark.parametrize("judge", [metrics.reliability, metrics.best_f1_threshold])
def test_uncertain_labels_written_otherwise_are_refused(judge):
    with pytest.raises(ValueError, match="one is -1: write NaN for unknown or uncertain"):
        judge([1, 0, -1, np.nan], [0.9, 0.1, 0.5, 0.5])


def test_unknown_labels_are_left_out():
    with_unknown = metrics.class_metrics(np.r_[TRUTH, np.nan, np.nan], np.r_[PROB, 1, 0], 0.5, np.ones((1, 8)))
    np.testing.assert_array_equal(with_unknown, metrics.class_metrics(TRUTH, PROB, 0.5, ONES))
    assert metrics.best_f1_threshold(np.r_[TRUTH, np.nan], np.r_[PROB, 0.25]) == pytest.approx(0.25)


@pytest.mark.parametrize("truth", [np.zeros(6), np.ones(6), np.full(6, np.nan)])
def test_one_label_gives_nan_with_reason(truth):
    values = metrics.class_metrics(truth, PROB, 0.5, np.ones((3, 6)))
    assert np.isnan(values[:, :2]).all()
    expected = metrics.NO_LABELS if np.isnan(truth).all() else metrics.ONE_LABEL
    assert metrics.why_undefined(truth, 0.5, "auroc") == expected
    assert np.isnan(metrics.best_f1_threshold(truth, PROB))


@pytest.mark.parametrize("rare", [1, 0])
def test_a_single_image_with_the_other_label_is_enough(rare):
    truth = np.full(6, 1 - rare)
    truth[1] = rare
    values = metrics.class_metrics(truth.astype(float), PROB, 0.5, ONES)[0, :2]
    expected = [sk.roc_auc_score(truth, PROB), sk.average_precision_score(truth, PROB)]
    np.testing.assert_allclose(values, expected)


def test_patients_behind_a_value_are_those_of_the_label_it_needs():
    truth, patients = np.array([1, 1, 0, 0, 0, np.nan]), np.array(list("aabbcd"))
    behind = {metric: metrics.patients_behind(metric, truth, patients) for metric in ("auroc", "specificity", "brier")}
    assert behind == {"auroc": 1, "specificity": 2, "brier": 3}
    assert metrics.patients_behind_macro("specificity", [truth, 1 - truth, np.ones(6)], patients) == 1
    assert metrics.patients_behind_macro("auroc", [np.ones(6)], patients) == 0


def test_images_behind_a_value_count_once():
    counted, rows = np.array([1, 0, np.nan, 1]), np.array([5, 6, 7, 5])
    assert metrics.images_behind(counted, rows) == 2
    assert metrics.images_behind([[1, np.nan, np.nan], [0, 1, np.nan]], np.arange(3)) == 2


def test_an_interval_is_granted_by_the_patients_behind_and_not_where_resampling_biases_it():
    assert [metrics.has_interval("auroc", behind) for behind in (0, 9, 10)] == [False, False, True]
    assert metrics.has_interval("brier", 10) and not metrics.has_interval("ece", 1000)
    estimate = metrics.Estimate(np.array([0.5, 0.6]), np.array([0.4, 0.5]), np.array([0.6, 0.7])).where([True, False])
    np.testing.assert_equal([estimate.value, estimate.low, estimate.high], [[0.5, 0.6], [0.4, np.nan], [0.6, np.nan]])


def test_no_threshold_gives_nan_for_threshold_metrics_only():
    values = dict(zip(metrics.METRICS, metrics.class_metrics(TRUTH, PROB, np.nan, ONES)[0], strict=True))
    assert all(np.isnan(values[name]) for name in metrics.THRESHOLD_METRICS)
    assert not any(np.isnan(values[name]) for name in metrics.RANKING_METRICS + metrics.CALIBRATION_METRICS)
    assert metrics.why_undefined(TRUTH, np.nan, "f1") == metrics.NO_THRESHOLD


@pytest.mark.parametrize("prob", [np.zeros(6), PROB], ids=["none called positive", "some called positive"])
def test_f1_of_a_class_without_positives_is_undefined_whatever_is_called(prob):
    f1 = metrics.METRICS.index("f1")
    assert np.isnan(metrics.class_metrics(np.zeros(6), prob, 0.5, ONES)[0, f1])
    drawn = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 2, 0, 2, 2.0]])  # the second draw has no positive
    assert np.isnan(metrics.class_metrics(TRUTH, prob, 0.5, drawn)[:, f1]).tolist() == [False, True]
    assert metrics.why_undefined(np.zeros(6), 0.5, "f1") == metrics.ONE_LABEL


def test_best_f1_threshold_is_best_of_all():
    truth, prob = random_sample()
    chosen = sk.f1_score(truth, prob >= metrics.best_f1_threshold(truth, prob))
    assert chosen == pytest.approx(max(sk.f1_score(truth, prob >= t) for t in np.unique(prob)))


@pytest.mark.parametrize(
    ("truth", "threshold"),
    [
        ([0, 0, 1, 1], 0.6),  # halfway to the next lower probability
        ([0, 1, 1, 1], 0.3),
        ([1, 0, 1, 1], 0.2),  # none is lower: the lowest itself
    ],
)
def test_best_f1_threshold_lies_between_two_probabilities(truth, threshold):
    assert metrics.best_f1_threshold(np.array(truth), np.array([0.2, 0.4, 0.8, 0.9])) == pytest.approx(threshold)


def test_bootstrap_draws_patients_not_images():
    truth, prob = random_sample(100)
    once = metrics.patient_bootstrap(lambda w: metrics.brier(truth, prob, w), np.arange(100))
    # every image four times over, but of the same 100 patients: the very same interval
    again = metrics.patient_bootstrap(
        lambda w: metrics.brier(truth.repeat(4), prob.repeat(4), w), np.arange(100).repeat(4)
    )
    np.testing.assert_allclose([once.low, once.high], [again.low, again.high])
    # taken for 400 patients, it would be half as wide
    naive = metrics.patient_bootstrap(lambda w: metrics.brier(truth.repeat(4), prob.repeat(4), w), np.arange(400))
    assert (naive.high - naive.low) < 0.65 * (once.high - once.low)


def test_bootstrap_is_seeded_and_blind_to_order_and_memory(monkeypatch):
    truth, prob = random_sample(80)
    patients = np.random.default_rng(0).integers(0, 40, 80)
    order = np.random.default_rng(1).permutation(80)

    def interval(index, seed=0):
        statistic = lambda w: metrics.auroc(truth[index], prob[index], w)  # noqa: E731
        estimate = metrics.patient_bootstrap(statistic, patients[index], resamples=200, seed=seed)
        return [estimate.value, estimate.low, estimate.high]

    first = interval(np.arange(80))
    np.testing.assert_allclose(first, interval(order), rtol=1e-12)
    assert first[1:] != interval(np.arange(80), seed=1)[1:]
    assert first[1] < first[0] < first[2]
    monkeypatch.setattr(metrics, "_ELEMENTS_AT_ONCE", 500)
    np.testing.assert_allclose(first, interval(np.arange(80)), rtol=1e-12)


def test_interval_width_is_that_of_theory():
    values = np.random.default_rng(0).normal(size=400)
    estimate = metrics.patient_bootstrap(lambda w: metrics.weighted_mean(values, w), np.arange(400), resamples=2000)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
