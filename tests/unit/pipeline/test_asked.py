"""What a profile asks, checked before anything runs: mistakes inside parameters are told, not met as a traceback."""

from pathlib import Path

import pytest

from pipeline.asked import write_asked
from pipeline.parameters import ParametersError

BOOK = Path(__file__).resolve().parents[3] / "book"


@pytest.mark.parametrize(
    ("chapter", "text", "said"),
    [
        ("pretraining", "model: {backbone: [1]}", r"model: backbone: \[1\] is list, not str"),
        ("pretraining", "training: {augment: crop}", "augment: 'crop' is not a set of named values"),
        ("finetuning", "tasks: {nih: nih}", "tasks.nih: 'nih' is not a set of named values"),
        ("finetuning", "training: {classification: [linear]}", r"training.classification: \['linear'\] is not a set"),
        ("finetuning", "datasets: {nih: nih}", "says no dataset: 'nih'"),
        ("finetuning", "weights: {random: 3}", "weights.random: 3 is no text"),
        ("comparison", "variants: {a: {}, b: icl}", "variants.b: 'icl' is not a set of named values"),
        ("comparison", "finetuned: {tasks: {nih: nih}}", "finetuned: tasks.nih: 'nih' is not a set of named values"),
        ("corpus", "datasets: {pretraining: nih}", "says no dataset: 'nih'"),
    ],
)
def test_a_malformed_option_is_told_with_its_file(tmp_path: Path, chapter: str, text: str, said: str) -> None:
    file = tmp_path / "params" / "own" / f"{chapter}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ParametersError, match=f"{file}: .*{said}"):
        write_asked("own", None, BOOK, tmp_path / "params", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
