"""Finished runs side by side: means over seeds, and paired differences on the same test patients.

Images of one patient are alike, so whole patients are drawn with replacement; each draw is the same for all runs of a
task, which takes out of a difference what makes images easy or hard for all of them. Intervals speak of other patients,
not of other seeds: how many of the seeds agree stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medslip_core.finetune.results import CASE, Run, class_predictions, mask_scores
from medslip_core.finetune.scores import MASK_METRICS, mask_values
from medslip_core.metrics import (
    METRICS,
    Estimate,
    best_f1_threshold,
    class_metrics,
    has_interval,
    mean_over_classes,
    patient_resamples,
    patients_behind,
    patients_behind_macro,
    percentile_interval,
)

DIFFERENCE = ["seeds", "agreeing", "value", "low", "high", "value_other", "low_other", "high_other", "difference",
              "difference_low", "difference_high", "apart"]  # fmt: skip
PAIR = ["against", "task", "dataset", "kind", "features", "protocol", "fraction", "fraction_other", "metric"]

Values = Callable[[np.ndarray], np.ndarray]  # weights [R, n] -> [R, seeds, metrics]


@dataclass(frozen=True)
class Case:
    """Runs that differ in nothing but the seed: their metrics, macro over the classes, on draws of test patients.

    Args:
        named: of `results.CASE`, what these runs are.
        seeds: S seeds; none where nothing depends on one (S = 1).
        metrics: M names.
        value: [S, M] on the test images; drawn: [R, S, M] on draws of their patients.
        rows: [n] test rows of the corpus.
        test_patients: M, how many of their patients speak of each metric, see `metrics.patients_behind_macro`.
        train_patients: whose labels were learned from.
    """

    named: Mapping[str, Any]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    value: np.ndarray
    drawn: np.ndarray
    rows: np.ndarray
    test_patients: tuple[int, ...]
    train_patients: int

    def mean(self, metric: str, seeds: Sequence[int] = ()) -> Estimate:
        """Over some seeds, over all if none is named, with the 95 % interval that `metrics.has_interval` grants it."""
        value, drawn = self.of_seeds(metric, seeds)
        return percentile_interval(value.mean(), drawn.mean(axis=1)).where(
            has_interval(metric, self.patients_behind(metric))
        )

    def patients_behind(self, metric: str) -> int:
        """How many test patients speak of a metric."""
        return self.test_patients[self.metrics.index(metric)]

    def of_seeds(self, metric: str, seeds: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """A metric of some seeds, of all if none is named: [S] and, on the draws, [R, S]."""
        place = [self.seeds.index(seed) for seed in seeds] or slice(None)
        m = self.metrics.index(metric)
        return self.value[place, m], self.drawn[:, place, m]


def cases(runs: Sequence[Run], resamples: int = 1000, held: pd.DataFrame | None = None) -> list[Case]:
    """Finished runs, those that differ in nothing but the seed together.

    Args:
        resamples: draws of patients.
        held: as `grid.empty_cells` returns it; with it, classification has a metric "auroc_learnable" too: AUROC, macro
            over the classes of which a seed's training labels held both a positive and a negative.

    Raises:
        ValueError: seeds of a case were not tested on the same images.
    """
    grouped: dict[tuple, list[Run]] = {}
    for run in runs:
        grouped.setdefault(tuple(run.table.iloc[0][CASE]), []).append(run)
    found = []
    for key, members in grouped.items():
        named = dict(zip(CASE, key, strict=True))
        of_kind = _of_classes(members, held) if named["kind"] == "classification" else _of_masks(members)
        seeds = tuple(int(run.identity["seed"]) for run in members)
        found.append(case_of(named, seeds, *of_kind, int(members[0].table["train_patients"].iloc[0]), resamples))
    return found


def case_of(
    named: Mapping[str, Any], seeds: tuple[int, ...], metrics: Sequence[str], values: Values, rows: np.ndarray,
    patients: np.ndarray, test_patients: Sequence[int], train_patients: int, resamples: int,
) -> Case:  # fmt: skip
    """A case from values under weights; patients: [n] those of the rows, for the rest see `Case`.

    The draws are the same for all cases of the same patients, else nothing would be paired.
    """
    value = values(np.ones((1, len(patients))))[0]
    drawn = patient_resamples(values, patients, resamples)
    return Case(named, seeds, tuple(metrics), value, drawn, rows, tuple(test_patients), train_patients)


def over_seeds(found: Sequence[Case]) -> pd.DataFrame:
    """The mean over seeds of every case.

    Returns:
        columns `CASE`, metric, value (mean over seeds), low and high (95 % over test patients, of that mean; NaN where
        `metrics.has_interval` grants none), seeds, least and most (of the single seeds), train_patients.
    """
    rows = []
    for case in found:
        for metric in case.metrics:
            numbers, each = _numbers(case.mean(metric)), case.of_seeds(metric)[0]
            rows.append(
                {**case.named, "metric": metric, **numbers, "seeds": len(case.seeds), "least": each.min(),
                 "most": each.max(), "train_patients": case.train_patients}
            )  # fmt: skip
    columns = [*CASE, "metric", "value", "low", "high", "seeds", "least", "most", "train_patients"]
    return pd.DataFrame(rows, columns=columns)


def compare(
    found: Sequence[Case], ours: str, other: str, metrics: Sequence[str], fraction_other: float | None = None
) -> pd.DataFrame:
    """One kind of initial weights against another, paired over patients and seeds.

    Args:
        ours, other: names of weights; metrics: which ones, where a case has them.
        fraction_other: of the other's labels; None: the same as ours.

    Returns:
        columns `PAIR` and `DIFFERENCE`, as `difference` gives it.

    Raises:
        ValueError: the two were not tested on the same images.
    """
    keys = [name for name in CASE if name not in ("weights", "fraction")]
    by_name = {(*(case.named[key] for key in keys), case.named["weights"], case.named["fraction"]): case
               for case in found}  # fmt: skip
    rows = []
    for (*key, weights, fraction), case in by_name.items():
        of_other = fraction if fraction_other is None else fraction_other
        beside = by_name.get((*key, other, of_other))
        if weights != ours or beside is None or not set(case.seeds) & set(beside.seeds):
            continue
        for metric in [metric for metric in metrics if metric in case.metrics]:
            named = dict(zip(keys, key, strict=True)) | {"fraction": fraction, "fraction_other": of_other}
            rows.append({"against": other, **named, "metric": metric, **difference(case, beside, metric)})
    return pd.DataFrame(rows, columns=[*PAIR, *DIFFERENCE])


def difference(ours: Case, other: Case, metric: str) -> dict[str, Any]:
    """A metric of two cases, the mean over the seeds that both have, and its paired difference.

    Returns:
        `DIFFERENCE`: value, low, high of ours and of the other; difference between them, with the ends of its 95 %
        interval under the same draws of patients (all ends NaN where `metrics.has_interval` grants none); apart:
        "above" or "below" where that interval leaves out 0, else "no", and "undefined" where there is none; agreeing:
        the seeds whose own difference has the sign of the mean's.

    Raises:
        ValueError: the two were not tested on the same images.
    """
    if not np.array_equal(ours.rows, other.rows):
        raise ValueError(f"{ours.named} and {other.named} were not tested on the same images; run them again")
    paired = tuple(seed for seed in ours.seeds if seed in other.seeds)
    seeds = [paired if case.seeds else () for case in (ours, other)]
    value, drawn = ours.of_seeds(metric, seeds[0])
    value_other, drawn_other = other.of_seeds(metric, seeds[1])
    each = value - value_other  # [S]; a case without seeds stands beside every seed
    told = has_interval(metric, min(case.patients_behind(metric) for case in (ours, other)))
    mean = percentile_interval(each.mean(), (drawn - drawn_other).mean(axis=1)).where(told)
    apart = "undefined" if np.isnan(mean.low) else "above" if mean.low > 0 else "below" if mean.high < 0 else "no"
    return {
        "seeds": len(each), "agreeing": int((np.sign(each) == np.sign(mean.value)).sum()),
        **_numbers(ours.mean(metric, seeds[0])), **_numbers(other.mean(metric, seeds[1]), "{}_other"),
        "difference": float(mean.value), "difference_low": float(mean.low), "difference_high": float(mean.high),
        "apart": apart,
    }  # fmt: skip


def _numbers(estimate: Estimate, form: str = "{}") -> dict[str, float]:
    return {form.format(name): float(getattr(estimate, name)) for name in ("value", "low", "high")}


Told = tuple[Sequence[str], Values, np.ndarray, np.ndarray, Sequence[int]]
"""metrics, values, test rows, their patients, how many of these speak of each metric"""


def _of_classes(runs: list[Run], held: pd.DataFrame | None) -> Told:
    tests = [class_predictions(run) for run in runs]
    learnable = [_learnable(run, test.classes, held) for run, test in zip(runs, tests, strict=True)]
    _check_same([test.rows for test in tests], runs)
    thresholds = [
        [best_f1_threshold(*pair) for pair in zip(one.labels.T, one.probabilities.T, strict=True)]
        for one in (class_predictions(run, "validate") for run in runs)
    ]

    told = [[getattr(test, name).astype(float) for test in tests] for name in ("labels", "probabilities")]

    def of_seeds(weight: np.ndarray) -> list[np.ndarray]:  # of each seed [R, C, metrics]
        return [
            np.stack(
                [class_metrics(*one, weight) for one in zip(labels.T, probabilities.T, chosen, strict=True)], axis=1
            )
            for labels, probabilities, chosen in zip(*told, thresholds, strict=True)
        ]

    defined = [~np.isnan(of_class[0]) for of_class in of_seeds(np.ones((1, len(tests[0].rows))))]
    auroc = METRICS.index("auroc")

    def values(weight: np.ndarray) -> np.ndarray:
        per_seed = []
        for of_class, known, could in zip(of_seeds(weight), defined, learnable, strict=True):
            of_learnable = mean_over_classes(of_class[:, could, auroc], known[could, auroc])
            per_seed.append(np.column_stack([mean_over_classes(of_class, known), of_learnable]))
        return np.stack(per_seed, axis=1)

    first = tests[0]
    speaking = [
        patients_behind_macro(metric, first.labels.T[defined[0][:, m]], first.patients)
        for m, metric in enumerate(METRICS)
    ]
    of_learnable = patients_behind_macro("auroc", first.labels.T[np.any(learnable, axis=0)], first.patients)
    return (*METRICS, "auroc_learnable"), values, first.rows, first.patients, [*speaking, of_learnable]


def _learnable(run: Run, classes: Sequence[str], held: pd.DataFrame | None) -> np.ndarray:
    """[C] bool: classes of which the run's training labels held a positive and a negative; all if that is not told."""
    if held is None:
        return np.ones(len(classes), bool)
    named = ["task", "fraction", "seed"]
    empty = held.set_index(named)["empty"].loc[tuple(run.identity[key] for key in named)]
    return np.array([name not in empty for name in classes])


def _of_masks(runs: list[Run]) -> Told:
    tables = [mask_scores(run).table for run in runs]
    _check_same([table["row"].to_numpy() for table in tables], runs)

    def values(weight: np.ndarray) -> np.ndarray:
        return np.stack([mask_values(table, weight) for table in tables], axis=1)

    patients = tables[0]["patient"].to_numpy()
    speaking = [patients_behind(metric, tables[0][metric].to_numpy(float), patients) for metric in MASK_METRICS]
    return MASK_METRICS, values, tables[0]["row"].to_numpy(), patients, speaking


def _check_same(rows: list[np.ndarray], runs: list[Run]) -> None:
    if any(not np.array_equal(rows[0], one) for one in rows):
        raise ValueError(
            f"{runs[0].folder.name} and its other seeds were not tested on the same images; run them again"
        )
