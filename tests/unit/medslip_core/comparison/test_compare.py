"""Variants compared: by hand, paired, over seeds, and refused where they were not asked the same."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny_comparison import table

from medslip_core.comparison import reading
from medslip_core.comparison.compare import _two_sided, chance_of, compare, holm

STANDARD = stats.norm.ppf((np.arange(500) + 0.5) / 500)
"""Draws with a variance of nearly 1."""


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0] and len(holm(np.array([]))) == 0


@pytest.mark.parametrize("shared", [0.0, 2.0], ids=["seeds of their own", "seeds that act alike on all"])
@pytest.mark.parametrize("variants", [2, 5])
def test_differences_are_found_by_chance_as_rarely_as_said(variants: int, shared: float) -> None:
    """Five figures of variants, all compared with the first and its two seeds; patients and seeds, no difference.

    Of 400 such tables 5 % may show one: 20, and 9 more by chance of the simulation (two standard deviations).
    """
    draw, of_patients = np.random.default_rng(0), 0.3
    found, wrong = [], 0
    for _ in range(400):
        table = []
        for _ in range(5):
            seeds = draw.normal(0, 1, (variants, 2)) + shared * draw.normal(0, 1, 2)
            values = seeds + of_patients * draw.normal(0, 1, (variants, 1))
            drawn = of_patients * np.sqrt(2) * STANDARD[:, None] * np.ones(variants)
            table.append(_two_sided(values.mean(axis=1) - values[0].mean(), drawn, values)[1:])
        found.extend(np.concatenate(table) < 0.05)
        wrong += holm(np.concatenate(table)).min() < 0.05
    assert wrong <= 29 and 0.02 < np.mean(found) < 0.06


def test_chance_is_normal_of_patients_alone_and_students_of_seeds_alone() -> None:
    far, none = np.array([0.0, 1.0, 3.0]), np.zeros(3)
    np.testing.assert_allclose(chance_of(far, none, 1.0, 4), 2 * stats.t.sf(far, 4), rtol=1e-9)
    np.testing.assert_allclose(chance_of(far, none + 1, 0.0, 4), 2 * stats.norm.sf(far), rtol=0.002)
    draw = np.random.default_rng(0)
    sums = draw.normal(0, 1, 200_000) + 2 * draw.standard_t(3, 200_000)
    assert chance_of(far[2:], none[2:] + 1, 4.0, 3)[0] == pytest.approx(np.mean(np.abs(sums) > 3), abs=0.003)


def test_one_seed_tells_nothing_of_others(asked) -> None:
    assert compare(asked, resamples=50)["p"].isna().all()


def test_a_worse_variant_is_below_and_the_same_one_is_not(asked) -> None:
    result = compare({name: seeds * 2 for name, seeds in asked.items()}, resamples=500).set_index("variant")
    assert result.loc["same", "difference"] == 0 and result.loc["same", "p"] == 1
    assert np.isnan(result.loc["full", ["p", "p_holm"]].astype(float)).all() and result.loc["full", "difference"] == 0
    guess = result.loc["guess"]
    assert guess["difference_high"] < 0 and guess["p_holm"] < 0.05
    assert guess["difference"] == pytest.approx(guess["value"] - result.loc["full", "value"])
    assert (result["n"] == 200).all() and (result["seeds"] == 2).all()


@pytest.mark.parametrize("known", [slice(0, 1), slice(0, 12)])
def test_few_patients_tell_nothing_beyond_chance(known: slice) -> None:
    """Draws of one patient are all alike, which is no certainty; six are too few for a normal distribution."""
    truth = np.full(200, np.nan)
    truth[known] = 1
    truth[100:] = 0
    answers = {"full": [table(np.where(truth == 1, 0.9, 0.1), truth)], "worse": [table(np.full(200, 0.5), truth)]}
    answers = {name: seeds * 2 for name, seeds in answers.items()}
    result = compare(answers, resamples=100)
    assert result.loc[1, "difference"] == -0.5 and np.isnan(result.loc[1, "p"])
    assert result[["low", "high", "difference_low", "difference_high"]].isna().all(axis=None)
    assert not reading.is_certain(result).any() and "−0.500)" in reading.differences(result).loc[1, "AUROC, a"]
    assert reading.forest_of_differences(result).figure is not None


@pytest.mark.parametrize("positives, tested", [(18, False), (20, True)])
def test_few_patients_of_each_label_tell_nothing_of_their_mean(positives: int, tested: bool) -> None:
    """Two labels with 9 or 10 positive patients, twice as many in all, and one with as many as there are negatives."""
    draw, answers = np.random.default_rng(0), {}
    for variant in ("full", "other"):
        of_labels = []
        for label, shown in (("x", range(positives)), ("y", range(50, 50 + positives)), ("z", range(100))):
            truth = np.isin(np.arange(200), shown).astype(float)
            of_labels.append(table(draw.random(200), truth).assign(label=label))
        answers[variant] = [pd.concat(of_labels)] * 2
    result = compare(answers, resamples=50)
    assert result["p"].notna().tolist() == [False, tested] and (result["n"] == 200).all(), "images, of three labels"


def test_without_labels_and_after_fine_tuning_are_families_of_their_own(asked) -> None:
    several = {
        name: [pd.concat([one.assign(protocol=p, figure=p) for p in ("zero-shot", "linear", "frozen")])] * 2
        for name, (one,) in asked.items()
    }
    result = compare(several, resamples=50)
    for family in (["zero-shot"], ["linear", "frozen"]):
        part = result[result["protocol"].isin(family)]
        np.testing.assert_allclose(part["p_holm"], holm(part["p"].to_numpy()))
    guess = result[result["variant"] == "guess"].set_index("figure")
    assert guess["p"].nunique() == 1 and 0 < guess.loc["zero-shot", "p_holm"] < guess.loc["linear", "p_holm"]


def test_the_difference_is_paired(asked) -> None:
    """What makes images hard for both cancels: the difference is known better than either figure."""
    noisy = compare(asked, resamples=500).set_index("variant").loc["noisy"]
    assert noisy["difference_high"] - noisy["difference_low"] < (noisy["high"] - noisy["low"]) / 3


def test_seeds_are_averaged_and_told_apart(asked) -> None:
    seeds = {"full": asked["full"] * 2, "mixed": [*asked["same"], *asked["guess"]], "guess": asked["guess"] * 2}
    both = compare(seeds, resamples=50)
    mixed = both.iloc[1]
    assert mixed["difference_most"] == 0 and mixed["difference_least"] == pytest.approx(2 * mixed["difference"])
    assert not reading.is_certain(both).any(), "seeds that disagree speak of the other variants, too"
    agreeing = compare({"full": seeds["full"], "guess": seeds["guess"]}, resamples=50)
    assert reading.is_certain(agreeing).tolist() == [False, True]
    alone = compare(asked, resamples=20).set_index("variant")["value"]
    assert both["value"].iloc[1] == pytest.approx((alone["same"] + alone["guess"]) / 2) and both["seeds"].iloc[1] == 2


def test_each_interval_is_that_of_its_own_figure(asked) -> None:
    result = compare(asked, resamples=200).set_index("variant")
    assert ((result["low"] < result["value"]) & (result["value"] < result["high"])).all()
    assert result.loc["full", ["difference_low", "difference_high"]].tolist() == [0, 0]
    guess = result.loc["guess"]
    assert guess["difference_low"] < guess["difference"] < guess["difference_high"] < guess["low"]


def test_a_score_is_its_mean_over_labels_of_which_each_weighs_as_much() -> None:
    """Forty images of x, ten of y, which weighs as much, and z without an answer; two images a patient."""
    score = {"x": np.linspace(0, 1, 40), "y": np.tile([0.0, 0.4], 5), "z": np.full(6, np.nan)}
    answers = pd.concat([
        table(one, np.ones(len(one))).assign(label=label, metric="pointing_game") for label, one in score.items()
    ])  # fmt: skip
    (row,) = compare({"full": [answers]}, resamples=300).to_dict("records")
    assert row["value"] == pytest.approx((0.5 + 0.2) / 2) and row["n"] == 40
    assert np.isnan(row["low"]), "five patients say little of y"
    more = pd.concat([answers[answers["label"] == "x"], table(np.tile([0.0, 0.4], 10), np.ones(20)).assign(
        label="y", metric="pointing_game")])  # fmt: skip
    (row,) = compare({"full": [more]}, resamples=300).to_dict("records")
    assert row["value"] == pytest.approx(0.35) and row["low"] < 0.35 < row["high"]


def test_variants_asked_otherwise_are_refused(asked) -> None:
    asked["guess"][0] = asked["guess"][0].iloc[1:]
    with pytest.raises(ValueError, match="AUROC, a: 'guess' was not asked the same"):
        compare(asked)
    with pytest.raises(ValueError, match="AUROC, a: the variants were not trained with the same seeds"):
        compare({"full": asked["full"], "same": asked["same"] * 2})


def test_no_answers_give_an_empty_table() -> None:
    assert compare({}).empty
