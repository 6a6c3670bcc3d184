"""A pre-training run of a second: a model of 32 px on a corpus in memory, in a process that can be killed."""

import hashlib
import multiprocessing
import os
import resource
import socket
from pathlib import Path

import torch
from accelerate import PartialState
from tiny_corpus import TinyCorpus
from tiny_model import tiny_model

from medslip_core.augment import AugmentParams
from medslip_core.checkpoint import list_checkpoints
from medslip_core.pretrain import pretrain
from medslip_core.pretrain_params import PretrainParams
from medslip_core.training_run import TrainingRun

PROCESSES = multiprocessing.get_context("forkserver")  # imports once, then forks without threads
PROCESSES.set_forkserver_preload(["medslip_core.pretrain"])
PARAMS = PretrainParams(
    seed=3, epochs=3, batch_size=4, learning_rate=1e-3, warmup_epochs=0.5, negatives=3, validation_min_count=1,
    checkpoint_every_steps=1, log_every_steps=2, tensorboard=False, average_decay=0.9, device="cpu",
    augment=AugmentParams(crop_scale=(0.6, 1.0), noise=0.05, gamma=0.2),
)  # fmt: skip
STEPS = 9  # 10 training images in batches of 4, 4 and 2, three times
SEEN, MEMORY = "seen.txt", "memory.txt"
SETTLED_STEPS = 20  # of a session, after which its memory should not grow
TRAIN_STEP = TrainingRun.train_step


def session(
    folder: Path,
    params: PretrainParams = PARAMS,
    threads: int = 1,
    rank: int = 0,
    port: int = 0,
    notes: Path | None = None,
    unsteady: float = 0.0,
) -> None:
    """Train from wherever the run in `folder` stands to its end; body of a process.

    Args:
        folder: of the run.
        params: of the run.
        threads: that compute.
        rank, port: of two processes, where port is not 0.
        notes: folder (None: that of the run) that gets `output.txt` and, for each step that begins, a line "step rows"
            in `seen.txt` and "process, most memory held so far" in `memory.txt`.
        unsteady: noise that each gradient gets, as a share of it, other each time: a GPU that adds in any order.
    """
    notes = notes or folder
    output = os.open(notes / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(threads)
    if port:
        os.environ.update(WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(port), ACCELERATE_USE_CPU="true")  # fmt: skip
        PartialState(cpu=True)  # waits for the other
        _met(notes, os.getpid()).touch()

    def train_step(run: TrainingRun) -> int:
        if rank == 0:
            rows = " ".join(map(str, run.task.source.order.batch(run.step)))
            with open(notes / SEEN, "a") as file:
                file.write(f"{run.step} {rows}\n")
            with open(notes / MEMORY, "a") as file:
                file.write(f"{os.getpid()} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")
        return TRAIN_STEP(run)

    TrainingRun.train_step = train_step
    model = tiny_model()
    if unsteady:
        chance = torch.Generator().manual_seed(int.from_bytes(os.urandom(7)))
        for weights in model.parameters():
            if weights.requires_grad:
                weights.register_hook(lambda grad: grad * (1 + unsteady * torch.randn(grad.shape, generator=chance)))
    pretrain(params, TinyCorpus(), folder, model=model)


def has_met(folder: Path, process: multiprocessing.Process) -> bool:
    """Whether one of two processes has met the other; `folder` is that of the notes."""
    return _met(folder, process.pid).exists()


def _met(notes: Path, pid: int) -> Path:
    return notes / f"met-{pid}"


def start(
    folder: Path, params: PretrainParams = PARAMS, threads: int = 1, processes: int = 1, unsteady: float = 0.0
) -> list:
    """Start a session in one process or two; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port() if processes > 1 else 0
    started = [
        PROCESSES.Process(target=session, args=(folder, params, threads, rank, port, None, unsteady))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    return started


def warm_up() -> None:
    """Let the server of processes import what they need, so that a session's time is its own."""
    process = PROCESSES.Process(target=int)
    process.start()
    process.join()


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def digests(folder: Path, notes: Path | None = None) -> dict[str, str]:
    """SHA-256 of the last checkpoint's tensors, of the resulting weights, and of the rows seen, step by step.

    Raises:
        ValueError: as in `rows_seen`.
    """
    last = list_checkpoints(folder / "checkpoints")[0]
    files = [*sorted(last.glob("*.safetensors")), folder / "model" / "model.safetensors"]
    named = {f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    named["rows seen"] = hashlib.sha256(repr(sorted(rows_seen(notes or folder).items())).encode()).hexdigest()
    return named


def difference(folder: Path, expected: dict[str, str], notes: Path | None = None) -> str:
    """What of a finished run is not as expected, in words; empty if nothing."""
    try:
        found = digests(folder, notes)
    except (OSError, ValueError, IndexError) as error:
        return repr(error)
    return ", ".join(name for name in expected if found.get(name) != expected[name])


def rows_seen(folder: Path) -> dict[int, str]:
    """Step -> rows of its batch, as trained on; `folder` is that of the notes.

    Raises:
        ValueError: a step that was done twice had other rows the second time.
    """
    seen: dict[int, str] = {}
    if not (folder / SEEN).exists():
        return seen
    for line in (folder / SEEN).read_text().splitlines():
        step, _, rows = line.partition(" ")
        if seen.setdefault(int(step), rows) != rows:
            raise ValueError(f"step {step} had rows {seen[int(step)]}, then {rows}")
    return seen


def memory_growth(folder: Path) -> float:
    """The largest share by which the memory of a session grew after its first steps; NaN where all were shorter."""
    sessions: dict[str, list[int]] = {}
    for line in (folder / MEMORY).read_text().splitlines():
        process, _, held = line.partition(" ")
        sessions.setdefault(process, []).append(int(held))
    return max((held[-1] / held[SETTLED_STEPS] - 1 for held in sessions.values() if len(held) > SETTLED_STEPS),
               default=float("nan"))  # fmt: skip
