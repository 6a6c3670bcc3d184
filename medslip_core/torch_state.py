"""Torch's and accelerate's state of the whole process, as a run needs it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from torch import nn

from medslip_core.pretrain_params import PretrainParams


@contextlib.contextmanager
def global_state(params: PretrainParams) -> Iterator[None]:
    """Accelerate's and torch's global state as a run needs it; torch's is put back afterwards.

    A run that compiles makes torch forget what else was compiled in this process; it is compiled again when called.
    """
    if PartialState(cpu=params.device == "cpu").num_processes == 1:
        # A notebook may train twice in one process, with another precision or device.
        AcceleratorState._reset_state(reset_partial_state=True)
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    chooses_fastest = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not params.deterministic  # a run has few shapes: each is tried out once
    if params.compile:
        torch.compiler.reset()  # of a function torch keeps eight graphs, and earlier runs of this process had theirs
    if params.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    on_gpu = params.device != "cpu" and torch.cuda.is_available()
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []):  # not every card there is
            yield
    finally:
        if params.compile:
            torch.compiler.reset()  # a CUDA graph keeps the card's memory for its next replay
        torch.backends.cudnn.benchmark = chooses_fastest
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


def compile_network(network: nn.Module, replayed: bool = True) -> None:
    """Run it through torch.compile, in place: one graph, of one size of batch.

    Args:
        network: on its device.
        replayed: a GPU replays the graph as a CUDA graph, without the host, which is slower at starting its 2,000
            kernels than an H100 at them. Only for who runs forward and backward in turn, on one device.
    """
    network.compile(dynamic=False, mode="reduce-overhead" if replayed else "default")


def precision(params: PretrainParams) -> str:
    """Of a run's arithmetic, as accelerate names it: no, bf16 or fp16."""
    if params.precision != "auto":
        return params.precision
    if params.device == "cpu" or not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
