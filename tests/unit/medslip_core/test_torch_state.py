"""Torch's global state is lent to a run, and put back as it was."""

import pytest
import torch

from medslip_core.parameters import ParameterError
from medslip_core.pretrain_params import PretrainParams
from medslip_core.torch_state import chosen_device, global_state, precision


@pytest.mark.parametrize(("deterministic", "only_warns"), [(False, False), (True, False), (True, True)])
def test_what_a_notebook_had_set_stands_after_a_run(deterministic: bool, only_warns: bool) -> None:
    torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
    try:
        with global_state(PretrainParams(device="cpu", deterministic=True)):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.is_deterministic_algorithms_warn_only_enabled() is only_warns
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("asked", "there", "device"), [("auto", True, "cuda"), ("cpu", True, "cpu"), ("auto", False, "cpu")]
)
def test_the_gpu_is_used_unless_the_cpu_is_asked_for(asked: str, there: bool, device: str, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert chosen_device(asked).type == device


def test_a_cpu_does_not_pretend_to_train_in_float16(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="precision: fp16 is for a GPU, and the CPU trains; choose bf16 or no"):
        precision(PretrainParams(precision="fp16"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert precision(PretrainParams(precision="fp16")) == "fp16"
