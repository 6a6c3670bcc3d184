"""Imports are absolute, and medslip_core imports only what its users installed for it, none of the other packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "medslip_core"
PACKAGES = ("data_prep", "medslip_core", "pipeline")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
ALLOWED = {
    "accelerate", "medslip_core", "numpy", "pandas", "pyarrow", "safetensors", "timm", "torch", "torchvision", "tqdm",
    "transformers", "yaml",
}  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_are_absolute(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    relative = [ast.unparse(node) for node in imports if node.level]
    assert not relative, f"{path.name} says {relative}: name the package"


def imported(tree: ast.Module) -> set[str]:
    """Packages that importing a module imports: those named outside of functions."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_importing_a_module_needs_only_the_core_packages(path: Path) -> None:
    foreign = imported(ast.parse(path.read_text())) - ALLOWED - sys.stdlib_module_names
    assert not foreign, f"{path.name} imports {sorted(foreign)}: import inside the function that needs it"


OTHERS = ("cv2", "data_prep", "IPython", "matplotlib", "papermill", "pipeline", "pydicom", "pytorch_grad_cam", "scipy",
          "seaborn", "sklearn", "tensorboard", "torchxrayvision")  # fmt: skip


def test_training_imports_where_nothing_else_is_installed() -> None:
    absent = f"import sys; sys.modules.update(dict.fromkeys({OTHERS!r}))"  # None stands for "cannot be imported"
    code = f"{absent}; import medslip_core.pretrain; from medslip_core import *"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CORE.parent)
    assert done.returncode == 0, done.stderr[-2000:]
