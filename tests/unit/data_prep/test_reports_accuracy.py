"""Accuracy against human coding of real reports, where they are present, and against what phantom reports state."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from data_prep.phantom import POPULATIONS, draw_study
from data_prep.phantom.report import surest, write_report
from data_prep.reports import read_report
from data_prep.reports.__main__ import main

SHARED = Path(os.environ.get("MEDSLIP_SHARED", Path(__file__).parents[3].parent / "shared"))
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
    package = importlib.util.find_spec("torchxrayvision")
    archive = package and Path(package.origin).parent / "data" / "NLMCXR_reports.tgz"
    if not archive or not archive.exists():
        pytest.skip("torchxrayvision, whose wheel holds the texts, is not installed")
    coded = {json.loads(line)["id"] for line in (CODED / "gold.jsonl").open()}
    folder = tmp_path_factory.mktemp("reports")
    with tarfile.open(archive) as texts, (folder / "in.jsonl").open("w") as lines:
        for member in texts:
            identifier = f"CXR{Path(member.name).stem}"
            if identifier in coded and member.name.endswith(".xml"):
                parts = {
                    part.get("Label", "").lower(): part.text or ""
                    for part in ElementTree.parse(texts.extractfile(member)).iter("AbstractText")
                }
                record = {"id": identifier, "findings": parts["findings"], "impression": parts["impression"]}
                lines.write(json.dumps(record) + "\n")
    assert main(["findings", str(folder / "in.jsonl"), str(folder / "out.jsonl"), "--processes", "1"]) == 0
    return folder / "out.jsonl"


@pytest.mark.parametrize("tier", REQUIRED)
def test_coded_reports(predictions, tier):
    required = [f"--require={name}={value}" for name, value in REQUIRED[tier].items()]
    command = [sys.executable, CODED / "score.py", predictions, "--tier", tier, *required]
    scored = subprocess.run(command, capture_output=True, text=True)
    assert scored.returncode == 0, scored.stdout + scored.stderr


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
