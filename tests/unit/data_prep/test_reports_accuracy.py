"""Accuracy against human coding of real reports, where they are present, and against what phantom reports state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.phantom import POPULATIONS, draw_study
from data_prep.phantom.report import surest, write_report
from data_prep.reports import read_report
from data_prep.reports.__main__ import main
from data_prep.reports.coded import coded_reports, measure, predict, score

REPOSITORY = Path(__file__).parents[3]
SHARED = Path(os.environ.get("MEDSLIP_SHARED", REPOSITORY.parent / "shared"))
CODED = SHARED / "eval" / "reports"
REQUIRED = {
    "core": {
        "find_micro_f1": 0.970,
        "find_macro_f1": 0.935,
        "pair_micro_f1": 0.945,
        "pair_macro_f1": 0.91,
        "loc_micro_f1": 0.90,
        "normal_f1": 0.96,
    },
    "extended": {"find_micro_f1": 0.955},
}


@pytest.fixture(scope="module")
def predictions(tmp_path_factory):
    """Predictions for the coded reports, by the command that users run; only coded reports are opened."""
    if not (CODED / "score.py").exists():
        pytest.skip(f"no coded reports at {CODED} (set MEDSLIP_SHARED)")
    pytest.importorskip("torchxrayvision", reason="its wheel holds the texts of the coded reports")
    folder = tmp_path_factory.mktemp("reports")
    with (folder / "in.jsonl").open("w") as lines:
        for report in coded_reports(CODED):
            record = {"id": report.identifier, "findings": report.findings, "impression": report.impression}
            lines.write(json.dumps(record) + "\n")
    assert main(["findings", str(folder / "in.jsonl"), str(folder / "out.jsonl"), "--processes", "1"]) == 0
    return folder / "out.jsonl"


@pytest.mark.parametrize("tier", REQUIRED)
def test_coded_reports(predictions, tier):
    required = [f"--require={name}={value}" for name, value in REQUIRED[tier].items()]
    command = [sys.executable, CODED / "score.py", predictions, "--tier", tier, *required]
    scored = subprocess.run(command, capture_output=True, text=True)
    assert scored.returncode == 0, scored.stdout + scored.stderr


def test_the_chapters_table_agrees_with_the_scorer(predictions):
    scored = subprocess.run([sys.executable, CODED / "score.py", predictions, "--json"], capture_output=True, text=True)
    expected = json.loads(scored.stdout)
    reports = coded_reports(CODED)
    table = score(CODED, reports, predict(reports), resamples=2).set_index(["tier", "task", "average"])["f1"]
    for task, name in (("find", "findings"), ("pair", "finding + side"), ("loc", "finding + zone")):
        for average in ("micro", "macro"):
            assert round(table["core", name, average], 4) == expected[f"{task}_{average}_f1"]
    assert round(table["normal", "findings", "micro"], 4) == expected["normal_f1"]


def test_the_committed_measurement_is_of_this_reader(predictions):
    told = json.loads((REPOSITORY / "benchmarks" / "results" / "coded_reports.json").read_text())
    measured = measure(CODED, resamples=2)
    assert [row["f1"] for row in told["scores"]] == pytest.approx(measured.scores["f1"].tolist(), abs=1e-9)
    assert told["labels"] == measured.labels.to_dict("records") and told["reports"] == measured.reports
    counted = measured.differences.groupby("only").size()
    assert measured.labels[["coders", "reader"]].sum().to_dict() == counted.to_dict()


def test_phantom_reports_are_read_as_they_were_meant():
    right = read = stated = 0
    for number in range(120):
        study = draw_study(POPULATIONS["mimic"], 11, number, number % 2, size_px=48, with_masks=False)
        report = write_report(study, number % 2)
        found = surest([(triplet.anatomy, triplet.pathology, triplet.state) for triplet in read_report(report.text)])
        right += len(set(found) & set(report.said))
        read += len(found)
        stated += len(report.said)
    assert right / read >= 0.99
    assert right / stated >= 0.98
