"""Torch's and accelerate's state of the whole process, as a run needs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from torch import nn

from medslip_core.parameters import ParameterError
from medslip_core.pretrain_params import PretrainParams


@contextlib.contextmanager
def global_state(params: PretrainParams) -> Iterator[None]:
    """Accelerate's and torch's global state as a run needs it; torch's is put back afterwards.

    A run that compiles makes torch forget what else was compiled in this process; it is compiled again when called.
    """
    if PartialState(cpu=params.device == "cpu").num_processes == 1:
        # A notebook may train twice in one process, with another precision or device.
        AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    chooses_fastest = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not params.deterministic  # a run has few shapes: each is tried out once
    if params.compile:
        torch.compiler.reset()  # of a function torch keeps eight graphs, and earlier runs of this process had theirs
    if params.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        with own_randomness(chosen_device(params.device)):
            yield
    finally:
        if params.compile:
            torch.compiler.reset()  # a CUDA graph keeps the card's memory for its next replay
        torch.backends.cudnn.benchmark = chooses_fastest
        torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
        torch.set_num_threads(threads)


def chosen_device(asked: str = "auto") -> torch.device:
    """Where a parameter `device` lets torch compute: "auto" is this process's GPU, if there is one; "cpu"."""
    return torch.device("cuda" if asked == "auto" and torch.cuda.is_available() else "cpu")


def own_randomness(device: torch.device) -> contextlib.AbstractContextManager:
    """Torch's generators of host and device as they are now again after the `with` block; no other GPU is touched."""
    return torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])


def compile_network(network: nn.Module, replayed: bool = True) -> None:
    """Run it through torch.compile, in place: one graph, of one size of batch.

    Args:
        network: on its device.
        replayed: a GPU replays the graph as a CUDA graph, without the host, which is slower at starting its 2,000
            kernels than an H100 at them. Only for who runs forward and backward in turn, on one device.
    """
    network.compile(dynamic=False, mode="reduce-overhead" if replayed else "default")


def precision(params: PretrainParams) -> str:
    """Of a run's arithmetic, as accelerate names it: no, bf16 or fp16.

    Raises:
        ParameterError: fp16 on a CPU.
    """
    on_gpu = chosen_device(params.device).type == "cuda"
    if params.precision == "fp16" and not on_gpu:
        raise ParameterError("precision: fp16 is for a GPU, and the CPU trains; choose bf16 or no")
    if params.precision != "auto":
        return params.precision
    if not on_gpu:
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
