"""Variants compared: by hand, paired, over seeds, and refused where they were not asked the same."""

import numpy as np
import pandas as pd
import pytest
from tiny_comparison import table

from medslip_core.comparison import reading
from medslip_core.comparison.compare import _two_sided, compare, holm


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0] and len(holm(np.array([]))) == 0


def test_no_difference_is_found_as_rarely_as_said_though_seeds_differ() -> None:
    """Patients and seeds with a variance each, and no difference but by chance."""
    draw, of_patients, of_seeds = np.random.default_rng(0), 0.01, 0.03
    found = []
    for _ in range(400):
        shared = draw.normal(0, of_patients, 7)
        seeds = shared[:, None] + draw.normal(0, of_seeds, (7, 2))
        apart = seeds - seeds[0]
        drawn = apart.mean(axis=1) + draw.normal(0, of_patients * np.sqrt(2), (200, 7))
        found.append(_two_sided(apart.mean(axis=1), drawn, apart)[1:] < 0.05)
    assert 0.02 < np.mean(found) < 0.08


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


def test_variants_asked_otherwise_are_refused(asked) -> None:
    asked["guess"][0] = asked["guess"][0].iloc[1:]
    with pytest.raises(ValueError, match="AUROC, a: 'guess' was not asked the same"):
        compare(asked)
    with pytest.raises(ValueError, match="AUROC, a: the variants were not trained with the same seeds"):
        compare({"full": asked["full"], "same": asked["same"] * 2})


def test_no_answers_give_an_empty_table() -> None:
    assert compare({}).empty
