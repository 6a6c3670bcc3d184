"""pyproject.toml, requirements.lock and environment.yml say the same, and name no machine."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text()
PINS = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE)}
EXTRAS = PROJECT["optional-dependencies"]


def test_lock_pins_every_dependency_in_its_range() -> None:
    own = [line for extra, lines in EXTRAS.items() if extra != "all" for line in lines]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *own]):
        pinned = PINS.get(canonicalize_name(requirement.name))
        assert pinned and requirement.specifier.contains(pinned), f"{requirement} against {pinned}: run make lock"


def test_lock_names_no_registry_and_no_file() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+(?: ; .+)?", line) for line in lines)


def test_environment_agrees_with_pyproject() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip[0] == "-r requirements.lock"
    extras = set(re.fullmatch(r"-e \.\[(.+)\]", pip[1])[1].split(","))
    assert extras == set(EXTRAS) - {"all"}
    assert set(re.fullmatch(r"medslip\[(.+)\]", EXTRAS["all"][0])[1].split(",")) == extras
    python = next(str(entry) for entry in environment["dependencies"] if str(entry).startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python="))
    assert environment["name"] == PROJECT["name"]


def test_versions_agree() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert f"## {PROJECT['version']}" in (REPOSITORY / "CHANGELOG.md").read_text()
