"""What a profile asks, checked before anything runs: mistakes inside parameters are told, not met as a traceback."""

import os
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
        ("zero_shot", "datasets: [nih, rsnaa]", "datasets: 'rsnaa' is none of .*; did you mean 'rsna'"),
        ("grounding", "masks: {nihh: [mass]}", "masks: 'nihh' is none of the corpora"),
        (
            "finetuning",
            "weights: {mine: ../nowhere}",
            "weights.mine: '../nowhere', seen from .*/nowhere: no saved model",
        ),
    ],
)
def test_a_malformed_option_is_told_with_its_file(tmp_path: Path, chapter: str, text: str, said: str) -> None:
    file = tmp_path / "params" / "own" / f"{chapter}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ParametersError, match=f"{file}: .*{said}"):
        write_asked("own", None, BOOK, tmp_path / "params", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def told(folder: Path, **files: str) -> str:
    """What is said of a profile with these files."""
    (folder / "params" / "own").mkdir(parents=True)
    for chapter, text in files.items():
        (folder / "params" / "own" / f"{chapter}.yaml").write_text(text)
    with pytest.raises(ParametersError) as error:
        write_asked("own", None, BOOK, folder / "params", folder / "runs")
    return str(error.value)


def test_one_fault_is_told_once(tmp_path: Path) -> None:
    said = told(tmp_path, pretraining="training: {epoch: 2}")
    assert said.count("epoch: unknown parameter") == 1 and "comparison" not in said


def test_no_file_is_blamed_that_is_not_there(tmp_path: Path) -> None:
    said = told(tmp_path, pretraining="training: {epochs: 3, warmup_epochs: 2.5, best_by: total}")
    assert said.startswith(f"chapter comparison ({tmp_path / 'params' / 'own'} holds pretraining.yaml): variants.")


def test_models_that_may_be_missing_or_are_made_meanwhile_are_not_looked_for(tmp_path: Path) -> None:
    book = Path(os.path.relpath(tmp_path / "runs" / "own" / "comparison", BOOK))
    weights = f"{{mine: {book}/cells/GLoRIA-seed0/model, other: ../nowhere, random: random}}"
    (tmp_path / "params" / "own").mkdir(parents=True)
    (tmp_path / "params" / "own" / "finetuning.yaml").write_text(f"weights: {weights}\noptional: [other]")
    assert "finetuning" in write_asked("own", None, BOOK, tmp_path / "params", tmp_path / "runs")
