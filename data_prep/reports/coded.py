"""Accuracy against reports coded by people (Indiana University, OpenI), where these are present.

Ids and labels lie in a folder of their own with their scorer; the texts are in the torchxrayvision package. Only
reports that have labels are opened.
"""

import importlib.util
import json
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from data_prep.reports.findings import NORMAL, mention_labels
from data_prep.reports.reader import read_mentions

TASKS = {"find": "findings", "pair": "finding + side", "loc": "finding + zone"}


@dataclass(frozen=True)
class CodedReport:
    """One report, its sections as the coders had them, and what they filed."""

    identifier: str
    findings: str
    impression: str
    gold: dict


@dataclass(frozen=True)
class Accuracy:
    """How well coded reports were read.

    Attributes:
        reports: how many.
        scores: as `score` gives it.
        labels: label, coders, reader: in how many reports it was seen by the coders alone, and by the reader alone.
        differences: as `disagreements` gives it.
    """

    reports: int
    scores: pd.DataFrame
    labels: pd.DataFrame
    differences: pd.DataFrame


def measure(folder: str | Path, resamples: int = 1000, seed: int = 0) -> Accuracy:
    """Read all coded reports and set what is read against what was coded.

    Args:
        folder: of the labels and their scorer.
        resamples: bootstrap resamples over reports; seed: of them.

    Raises:
        FileNotFoundError: the folder has no labels, or torchxrayvision is not installed.
    """
    coded = coded_reports(folder)
    predictions = predict(coded)
    known = sorted({label for report in coded for label in report.gold["findings"]} - {NORMAL})
    differences = disagreements(coded, predictions, known)
    counts = differences.groupby(["label", "only"]).size().unstack(fill_value=0)
    labels = counts.reindex(columns=["coders", "reader"], fill_value=0).rename_axis(columns=None).reset_index()
    return Accuracy(len(coded), score(folder, coded, predictions, resamples, seed), labels, differences)


def coded_reports(folder: str | Path) -> list[CodedReport]:
    """All coded reports with their texts, in the order of `gold.jsonl`.

    Raises:
        FileNotFoundError: the folder has no labels, or torchxrayvision is not installed.
    """
    with (Path(folder) / "gold.jsonl").open() as lines:
        gold = {label["id"]: label for label in map(json.loads, lines)}
    package = importlib.util.find_spec("torchxrayvision")
    if package is None:
        raise FileNotFoundError("the texts of the coded reports are in torchxrayvision: pip install torchxrayvision")
    texts: dict[str, dict[str, str]] = {}
    with tarfile.open(Path(package.origin).parent / "data" / "NLMCXR_reports.tgz") as archive:
        for member in archive:
            identifier = f"CXR{Path(member.name).stem}"
            if identifier in gold and member.name.endswith(".xml"):
                sections = ElementTree.parse(archive.extractfile(member)).iter("AbstractText")
                texts[identifier] = {section.get("Label", "").lower(): section.text or "" for section in sections}
    return [
        CodedReport(identifier, texts[identifier]["findings"], texts[identifier]["impression"], label)
        for identifier, label in gold.items()
    ]


def predict(reports: list[CodedReport]) -> list[dict]:
    """The labels that the reader gives each report, as the scorer takes them."""
    texts = (f"{report.findings}\n\n{report.impression}" for report in reports)
    return [
        {"id": report.identifier, **mention_labels(read_mentions(text, whole=True))}
        for report, text in zip(reports, texts, strict=True)
    ]


def score(
    folder: str | Path, reports: list[CodedReport], predictions: list[dict], resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """F1 of every task and tier by the folder's own scorer, with 95 % intervals (bootstrap over reports).

    Returns:
        Columns tier, task, average ("micro", "macro"), f1, low, high, reports.
    """
    scorer = _scorer(Path(folder))
    weights = np.random.default_rng(seed).multinomial(len(reports), np.full(len(reports), 1 / len(reports)), resamples)
    weights = np.vstack([np.ones(len(reports), np.int64), weights])  # row 0: every report once
    rows = []
    for tier, labels in {"core": scorer.CORE, "extended": scorer.EXTENDED, "normal": [NORMAL]}.items():
        counts = _counts(scorer, reports, predictions, labels)  # task -> [reports, labels, 3]
        for task, name in TASKS.items() if tier != "normal" else [("find", "findings")]:
            flat = counts[task].reshape(len(reports), -1)
            sums = (weights @ flat).reshape(len(weights), len(labels), 3)  # [resamples + 1, labels, tp/fp/fn]
            enough = sums[0, :, 0] + sums[0, :, 2] >= scorer.MIN_SUPPORT
            averages = {"micro": _f1(sums.sum(axis=1)), "macro": _f1(sums[:, enough]).mean(axis=1)}
            for average, values in averages.items():
                low, high = np.quantile(values[1:], [0.025, 0.975])
                rows.append((tier, name, average, values[0], low, high, len(reports)))
    return pd.DataFrame(rows, columns=["tier", "task", "average", "f1", "low", "high", "reports"])


def disagreements(reports: list[CodedReport], predictions: list[dict], labels: list[str]) -> pd.DataFrame:
    """Labels that coders and reader see differently: id, label, and who has it. No texts."""
    rows = []
    for report, prediction in zip(reports, predictions, strict=True):
        for label in labels:
            coded, read = label in report.gold["findings"], label in prediction["findings"]
            if coded != read and label not in report.gold["ignore"]:
                rows.append((report.identifier, label, "coders" if coded else "reader"))
    return pd.DataFrame(rows, columns=["report", "label", "only"])


def _counts(scorer: ModuleType, reports: list[CodedReport], predictions: list[dict], labels: list[str]) -> dict:
    each = {task: np.zeros((len(reports), len(labels), 3), np.int64) for task in TASKS}
    for row, (report, prediction) in enumerate(zip(reports, predictions, strict=True)):
        pairs = {tuple(pair) for pair in prediction["pairs"]}
        zones = {(label, scorer.ANATOMY_ZONE.get(place, (place,))[0]) for label, place in prediction["locs"]}
        read = (set(prediction["findings"]), pairs, {zone for zone in zones if zone[1]}, True)
        counted = scorer.count({report.identifier: report.gold}, {report.identifier: read}, labels)
        for task in TASKS:
            each[task][row] = [counted[task][label] for label in labels]
    return each


def _f1(counts: np.ndarray) -> np.ndarray:
    """F1 from [..., tp/fp/fn]; 0 where nothing was counted."""
    right, extra, missed = np.moveaxis(counts, -1, 0)
    return 2 * right / np.maximum(2 * right + extra + missed, 1)


def _scorer(folder: Path) -> ModuleType:
    sys.path.insert(0, str(folder))  # the scorer imports its table of labels from beside it
    try:
        spec = importlib.util.spec_from_file_location("score", folder / "score.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module
