"""Pre-training: exact resumption after any stop, and what a run writes."""

import errno
import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import yaml
from faults.campaigns.tiny_run import PROCESSES, free_port
from tiny_corpus import TinyCorpus
from tiny_model import tiny_model
from torch import nn

from medslip_core import pretrain as pretrain_module
from medslip_core.augment import AugmentParams, augment
from medslip_core.checkpoint import CheckpointError, list_checkpoints, read_checkpoint
from medslip_core.corpus import CorpusError
from medslip_core.gpu_use import GpuUse
from medslip_core.inference import without_trunk
from medslip_core.labels import label_counts
from medslip_core.losses.objective import TERMS
from medslip_core.model import MedslipModel
from medslip_core.parameters import ParameterError
from medslip_core.pretrain import NonFiniteLossError, ParametersChangedError, pretrain, training_views
from medslip_core.pretrain_params import PretrainParams
from medslip_core.run_lock import LOCK, RunFolderTakenError, run_lock
from medslip_core.training_log import TrainingLog, columns, read_history
from medslip_core.training_run import TrainingRun
from medslip_core.validation import Validation, macro_auroc
from medslip_core.vocabulary import PATHOLOGIES, PATHOLOGY_INDEX

PARAMS = PretrainParams(
    seed=3, epochs=2, batch_size=4, learning_rate=1e-3, warmup_epochs=0.5, negatives=3, validation_min_count=1,
    checkpoint_every_steps=1, log_every_steps=2, tensorboard=False,
    augment=AugmentParams(crop_scale=(0.6, 1.0), noise=0.05, gamma=0.2),
)  # fmt: skip
WITHOUT_BATCH_EFFECTS = dict(
    epochs=1, warmup_epochs=0.0, log_every_steps=1, checkpoint_every_steps=0, frozen_batch_norm=True
)
STEPS = 6  # 10 training images in batches of 4, 4 and 2, twice


def train(folder: Path, params: PretrainParams = PARAMS, dropout: float = 0.1, **options):
    torch.set_num_threads(1)
    return pretrain(params, TinyCorpus(), folder, model=tiny_model(dropout), **options)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of the last checkpoint and of the resulting model."""
    files = [*list_checkpoints(folder / "checkpoints")[0].glob("*.safetensors"), folder / "model" / "model.safetensors"]
    assert len(files) >= 4
    return {file.parent.name + "/" + file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Killed(BaseException):
    """Stands for a kill: nothing in the library may catch it."""


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let this many further training steps happen, and then none."""
    done = []
    original = TrainingRun.train_step

    def train_step(run):
        if len(done) == steps:
            raise Killed
        done.append(run.step)
        return original(run)

    monkeypatch.setattr(TrainingRun, "train_step", train_step)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, train(folder)


def test_a_finished_run_has_everything(uninterrupted):
    folder, result = uninterrupted
    assert result.steps == STEPS and result.best_step in (3, 6) and 0 <= result.best_score <= 1
    assert list(result.history.columns) == columns()
    assert (result.history.query("split == 'train'")["step"] == [2, 3, 4, 6]).all()
    assert (result.history.query("split == 'validate'")["step"] == [3, 6]).all()
    assert np.isfinite(result.history[list(TERMS)].to_numpy(float)).all()
    assert pd.read_csv(folder / "history.csv").shape == result.history.shape
    assert [f.name for f in list_checkpoints(folder / "checkpoints")] == ["step-00000006", "step-00000005"]
    loaded = MedslipModel.from_pretrained(folder / "model")
    kept = read_checkpoint(list_checkpoints(folder / "checkpoints")[0]).tensors["best"]
    assert all(torch.equal(kept[name], weights) for name, weights in result.model.state_dict().items())
    best = torch.cat([weights.flatten() for weights in result.model.state_dict().values()])
    assert torch.equal(best, torch.cat([weights.flatten() for weights in loaded.state_dict().values()]))


def test_so_many_validation_images_are_drawn_by_the_seed_alone():
    few = replace(PARAMS, validation_images=3, best_by="total")
    drawn = [Validation(replace(few, seed=seed), TinyCorpus()).rows for seed in range(20)]
    assert all(len(rows) == 3 and set(rows) <= set(range(10, 16)) and (np.diff(rows) > 0).all() for rows in drawn)
    assert set(np.concatenate(drawn)) == set(range(10, 16)) and len({tuple(rows) for rows in drawn}) > 5
    again = Validation(replace(few, seed=7, batch_size=2), TinyCorpus())
    assert again.rows.tolist() == drawn[7].tolist() and len(again.labels) == 3
    assert Validation(PARAMS, TinyCorpus()).rows.tolist() == list(range(10, 16))


def test_a_run_says_what_it_trains_on_and_where_the_model_went(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(tmp_path, replace(PARAMS, device="cpu"))
    first, *_, last = [record.getMessage() for record in caplog.records]
    assert first == "10 training images, 6 steps, each 1 process x 4 images; cpu (threads: 1), float32"
    assert last == f"model saved in {tmp_path / 'model'}"


def test_the_total_is_weighted_as_the_parameters_say(tmp_path):
    weighted = replace(PARAMS, epochs=1, existence_weight=2.0, protocl_weight=0.5, icl_weight=3.0, anatomy_weight=0.1)
    history = train(tmp_path, weighted).history
    expected = sum(
        weight * (history[f"{term}_pathology"] + 0.1 * history[f"{term}_anatomy"])
        for term, weight in (("existence", 2.0), ("protocl", 0.5))
    )
    np.testing.assert_allclose(history["total"], expected + 3.0 * history["icl"], rtol=1e-5)


def test_the_last_batch_of_an_epoch_counts_and_every_image_is_seen_once():
    run = TrainingRun(PARAMS, TinyCorpus(), Path("unused"), tiny_model())
    seen = [run.task.source.batch(step).rows for step in range(STEPS)]
    assert [len(rows) for rows in seen] == [4, 4, 2, 4, 4, 2]
    assert sorted(np.concatenate(seen[:3])) == list(range(10)) == sorted(np.concatenate(seen[3:]))
    assert not np.array_equal(np.concatenate(seen[:3]), np.concatenate(seen[3:]))
    shown = training_views(PARAMS, TinyCorpus(), 4, 32)
    batch = run.task.source.batch(4)
    assert torch.equal(shown.matrix, batch.matrix)
    assert torch.equal(shown.images, augment(run.task.source.images(batch.rows), batch.views, 32))
    assert shown.images.shape == (4, 32, 32)


@pytest.mark.parametrize("stops", [[1], [2], [3], [4], [5], [1, 1, 1, 1, 1]])
def test_killed_and_resumed_ends_bit_equal(stops, uninterrupted, tmp_path):
    for steps in stops:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(tmp_path)
    torch.manual_seed(99)  # the global generator is of no account
    result = train(tmp_path)
    assert digests(tmp_path) == digests(uninterrupted[0])
    compared = ["step", "epoch", "split", *TERMS, "gradient_norm"]
    pd.testing.assert_frame_equal(result.history[compared], uninterrupted[1].history[compared], check_exact=True)


def test_killed_between_checkpoints_repeats_the_lost_steps(tmp_path):
    params = replace(PARAMS, checkpoint_every_steps=2, average_decay=0.9, accumulation_steps=2, frozen_batch_norm=True)
    train(tmp_path / "whole", params)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 5)
        train(tmp_path / "stopped", params)
    train(tmp_path / "stopped", params)
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


def train_slowly(folder: Path) -> None:
    step = TrainingRun.train_step
    TrainingRun.train_step = lambda run: (time.sleep(0.2), step(run))[1]
    train(folder)


def test_a_real_process_killed_with_sigkill(uninterrupted, tmp_path):
    process = PROCESSES.Process(target=train_slowly, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 100
    while not list_checkpoints(tmp_path / "checkpoints") and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (tmp_path / "model").exists()
    train(tmp_path)
    assert digests(tmp_path) == digests(uninterrupted[0])


@pytest.mark.parametrize("number, stop", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_finishes_the_step_and_saves(number, stop, uninterrupted, tmp_path):
    params, handler = replace(PARAMS, checkpoint_every_steps=0), signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch:
        original = TrainingRun.train_step

        def train_step(run):
            if run.step == 1:
                os.kill(os.getpid(), number)
            return original(run)

        patch.setattr(TrainingRun, "train_step", train_step)
        with pytest.raises(stop):
            train(tmp_path, params)
    assert [folder.name for folder in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000002"]
    assert signal.getsignal(number) == handler
    train(tmp_path, params)
    assert digests(tmp_path) == digests(uninterrupted[0])


def test_two_trainings_do_not_share_a_folder(tmp_path):
    with run_lock(tmp_path), pytest.raises(RunFolderTakenError, match=rf"{tmp_path}: .* \(pid {os.getpid()} on .+\)"):
        train(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [LOCK]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)
        train(tmp_path)
    with run_lock(tmp_path):  # which an error lets go of, too
        pass


def test_a_killed_training_leaves_its_folder_to_the_next(tmp_path):
    forked = multiprocessing.get_context("fork")
    held = forked.Event()

    def hold() -> None:
        with run_lock(tmp_path):
            held.set()
            time.sleep(60)

    process = forked.Process(target=hold)
    process.start()
    assert held.wait(30)
    with pytest.raises(RunFolderTakenError, match=f"pid {process.pid} "), run_lock(tmp_path):
        pass
    process.kill()
    process.join()
    with run_lock(tmp_path):
        pass


def test_a_disk_that_cannot_lock_is_told(monkeypatch, tmp_path, caplog):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_lock(tmp_path):
        assert "cannot be locked" in caplog.text


def test_a_finished_run_is_not_trained_again(uninterrupted, monkeypatch):
    kill_after(monkeypatch, 0)
    before = digests(uninterrupted[0])
    assert train(uninterrupted[0]).steps == STEPS
    assert digests(uninterrupted[0]) == before


def test_a_spoilt_newest_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path, caplog):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 4)
        train(tmp_path)
    weights = list_checkpoints(tmp_path / "checkpoints")[0] / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 4
    weights.write_bytes(data)
    train(tmp_path)
    assert "passed over" in caplog.text and "step-00000004/model.safetensors" in caplog.text
    assert digests(tmp_path) == digests(uninterrupted[0])


def test_resuming_with_other_parameters_names_them(uninterrupted):
    with pytest.raises(ParametersChangedError, match=r"learning_rate was 0\.001, is 0\.002"):
        train(uninterrupted[0], replace(PARAMS, learning_rate=2e-3))
    with pytest.raises(ParametersChangedError, match="augment.flip_prob was 0.5, is 0.0"):
        train(uninterrupted[0], replace(PARAMS, augment=replace(PARAMS.augment, flip_prob=0.0)))
    train(uninterrupted[0], replace(PARAMS, keep_checkpoints=3))  # of no account for the result


def test_resume_false_starts_anew(tmp_path):
    train(tmp_path, replace(PARAMS, epochs=1, warmup_epochs=0.0))
    result = train(tmp_path, replace(PARAMS, epochs=1, warmup_epochs=0.0, seed=4), resume=False)
    assert result.steps == 3 and len(result.history) == 3


def test_a_non_finite_loss_stops_with_its_batch_saved(tmp_path, monkeypatch):
    original = TrainingRun.losses

    def losses(run, *arguments):
        return original(run, *arguments) * (float("nan") if run.step == 1 else 1)

    monkeypatch.setattr(TrainingRun, "losses", losses)
    with pytest.raises(NonFiniteLossError, match="step 1: total nan.*load_file.*non_finite/batch.safetensors"):
        train(tmp_path)
    batch = safetensors.torch.load_file(tmp_path / "non_finite" / "batch.safetensors")
    assert batch["pixel_values"].shape == (4, 3, 32, 32) and batch["matrix"].shape == (4, 51, 75)
    assert json.loads((tmp_path / "non_finite" / "figures.json").read_text())["step"] == 1
    assert [folder.name for folder in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000001"]


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_float16_whose_gradients_all_overflow_stops(tmp_path, monkeypatch, scale):
    run = TrainingRun(PARAMS, TinyCorpus(), tmp_path, tiny_model())
    run.accelerator.scaler = SimpleNamespace(get_scale=lambda: scale)
    run.pending.append(torch.tensor([1.0] * len(run.task.terms) + [float("inf")]))
    run.step = 1
    stops = pytest.raises(NonFiniteLossError, match="step 0: gradient_norm inf") if scale < 1 else nullcontext()
    with stops:
        run.fetch()
    assert (tmp_path / "non_finite" / "batch.safetensors").exists() == (scale < 1)


@pytest.mark.parametrize("healthy_is_absent", [False, True])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_add_up_to_its_losses(parts, healthy_is_absent, tmp_path):
    """Also where the last batch has fewer images than parts."""
    params = replace(PARAMS, **WITHOUT_BATCH_EFFECTS, healthy_is_absent=healthy_is_absent)
    whole = train(tmp_path / "whole", params, dropout=0.0)
    divided = train(tmp_path / "divided", replace(params, accumulation_steps=parts), dropout=0.0)
    compared = [*TERMS, "gradient_norm"]
    assert len(whole.history) == 4  # three steps and a validation
    np.testing.assert_allclose(divided.history[compared], whole.history[compared], rtol=1e-4)


def test_losses_of_the_parts_are_weighted_by_their_labels():
    """One step's terms against the mean over all labels of the batch, counted by hand."""
    matrix = torch.full((2, 51, 75), -1, dtype=torch.int8)
    matrix[0, 3, 7] = 1
    matrix[0, 3, 8] = 0
    matrix[1, 4, 8] = 0
    # stated pathologies (7, 8; 8), stated anatomies (3; 4), present pathologies, present anatomies, entries
    assert label_counts(matrix).tolist() == [3, 2, 1, 1, 3]
    assert label_counts(matrix[1:]).tolist() == [1, 1, 0, 0, 1]
    matrix[1, 5, PATHOLOGY_INDEX["clear"]] = 1  # no finding of an anatomy, but contrasted by ProtoCL
    assert label_counts(matrix, healthy_is_absent=True).tolist() == [4, 3, 2, 2, 4]


def test_an_image_of_which_nothing_is_stated_teaches_nothing(tmp_path):
    """Where what is not mentioned counts as absent, it would otherwise be taught as an image without any finding."""

    class Silent(TinyCorpus):
        def stated(self, split, source):
            return self.rows(split)[3:]

    params = replace(PARAMS, epochs=1, unmentioned_as="absent", result="last")
    run = TrainingRun(params, Silent(), tmp_path, tiny_model())
    seen = np.concatenate([run.task.source.batch(step).rows for step in range(run.steps_per_epoch)])
    assert sorted(seen) == list(range(3, 10)) and run.validation.rows.tolist() == [13, 14, 15]


def train_as_one_of_two(rank: int, port: int, folder: Path) -> None:
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port), ACCELERATE_USE_CPU="true")  # fmt: skip
    train(folder, replace(PARAMS, **WITHOUT_BATCH_EFFECTS), dropout=0.0)


def test_two_processes_see_the_losses_of_one(tmp_path):
    port = free_port()
    both = [PROCESSES.Process(target=train_as_one_of_two, args=(rank, port, tmp_path / "two")) for rank in (0, 1)]
    for process in both:
        process.start()
    whole = train(tmp_path / "one", replace(PARAMS, **WITHOUT_BATCH_EFFECTS), dropout=0.0)
    for process in both:
        process.join(timeout=120)
        process.kill()
    assert [process.exitcode for process in both] == [0, 0]
    history = read_history(tmp_path / "two" / "history.csv")
    np.testing.assert_allclose(history[list(TERMS)], whole.history[list(TERMS)], rtol=1e-5)
    np.testing.assert_allclose(history["gradient_norm"], whole.history["gradient_norm"], rtol=1e-4)


def statistics_of_one_of_two(rank: int, port: int, folder: Path) -> None:
    """Writes the batch-norm statistics with which a process validates, and those of its average."""
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port), ACCELERATE_USE_CPU="true")  # fmt: skip
    validate = TrainingRun.validate

    def noted(run: TrainingRun) -> dict[str, float]:
        figures = validate(run)
        buffers = {name: buffer for name, buffer in run.model.named_buffers() if "running" in name}
        average = {f"average.{name}": run.average.tensors[name] for name in buffers}
        safetensors.torch.save_file({**buffers, **average}, folder / f"{rank}.safetensors")
        return figures

    TrainingRun.validate = noted
    train(folder / "run", replace(PARAMS, epochs=1, warmup_epochs=0.0, average_decay=0.9))


def test_two_processes_validate_one_model(tmp_path):
    port = free_port()
    both = [PROCESSES.Process(target=statistics_of_one_of_two, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=120)
        process.kill()
    first, second = (safetensors.torch.load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys() and len(first) > 4
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_buffers_that_are_not_saved_are_shared_without_an_average_of_them(tmp_path, monkeypatch):
    model = tiny_model()
    model.register_buffer("made", torch.zeros(2), persistent=False)
    run = TrainingRun(replace(PARAMS, average_decay=0.9), TinyCorpus(), tmp_path, model)
    shared = []
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, source: shared.append(tensor))
    monkeypatch.setattr(run, "accelerator", SimpleNamespace(num_processes=2))
    run.share_statistics()
    saved = [name for name, _ in model.named_buffers() if name in model.state_dict()]
    assert len(shared) == 2 * len(saved) + 1 and any(tensor is model.made for tensor in shared)


def test_a_run_compiles_one_graph(tmp_path, monkeypatch):
    """Left to itself, torch takes one graph for all sizes as soon as it has seen two, which no benchmark measures, and
    one more for validation; every graph takes a minute and more to compile."""
    served = []

    def backend(graph, _):
        served.append(set())

        def run(*inputs, sizes=served[-1]):
            images = [one for one in inputs if torch.is_tensor(one) and one.shape[2:] == (32, 32)]
            sizes.update(one.shape[0] for one in images)
            return graph(*inputs)

        return run

    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda *given, mode, **other: original(*given, backend=backend, **other))
    for run in range(3):
        result = train(tmp_path / str(run), replace(PARAMS, compile=True))
        result.model(torch.randn(3, 3, 32, 32))  # the finished model is no longer compiled
    assert served == 3 * [{4}]  # neither the short last batch nor validation compiles another


def test_early_stopping_and_frozen_stages(tmp_path):
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    params = replace(PARAMS, epochs=4, early_stopping_epochs=1, frozen_stages=2, frozen_batch_norm=True,
                     learning_rate=0.0, warmup_learning_rate=0.0, final_learning_rate=0.0)  # fmt: skip
    result = pretrain(params, TinyCorpus(), tmp_path, model=model)
    assert result.steps == 6 and result.best_step == 3  # nothing learns, so the second epoch is no better
    assert not model.trunk.network.conv1[0].weight.requires_grad and model.gate.weight.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_macro_auroc_leaves_out_what_cannot_be_judged():
    labels = np.array([[1, 1, -1], [0, 1, 0], [1, -1, 1], [0, 1, -1]], np.int8)
    prob = np.array([[0.9, 0.1, 0.0], [0.2, 0.2, 0.3], [0.1, 0.3, 0.8], [0.15, 0.1, 0.1]])
    assert macro_auroc(labels, prob, min_count=2) == pytest.approx(0.5)  # column 0 alone
    assert macro_auroc(labels, prob, min_count=1) == pytest.approx(0.75)  # columns 0 and 2
    assert np.isnan(macro_auroc(labels, prob, min_count=3))


def test_torn_and_damaged_lines_of_the_history_are_left_out(tmp_path, caplog):
    path = tmp_path / "history.csv"
    line = "0.5,train," + ",".join(["1.0"] * 11)
    path.write_bytes(f"{','.join(columns())}\n1,{line}\n\x7f2,{line}\n3,{line}\n4,1.0,tra".encode() + b"\xff")
    history = read_history(path)
    assert list(history["step"]) == [1, 3] and list(history.columns) == columns()
    assert "1 damaged lines are left out" in caplog.text


def test_steps_that_come_again_are_told(tmp_path, caplog):
    params = replace(PARAMS, checkpoint_every_steps=0)  # at the end of an epoch of three steps
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 5)
        train(tmp_path, params)
    train(tmp_path, params)
    assert "reaches step 4, the last state that verifies is that after step 3" in caplog.text


def test_a_full_disk_at_the_last_moment_leaves_the_checkpoints(uninterrupted, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MedslipModel, "save_pretrained", full)
    with pytest.raises(CheckpointError, match="model: could not be written .*No space left.*make room, call again"):
        train(tmp_path)
    monkeypatch.undo()
    train(tmp_path)
    assert digests(tmp_path) == digests(uninterrupted[0])


def test_figures_of_a_gpu_stand_in_the_history(tmp_path, monkeypatch, caplog):
    cuda = torch.device("cuda", 0)
    assert GpuUse(torch.device("cpu")).figures() == {}
    peak = {cuda: 5 * 2**30}  # of earlier work of the process
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.update({device: 3 * 2**30}))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peak.__getitem__)
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 97)
    gpu = GpuUse(cuda)
    assert gpu.figures() == {"gpu_memory_gib": 3.0, "gpu_utilisation_percent": 97.0}
    monkeypatch.delattr(torch.cuda, "utilization")  # as far as the run can tell: it raises
    assert gpu.figures() == gpu.figures() == {"gpu_memory_gib": 3.0}
    assert caplog.text.count("no GPU utilisation") == 1
    log = TrainingLog(tmp_path, 0, tensorboard=False)
    log.add(step=1, epoch=0.5, split="train", total=2.0, **gpu.figures())
    assert pd.read_csv(tmp_path / "history.csv")["gpu_memory_gib"].tolist() == [3.0]


def test_validation_data_that_cannot_choose_the_best_are_refused(tmp_path):
    with pytest.raises(ValueError, match="lower validation_min_count, or set best_by: total"):
        train(tmp_path, replace(PARAMS, validation_min_count=5))
    corpus = TinyCorpus()
    corpus._matrix[:] = -1
    with pytest.raises(ValueError, match="no pathology has 1 or more .* images: set best_by: total"):  # it is 1
        pretrain(PARAMS, corpus, tmp_path, model=tiny_model())


def test_half_precision_in_the_same_process_resumes_too(tmp_path):
    """bfloat16 autocast on the CPU; the resulting model is a plain float32 model again."""
    params = replace(PARAMS, precision="bf16", epochs=1, warmup_epochs=0.0)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)
        train(tmp_path, params)
    result = train(tmp_path, params)
    train(tmp_path / "whole", params)
    assert digests(tmp_path) == digests(tmp_path / "whole")
    output = result.model(torch.zeros(1, 3, 32, 32))
    assert output.pathology_features.dtype == torch.float32
    features = result.model.trunk(torch.zeros(1, 3, 32, 32))
    assert without_trunk(result.model)(features).pathology_logits.shape == (1, 75, 2)  # a copy calls itself
    reloaded = MedslipModel.from_pretrained(result.model_folder).eval()
    again = reloaded(torch.zeros(1, 3, 32, 32)).pathology_logits  # another memory layout, so not to the last bit
    torch.testing.assert_close(again, output.pathology_logits, rtol=1e-5, atol=1e-6)


def started(monkeypatch, tmp_path, run, **values):
    """The command line with a `pretrain` that does `run` on no corpus."""
    file = tmp_path / "params.yaml"
    file.write_text(json.dumps({"corpus": "c", "run_folder": "r", **values}))
    monkeypatch.setattr(pretrain_module, "pretrain", run)
    monkeypatch.setattr(pretrain_module.PreparedCorpus, "open", lambda path: None)
    return pretrain_module.main(["--params", str(file)])


@pytest.mark.parametrize("device, told", [("auto", True), ("cpu", False)])
def test_a_gpu_that_was_not_found_is_told(device, told, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    started(monkeypatch, tmp_path, lambda *_, **__: None, device=device)
    assert ("no GPU was found" in caplog.text) == told


def test_processes_that_do_not_find_each_other_do_not_train(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        started(monkeypatch, tmp_path, raising(AssertionError("trained")))
    assert "2 processes were started, and without GPUs they do not find each other" in capsys.readouterr().err


def test_another_vocabulary_is_refused_with_all_places_to_change():
    params = PretrainParams(text_encoder="packaged-minilm", model={"pathologies": [*PATHOLOGIES, "bronchiectasis"]})
    places = "medslip_core/vocabulary.py .* medslip_core/descriptions.py .* data_prep/reports/lexicon.toml"
    with pytest.raises(ParameterError, match=f"model: pathologies: not the vocabulary's.*{places}"):
        pretrain_module.starting_model(params)
    root = Path(pretrain_module.__file__).parents[1]
    assert all((root / place).is_file() for place in places.split(" .* "))


def test_a_given_model_is_of_the_method_and_of_the_vocabulary(tmp_path):
    params = replace(PARAMS, device="cpu")
    reversed_ = MedslipModel(replace(tiny_model().config, pathologies=PATHOLOGIES[::-1]))
    with pytest.raises(
        ParameterError, match="pathologies: it was trained with 75, .* \\(the same in another order\\): pre"
    ):
        pretrain_module.pretrain(params, TinyCorpus(), tmp_path / "run", model=reversed_)
    gloria = replace(params, method="gloria", model={}, average_decay=0.0)
    with pytest.raises(ValueError, match="method 'gloria' trains a ContrastiveModel, and the model is a MedslipModel"):
        pretrain_module.pretrain(gloria, TinyCorpus(), tmp_path / "run", model=tiny_model())
    assert not (tmp_path / "run").exists()


def raising(error):
    def run(*_, **__):
        raise error

    return run


@pytest.mark.parametrize("error, told", [
    (CorpusError("c/corpus.json: no such file"), "error: c/corpus.json: no such file"),
    (ParametersChangedError("start anew with resume=False"), "error: start anew with --anew"),
    (CheckpointError("none verifies"), "error: none verifies"),
    (NonFiniteLossError("step 1: total nan"), "error: step 1: total nan"),
    (RunFolderTakenError("r: is being trained"), "error: r: is being trained"),
    (OSError(28, "No space left on device", "r/history.csv"), "No space left on device: 'r/history.csv'"),
    (ValueError("several\nlines"), "error: several lines"),
])  # fmt: skip
def test_what_a_user_can_help_is_a_line(error, told, monkeypatch, tmp_path):
    with pytest.raises(SystemExit) as end:
        started(monkeypatch, tmp_path, raising(error))
    assert end.value.code.endswith(told) and "\n" not in end.value.code
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match="error: process 1: "), pretrain_module._told_in_a_line("prog"):
        raise error


@pytest.mark.parametrize("error, status", [
    (KeyboardInterrupt("saved"), 130), (KeyboardInterrupt(), 130), (SystemExit(143), 143),
])  # fmt: skip
def test_a_stopped_command_ends_with_the_status_of_its_signal(error, status, monkeypatch, tmp_path, caplog):
    with pytest.raises(SystemExit) as end:
        started(monkeypatch, tmp_path, raising(error))
    assert end.value.code == status
    assert ("interrupted; the same command goes on" in caplog.text) == (not error.args)


def test_errors_of_ours_keep_their_traceback(monkeypatch, tmp_path):
    with pytest.raises(KeyError):
        started(monkeypatch, tmp_path, raising(KeyError("a slip")))


def test_the_command_line_names_what_is_wrong_with_its_file(tmp_path, capsys):
    file = tmp_path / "params.yaml"
    for text, message in [
        ("corpus: c\nrun_folder: r\nlerning_rate: 1.0", "the nearest valid name is learning_rate"),
        ("corpus: c\nrun_folder: r\nlearning_rate: 1e-4", "YAML reads 1e-4 as text"),
        ("corpus: c", "names no corpus or no run_folder"),
        ("- a list", "holds no named values"),
        ("corpus: [", "expected the node content"),
    ]:
        file.write_text(text)
        with pytest.raises(SystemExit):
            pretrain_module.main(["--params", str(file)])
        errors = capsys.readouterr().err
        assert message in errors and "params.yaml" in errors
    with pytest.raises(SystemExit):
        pretrain_module.main(["--params", str(tmp_path / "absent.yaml")])
    assert "No such file" in capsys.readouterr().err


def test_the_help_lists_every_parameter(capsys):
    with pytest.raises(SystemExit):
        pretrain_module.main(["--help"])
    told = capsys.readouterr().out
    assert "relative to the working directory" in told and "(medslip, convirt" in told
    defaults = yaml.safe_load(told.partition("parameters in the file")[2].partition("\n")[2])
    assert PretrainParams.from_dict(defaults) == PretrainParams() and defaults.keys() == PARAMS.to_dict().keys()
