"""Variants for several budgets: each budget is a study of its own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from medslip_core.comparison.params import ComparisonParams

STUDY = dict(
    pretraining_corpus="pretraining", corpora={"nih": "nih"}, classification=["nih"], seeds=[0, 1],
    pretraining={"epochs": 9, "warmup_epochs": 0.5, "text_encoder": "packaged-minilm"},
    variants={"full": {}, "without ICL": {"icl_weight": 0.0}, "without gate": {"model": {"gated": False}}},
    finetuned={"corpora": {"nih": "labelled"}, "tasks": {"nih": {"corpus": "nih"}}},
)  # fmt: skip


@pytest.fixture(scope="module")
def budget(benchmark) -> ModuleType:
    return benchmark("budget")


@pytest.fixture
def asked(tmp_path: Path, budget: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list:
    """A study file, and what studies were made and run: (epochs, folder, params, cells)."""
    made = []

    class Study:
        def __init__(self, params: ComparisonParams, folder: Path) -> None:
            self.params, self.folder, self.cells = params, folder, list("abc")

        def run(self, cells: list[str]) -> None:
            made.append((self.params.pretraining["epochs"], self.folder.name, self.params, cells))

        def comparison(self) -> pd.DataFrame:
            return pd.DataFrame({"value": [float(len(made))]})

    monkeypatch.setattr(budget, "Study", Study)
    monkeypatch.setattr(budget, "keep_freed_memory", lambda: None)
    ComparisonParams.from_dict(STUDY).write(tmp_path / "study.json")
    return made


@pytest.fixture
def run(budget: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs the command on that file."""

    def main(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["budget.py", "--study", str(tmp_path / "study.json"), *arguments])
        budget.main()

    return main


def test_each_budget_is_a_study_of_its_own(asked: list, run, tmp_path: Path) -> None:
    chosen = ["--variants", "full", "without gate", "--seeds", "1", "--share", "2/2"]
    run("--epochs", "2", "6", *chosen, "--json", str(tmp_path / "told.json"))
    made = [(epochs, name, cells) for epochs, name, _, cells in asked]
    assert made == [(2, "2-epochs", ["b"]), (6, "6-epochs", ["b"])]
    for _, _, params, _ in asked:
        assert list(params.variants) == ["full", "without gate"] and params.seeds == [1] and params.finetuned == {}
    told = json.loads((tmp_path / "told.json").read_text())
    assert [(one["epochs"], one["rows"]) for one in told["budgets"]] == [(2, [{"value": 1.0}]), (6, [{"value": 2.0}])]


def test_all_variants_and_seeds_are_the_default(asked: list, run) -> None:
    run("--epochs", "3")
    ((_, _, params, cells),) = asked
    assert params.variants == STUDY["variants"] and params.seeds == [0, 1] and cells == ["a", "b", "c"]


@pytest.mark.parametrize("arguments, said", [
    (["--variants", "full", "without gates"], "has no ['without gates']; it has ['full'"),
    (["--share", "3/2"], "share: '3/2' is not k/n"),
])  # fmt: skip
def test_what_the_study_has_not_is_named(asked: list, run, capsys, arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit):
        run("--epochs", "2", *arguments)
    assert said in capsys.readouterr().err and not asked
