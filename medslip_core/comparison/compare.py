"""Variants against the first of them, on the same test images, with paired intervals and tests.

Images of one patient are alike, so whole patients are drawn with replacement; each draw is the same for all variants,
which takes out of the difference what makes images easy or hard for all of them. Intervals speak of other patients, not
of other training seeds. Tests speak of both: by chance, a difference is a normal deviate, with the variance over the
draws, plus one of Student's t for the seeds, with a variance for which all variants of a figure are taken together, as
few seeds of one tell little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from medslip_core.comparison.answers import ZERO_SHOT
from medslip_core.metrics import (
    auroc,
    has_interval,
    images_behind,
    mean_over_classes,
    patient_resamples,
    patients_behind_macro,
    percentile_interval,
    weighted_mean,
)

COLUMNS = ["figure", "protocol", "variant", "metric", "n", "seeds", "value", "low", "high", "difference",
           "difference_low", "difference_high", "difference_least", "difference_most", "p", "p_holm",
           "way"]  # fmt: skip


def compare(answers: Mapping[str, Sequence[pd.DataFrame]], resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Every figure of every variant, and its difference from that of the first; no row for one that was not asked.

    Args:
        answers: variant -> one table per training seed, as `comparison.answers` gives it.
        resamples: draws of patients; seed: of them.

    Returns:
        columns `COLUMNS`: value, macro over the labels and mean over the seeds, and its difference from the first
        variant's, each with a 95 % interval (NaN where `metrics.has_interval` grants none); n, the images behind
        it; the least and the most difference of a single seed; p of the difference, two-sided (NaN for the
        first, of one seed, and where there is no interval), and p_holm, adjusted
        in two families, as these are two questions: all differences without labels, and all after fine-tuning;
        way, in which the seeds answered (`answers.COLUMNS`).

    Raises:
        ValueError: the variants were not asked the same.
    """
    tables = [_figure(name, answers, resamples, seed) for name in _figures(answers)]
    result = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    families = result.groupby(result["protocol"] == ZERO_SHOT)["p"]
    result["p_holm"] = families.transform(lambda p: holm(p.to_numpy(float)))
    return result[COLUMNS]


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values [n], which control the family-wise error rate; NaN stays, and counts for nothing.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    ranked = tested[np.argsort(p[tested], kind="stable")]
    steps = p[ranked] * np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(np.maximum.accumulate(steps), 1) if len(ranked) else steps
    return adjusted


def _figures(answers: Mapping[str, Sequence[pd.DataFrame]]) -> list[str]:
    """The figures of the first variant, with which the others are compared."""
    first = next(iter(answers.values()), [])
    return list(dict.fromkeys(name for table in first for name in table["figure"]))


def _figure(name: str, answers: Mapping[str, Sequence[pd.DataFrame]], resamples: int, seed: int) -> pd.DataFrame:
    asked = ["label", "row", "patient", "truth"]
    chosen = {
        variant: [table[table["figure"] == name].sort_values(["label", "row"], ignore_index=True) for table in seeds]
        for variant, seeds in answers.items()
        if any(name in table["figure"].unique() for table in seeds)
    }
    first = next(iter(chosen.values()))[0]
    if len({len(seeds) for seeds in chosen.values()}) > 1:
        raise ValueError(f"{name}: the variants were not trained with the same seeds")
    for variant, seeds in chosen.items():
        if not all(table[asked].equals(first[asked]) for table in seeds):
            raise ValueError(f"{name}: {variant!r} was not asked the same as the others; run it again")
    metric = first["metric"].iloc[0]
    values = [[_macro(table, metric) for table in seeds] for seeds in chosen.values()]

    def statistic(weight: np.ndarray) -> np.ndarray:  # [R, n] -> [R, variants, value | difference]
        value = np.stack([np.mean([one(weight) for one in seeds], axis=0) for seeds in values], axis=1)
        return np.stack([value, value - value[:, :1]], axis=2)

    patients = first["patient"].to_numpy()
    drawn = patient_resamples(statistic, patients, resamples, seed)
    once = np.ones((1, len(patients)))
    told = has_interval(metric, _patients(first))
    estimate = percentile_interval(statistic(once)[0], drawn).where(told)
    of_seeds = np.array([[one(once)[0] for one in seeds] for seeds in values])  # [variants, seeds]
    apart = np.subtract(of_seeds, of_seeds[0])
    p = np.where(told, _two_sided(estimate.value[:, 1], drawn[:, :, 1], of_seeds), np.nan)
    rows = [
        {"figure": name, "protocol": first["protocol"].iloc[0], "variant": variant, "metric": metric,
         "n": images_behind(_counted(first), first["row"].to_numpy()), "seeds": len(seeds),
         "value": estimate.value[v, 0], "low": estimate.low[v, 0], "high": estimate.high[v, 0],
         "difference": estimate.value[v, 1], "difference_low": estimate.low[v, 1],
         "difference_high": estimate.high[v, 1], "difference_least": apart[v].min(), "difference_most": apart[v].max(),
         "p": p[v], "way": " or ".join(dict.fromkeys(table["way"].iloc[0] for table in seeds))}
        for v, (variant, seeds) in enumerate(chosen.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _counted(table: pd.DataFrame) -> np.ndarray:
    """What is NaN where an image does not count for its label."""
    return table["truth" if table["metric"].iloc[0] == "auroc" else "score"].to_numpy(float)


def _patients(table: pd.DataFrame) -> int:
    """How many patients speak of a figure, of its label with the fewest."""
    counted, patients = _counted(table), table["patient"].to_numpy()
    of_label = (np.where(table["label"] == label, counted, np.nan) for label in table["label"].unique())
    return patients_behind_macro(table["metric"].iloc[0], of_label, patients)


def _macro(table: pd.DataFrame, metric: str) -> Callable[[np.ndarray], np.ndarray]:
    """weights [R, n] -> the mean over labels [R]."""
    of_label = [np.flatnonzero(table["label"] == label) for label in dict.fromkeys(table["label"])]
    truth, score = table["truth"].to_numpy(float), table["score"].to_numpy(float)

    def per_label(weight: np.ndarray) -> np.ndarray:  # [R, labels]
        if metric == "auroc":
            known = [b[~np.isnan(truth[b])] for b in of_label]
            return np.stack([auroc(truth[b], score[b], weight[:, b]) for b in known], axis=1)
        return np.stack([weighted_mean(score[b], weight[:, b]) for b in of_label], axis=1)

    defined = ~np.isnan(per_label(np.ones((1, len(table)))))[0]
    return lambda weight: mean_over_classes(per_label(weight), defined)


def _two_sided(difference: np.ndarray, drawn: np.ndarray, of_seeds: np.ndarray) -> np.ndarray:
    """p of "no difference" of variants from the first of them; NaN for that, and with one seed.

    The variance over seeds is that of the values without the means of their variant and of their seed, which alone has
    (V - 1)(S - 1) degrees of freedom: every difference holds the first variant's seeds, so that the V - 1 differences
    tell less. It is taken to be the same for all variants. Simulated, with 2 or 3 seeds of 5 or 7 variants and five
    figures, Holm's level of 5 % is kept: 2 to 4 %, and 4 to 7 % if the seeds of another variant than the first spread
    twice as much. If the first's do, all its differences are judged too boldly: 4 to 17 %.

    Args:
        difference: [V], the mean over seeds; drawn: [R, V], on draws of patients; of_seeds: [V, S], values of single
            seeds.
    """
    variants, seeds = of_seeds.shape
    p = np.full(variants, np.nan)
    if seeds == 1 or variants == 1:
        return p
    alone = of_seeds - of_seeds.mean(axis=1, keepdims=True)
    alone -= alone.mean(axis=0)  # [V, S]: what a seed does to a variant, and not to all
    freedom = (variants - 1) * (seeds - 1)
    over_seeds = 2 * (alone**2).sum() / freedom / seeds  # of a difference of two means over seeds
    over_patients = np.nanvar(drawn, axis=0)[1:]
    told = over_patients + over_seeds > 0  # else nothing was drawn apart, and there is nothing to judge by
    chance = chance_of(np.abs(difference[1:]), over_patients, over_seeds, freedom)
    p[1:] = np.where(told, chance, np.where(difference[1:] == 0, 1.0, np.nan))
    return p


def chance_of(distance: np.ndarray, known: np.ndarray, estimated: float, freedom: int) -> np.ndarray:
    """How often a normal deviate plus one of Student's t lies as far from zero, on either side.

    Args:
        distance: [n] >= 0; known: [n], the variance of the normal deviate; estimated: that by which Student's t is
            scaled; freedom: the degrees of freedom with which it was estimated.

    Source: the Behrens-Fisher distribution, one variance being known: Fisher, "The fiducial argument in statistical
    inference", 1935. Satterthwaite's degrees of freedom, read off the same few seeds, let pass twice what they should.
    """
    from scipy.special import stdtr

    normal = np.linspace(-8, 8, 10_001)
    weight = np.exp(-(normal**2) / 2)
    scale = np.sqrt(max(estimated, np.finfo(float).tiny))
    beyond = stdtr(freedom, -(distance[:, None] + np.sqrt(known)[:, None] * normal) / scale)  # [n, normal]
    return np.minimum(2 * beyond @ weight / weight.sum(), 1)
