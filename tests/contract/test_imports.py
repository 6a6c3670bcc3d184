"""medslip_core imports what its users installed for it, and nothing of the book's or the data's packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "medslip_core"
ALLOWED = {
    "accelerate", "medslip_core", "numpy", "pandas", "pyarrow", "safetensors", "timm", "torch", "torchvision", "tqdm",
    "transformers", "yaml",
}  # fmt: skip


def imported(tree: ast.Module) -> set[str]:
    """Packages that importing a module imports: those named outside of functions."""
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
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
