"""A training step never makes the host wait for the device; shown without a GPU, on tensors that have no values.

On the meta device whatever waits for a value (`.item()`, boolean indexing, a copy to the host) fails. A copy to the
device waits unless it says `non_blocking`; every such copy is watched.
"""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from faults.campaigns.tiny_run import PARAMS
from tiny_corpus import TinyCorpus
from tiny_model import tiny_model
from torch.utils._python_dispatch import TorchDispatchMode

from medslip_core import labels, training_batch, training_run
from medslip_core.optimisation import training_mode
from medslip_core.training_run import TrainingRun
from medslip_core.transfer import to_device

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Copies from the host to the device: how many, and how many of them made the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.all = self.waiting = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.overloadpacket is torch.ops.aten._to_copy and args[0].device != META == kwargs.get("device"):
            self.all += 1
            self.waiting += not kwargs.get("non_blocking", False)
        return function(*args, **kwargs)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    accelerator = SimpleNamespace(
        device=META, num_processes=1, process_index=0, is_main_process=True, scaler=None,
        prepare=lambda *things: things, no_sync=lambda network: contextlib.nullcontext(),
        backward=lambda loss: loss.backward(), clip_grad_norm_=torch.nn.utils.clip_grad_norm_,
    )  # fmt: skip
    monkeypatch.setattr(training_run, "Accelerator", lambda **settings: accelerator)
    # What the meta device lacks: fused AdamW, autocast, and generators.
    monkeypatch.setattr(training_run, "make_optimizer", lambda model, _: torch.optim.AdamW([
        {"params": list(model.parameters()), "learning_rate_scale": 1.0}
    ]))  # fmt: skip
    monkeypatch.setattr(training_batch, "generator", lambda device, *counters: SimpleNamespace(device=device))
    monkeypatch.setattr(torch, "autocast", lambda *device, **how: contextlib.nullcontext())
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *size, generator, **where: rand(*size, **where))
    run = TrainingRun(PARAMS, TinyCorpus(), tmp_path, tiny_model())
    training_mode(run.model, run.frozen, PARAMS.frozen_batch_norm)
    run.train_step()  # small tables are sent once
    return run


def test_a_step_waits_for_nothing(run: TrainingRun) -> None:
    with Copies() as copies:
        run.train_step()
    assert run.step == 2 and copies.all >= 5 and copies.waiting == 0


def test_waiting_is_noticed(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (training_batch, labels):
        monkeypatch.setattr(module, "to_device", lambda values, device: torch.as_tensor(values).to(device))
    with Copies() as copies:
        run.train_step()
    assert copies.waiting == 2  # labels and images
    losses = run.losses
    monkeypatch.setattr(run, "losses", lambda *given: losses(*given) * losses(*given)[0].item())
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run.train_step()


def test_a_gpu_fetches_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: done.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *to, **how: done.append((to, how)) or tensor)
    to_device(torch.zeros(3), "cuda:1")
    assert done == ["pinned", (("cuda:1",), {"non_blocking": True})]
    to_device(torch.zeros(3), "cpu")
    assert done[2:] == [(("cpu",), {"non_blocking": True})]
