"""The early check of a profile (`pipeline.asked`) and the chapters make the same of its parameters.

A chapter shows how it does so, cell by cell, and the check does it again from all chapters' values at once. Were one to
change without the other, the check would pass and the chapter fail, perhaps after days of training.
"""

import ast
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data_prep import corpus
from medslip_core.comparison.params import ComparisonParams
from medslip_core.finetune.params import GridParams
from medslip_core.pretrain_params import PretrainParams
from pipeline.asked import CHECKS
from pipeline.parameters import declared_parameters, read_parameters

REPOSITORY = Path(__file__).resolve().parents[2]
BOOK = REPOSITORY / "book"
PROFILES = ["demo", *sorted(folder.name for folder in (REPOSITORY / "params").iterdir())]

each_profile = pytest.mark.parametrize("profile", PROFILES)
Given = dict[str, Any]


class Caught(Exception):
    """Carries what a call was given."""


def values_of(profile: str) -> dict[str, Given]:
    """Chapter -> all values of its parameters, as `write_asked` takes them."""
    found = {}
    for notebook in BOOK.glob("*.ipynb"):
        declared = declared_parameters(notebook)
        given = read_parameters(REPOSITORY / "params" / profile / f"{notebook.stem}.yaml", declared, data="data")
        found[notebook.stem] = {name: one.default for name, one in declared.items()} | given
    return found


def caught(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, run: Callable[[], object]) -> Given:
    """What `run` gives to `holder.name` when it first calls it, by the names of its arguments."""
    signature = inspect.signature(getattr(holder, name))

    def call(*given: object, **named: object) -> None:
        raise Caught({**signature.bind(*given, **named).arguments})

    with monkeypatch.context() as patch, pytest.raises(Caught) as told:
        patch.setattr(holder, name, call)
        run()
    return told.value.args[0]


def run_cells(chapter: str, calls: str, names: Given) -> None:
    """Run a chapter's cells that call `calls` or take an earlier chapter's parameters, but imports and its beginning.

    Args:
        names: what they need: the parameters, and what stands for imports and for the results of other cells.
    """
    for cell in json.loads((BOOK / f"{chapter}.ipynb").read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and any(f"{name}(" in source for name in (calls, "parameters_of")):
            statements = [
                one
                for one in ast.parse(source).body
                if not isinstance(one, ast.Import | ast.ImportFrom) and " Chapter(" not in ast.unparse(one)
            ]
            exec(compile(ast.Module(statements, []), chapter, "exec"), names)


@each_profile
@pytest.mark.parametrize("chapter", ["corpus", "finetuning"])
def test_the_corpora_are_checked_alike(profile: str, chapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(profile)

    def in_the_chapter() -> None:
        run_cells(chapter, "check_datasets", {**values[chapter], "check_datasets": corpus.check_datasets})

    of_check = caught(monkeypatch, corpus, "check_datasets", lambda: CHECKS[chapter](values))
    assert caught(monkeypatch, corpus, "check_datasets", in_the_chapter) == of_check


@each_profile
def test_pretraining_is_assembled_alike(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(profile)

    def in_the_chapter() -> None:
        run_cells(
            "pretraining", "PretrainParams.from_dict", {**values["pretraining"], "PretrainParams": PretrainParams}
        )

    of_check = caught(monkeypatch, PretrainParams, "from_dict", lambda: CHECKS["pretraining"](values))
    assert caught(monkeypatch, PretrainParams, "from_dict", in_the_chapter) == of_check


@each_profile
def test_finetuning_is_assembled_alike(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of(profile)
    own = values["finetuning"]
    found = {"corpora": dict.fromkeys(own["datasets"], ""), "sources": own["weights"]}  # what cells before it make

    def in_the_chapter() -> None:
        run_cells("finetuning", "GridParams.from_dict", {**own, **found, "GridParams": GridParams})

    of_check = caught(monkeypatch, GridParams, "from_dict", lambda: CHECKS["finetuning"](values))
    assert caught(monkeypatch, GridParams, "from_dict", in_the_chapter) == of_check


@each_profile
def test_a_comparison_is_assembled_alike(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for folders: of the chapter's corpora only those that are asked about, where the check knows all by name."""
    values = values_of(profile)
    grid = caught(monkeypatch, GridParams, "from_dict", lambda: CHECKS["finetuning"](values))["values"]
    (tmp_path / "finetuning").mkdir()
    GridParams.from_dict(grid).write(tmp_path / "finetuning" / "grid.json")
    chapter = SimpleNamespace(parameters_of=values.__getitem__, input=lambda name: tmp_path / name)
    imported = {"GridParams": GridParams, "ComparisonParams": ComparisonParams}

    def in_the_chapter() -> None:
        run_cells("comparison", "ComparisonParams.from_dict", {**values["comparison"], **imported, "chapter": chapter})

    of_check = caught(monkeypatch, ComparisonParams, "from_dict", lambda: CHECKS["comparison"](values))["values"]
    of_chapter = caught(monkeypatch, ComparisonParams, "from_dict", in_the_chapter)["values"]
    assert of_chapter.pop("pretraining_corpus") == str(tmp_path / "corpus" / "pretraining")
    assert of_chapter.pop("corpora").keys() <= of_check.pop("corpora").keys()
    if of_check["finetuned"]:
        labelled = [one["finetuned"].pop("corpora").keys() for one in (of_chapter, of_check)]
        assert labelled[0] == labelled[1]
    assert of_chapter == of_check
