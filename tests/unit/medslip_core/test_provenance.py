"""Results files: the figures, and what they were made with."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from medslip_core import provenance
from medslip_core.provenance import environment_record, write_results


@pytest.fixture
def run_as(monkeypatch: pytest.MonkeyPatch):
    """Lets this process look as if it had been started as a script, or as a module with `python -m`."""

    def start(*arguments: str, module: str | None = None) -> None:
        monkeypatch.setattr(sys, "argv", list(arguments))
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", module and ModuleSpec(module, None))

    return start


def written(path: Path, content: dict[str, object]) -> dict[str, object]:
    write_results(path, content)
    return json.loads(path.read_text())


def test_figures_stand_between_their_command_and_environment(tmp_path: Path, run_as) -> None:
    run_as("benchmarks/one.py", "--variants", "all parts")
    told = written(tmp_path / "new" / "one.json", {"rows": [1.5], "where": Path("there")})
    assert list(told) == ["command", "rows", "where", "environment"]
    assert told["command"] == "python benchmarks/one.py --variants 'all parts'"
    assert (told["rows"], told["where"], told["environment"]) == ([1.5], "there", environment_record())


def test_a_module_is_named_and_not_its_folder(tmp_path: Path, run_as) -> None:
    run_as("/home/me/medslip_core/finetune/grid.py", "--share", "1/2", module="medslip_core.finetune.grid")
    assert written(tmp_path / "one.json", {})["command"] == "python -m medslip_core.finetune.grid --share 1/2"


def test_figures_of_other_processes_say_so_themselves(tmp_path: Path) -> None:
    assert written(tmp_path / "one.json", {"command": "make", "environment": {"python": "3"}}) == {
        "command": "make",
        "environment": {"python": "3"},
    }


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """Half a file would be read as damaged."""
    old = written(tmp_path / "one.json", {"rows": [1.0]})
    with pytest.raises(TypeError):
        write_results(tmp_path / "one.json", {("no", "name"): 1})
    assert json.loads((tmp_path / "one.json").read_text()) == old and len(list(tmp_path.iterdir())) == 1


def test_outside_a_checkout_the_revision_can_be_told(monkeypatch) -> None:
    monkeypatch.setattr(provenance, "_git", lambda *arguments: None)
    monkeypatch.setenv("MEDSLIP_REVISION", "abc")
    assert provenance.environment_record()["git_revision"] == "abc"
