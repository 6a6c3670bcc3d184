import subprocess
import sys

import pytest

import medslip_core


def test_import_is_light() -> None:
    code = "import sys, medslip_core; print(sorted({'torch', 'timm', 'transformers', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    for name in medslip_core.__all__:
        assert getattr(medslip_core, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        medslip_core.nothing  # noqa: B018
