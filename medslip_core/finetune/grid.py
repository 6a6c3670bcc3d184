"""The grid of fine-tuning runs: tasks x protocols x label fractions x initial weights x seeds, cell by cell.

    python -m medslip_core.finetune.grid --params FILE [--share 2/4]
    python -m medslip_core.finetune.grid --params FILE --summary FILE

A cell (`medslip_core.cells`) is one training run with its evaluation. It is finished as long as its identity
(parameters, corpus, split, initial weights) is the same; a killed one goes on from its last checkpoint.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import logging
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medslip_core.cells import Cells, command
from medslip_core.corpus import PreparedCorpus
from medslip_core.files import write_whole
from medslip_core.finetune import fractions, initial, results
from medslip_core.finetune.classifier import Classifier, PooledFeatures
from medslip_core.finetune.finetuned import NETWORK, Finetuned
from medslip_core.finetune.learners import FeatureClassifier, ImageClassifier, ImageSegmenter, Learner
from medslip_core.finetune.params import FinetuneParams, GridParams, TaskParams
from medslip_core.finetune.results import COLUMNS, Run
from medslip_core.finetune.scores import best_thresholds, evaluate_masks, score_masks
from medslip_core.finetune.segmenter import Masks
from medslip_core.finetune.summary import summarise
from medslip_core.finetune.training import fit
from medslip_core.inference import batches
from medslip_core.metrics import require_labels
from medslip_core.torch_state import chosen_device, own_randomness
from medslip_core.trunk_model import TrunkModel
from medslip_core.vocabulary import DATASET_CLASSES
from medslip_core.zero_shot import ClassPredictions, evaluate

logger = logging.getLogger(__name__)

VERSION = 3
"""Of what a cell does: a change of it runs all cells again."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    task: str
    protocol: str
    fraction: float
    weights: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}-{self.protocol}-{self.fraction:g}-{self.weights}-seed{self.seed}"


def cells(params: GridParams) -> list[Cell]:
    """All cells; those that start from the same weights beside each other."""
    return [
        Cell(task, protocol, float(fraction), weights, seed)
        for task in params.tasks
        for protocol in params.protocols.get(params.task(task).kind, ())
        for weights in params.weights
        for seed in params.seeds
        for fraction in params.fractions
    ]


class Grid(Cells):
    """A grid and the folder of its results.

    Args:
        params: of the grid.
        folder: where splits, features, cells and tables are written.

    Raises:
        ParameterError, SplitError, CorpusError, ValueError, FileNotFoundError: whatever is wrong with tasks, splits or
            weights, all found before anything is trained.
    """

    what = "fine-tuning"

    def __init__(self, params: GridParams, folder: str | Path) -> None:
        super().__init__(folder, cells(params))
        self.params = params
        self.corpora = {name: PreparedCorpus.open(path) for name, path in params.corpora.items()}
        self.tasks = {name: _Task(params.task(name), self.corpora) for name in params.tasks}
        self.config = initial.architecture(params.weights, params.model)
        self.device = chosen_device(params.device)
        self._models: dict[tuple[str, int], TrunkModel] = {}
        self._sha256: dict[tuple[str, int], str] = {}
        for name in params.weights:
            model = self.model(name, params.seeds[0])
            for task in self.tasks.values():
                PooledFeatures(model, task.params.features)
        for cell in self.cells:
            self.split(cell)

    def model(self, weights: str, seed: int) -> TrunkModel:
        """The model that a cell starts from, freshly made."""
        source = self.params.weights[weights]
        of_seed = (weights, -1 if initial.is_folder(source) else seed)  # a saved model is read once
        if of_seed not in self._models:
            self._models = {of_seed: initial.starting_model(weights, source, self.config, seed).eval()}
        model = copy.deepcopy(self._models[of_seed])
        self._sha256.setdefault((weights, seed), initial.fingerprint(model, model.config))
        return model

    def weights_sha256(self, weights: str, seed: int) -> str:
        """Of that model, its options included."""
        if (weights, seed) not in self._sha256:
            self.model(weights, seed)
        return self._sha256[weights, seed]

    def split(self, cell: Cell) -> fractions.Split:
        """The split of a cell: all of validation and test, and its fraction of the training patients."""
        task = self.tasks[cell.task]
        try:
            return task.split(cell.fraction, cell.seed)
        except fractions.SplitError as error:
            raise fractions.SplitError(f"{cell.task}: {error}") from error

    def training(self, cell: Cell) -> FinetuneParams:
        """How a cell trains. Weights drawn at random have no batch-norm statistics to keep."""
        params = self.params.run(self.tasks[cell.task].params.kind, cell.protocol)
        drawn = self.params.weights[cell.weights] == initial.RANDOM
        return replace(params, frozen_batch_norm=False) if drawn else params

    def identity(self, cell: Cell) -> dict[str, object]:
        """All that must be the same for a cell's result to stand."""
        task = self.tasks[cell.task]
        identity = {
            "version": VERSION,
            **vars(cell),
            "of_task": {**task.params.to_dict(), "classes": task.classes, "split": ""},  # the file may move
            "training": self.training(cell).to_dict(),
            "resamples": self.params.resamples,
            "corpus_sha256": task.corpus.header["sha256"],
            "split_sha256": self.split(cell).sha256,
            "weights_sha256": self.weights_sha256(cell.weights, cell.seed),
        }
        return json.loads(json.dumps(identity))

    def is_finished(self, cell: Cell) -> bool:
        return self._result(cell) is not None

    def finished(self) -> list[Run]:
        """The finished cells, in the grid's order."""
        return [run for run in map(self._result, self.cells) if run]

    def _result(self, cell: Cell) -> Run | None:
        """Of a finished cell: of these parameters, data and weights, and with its network if that is to be kept."""
        if self.params.keep_models and not (self.folder_of(cell) / NETWORK).is_file():
            return None
        run = results.read_run(self.folder_of(cell))
        return run if run and run.identity == self.identity(cell) else None

    def run(self, chosen: list[Cell] | None = None) -> list[Run]:
        """Run those of some cells (all if None) that are not finished; returns all of the grid that are."""
        super().run(chosen)
        finished = self.finished()
        write_whole(self.folder / "results.csv", results.collect(finished).to_csv(index=False).encode())
        return finished

    def summary(self) -> dict[str, Any]:
        return summarise(self, empty_cells(self))

    def run_cell(self, cell: Cell) -> None:
        """Train and evaluate one cell."""
        task, split, identity = self.tasks[cell.task], self.split(cell), self.identity(cell)
        folder = self.folder_of(cell)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NETWORK).unlink(missing_ok=True)  # of an older result
        split.write(self.folder / "splits" / f"{cell.task}-{cell.fraction:g}-seed{cell.seed}.csv")
        learner = self.learner(cell, task, split)
        done = fit(learner, split.rows("train"), learner.params, cell.seed, folder / "checkpoints", identity)
        if task.params.kind == "classification":
            table, predictions = self._evaluate_classes(learner, task, split)
        else:
            table, predictions = self._evaluate_masks(learner, task, split)
        train = split.table[split.table["split"] == "train"]
        facts = {
            **vars(cell), "dataset": task.corpus.header["dataset"], "kind": task.params.kind,
            "features": task.params.features if task.params.kind == "classification" else "trunk",
            "train_patients": train["patient_id"].nunique(), "train_images": len(train),
            "split": split.sha256, "weights_sha256": identity["weights_sha256"],
        }  # fmt: skip
        table = table.drop(columns="protocol", errors="ignore").assign(**facts)[COLUMNS]
        if self.params.keep_models:
            self._finetuned(cell, task, learner).save(folder)
        results.write_run(folder, identity, table, done.history, predictions)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        logger.info("%s: best after %d of %d steps", cell.name, done.best_step, done.steps)

    def _finetuned(self, cell: Cell, task: _Task, learner: Learner) -> Finetuned:
        """What a cell has trained, with the part of it that stayed as it was."""
        features = task.params.features if task.params.kind == "classification" else ""
        if not isinstance(learner, FeatureClassifier):
            return Finetuned(learner.network, learner.model, tuple(task.classes), features)
        model = self.model(cell.weights, cell.seed)
        network = Classifier(model, len(task.classes), features)
        network.head = learner.network
        return Finetuned(network, model, tuple(task.classes), features)

    def learner(self, cell: Cell, task: _Task, split: fractions.Split) -> Learner:
        """What a cell trains."""
        model = self.model(cell.weights, cell.seed)
        params, validation = self.training(cell), split.rows("validate")
        rest = (params, cell.seed, validation, self.device)
        with own_randomness(self.device):
            torch.manual_seed(cell.seed)
            if task.params.kind == "segmentation":
                return ImageSegmenter(task.corpus, model, task.masks, cell.protocol == "frozen", *rest)
            if cell.protocol == "full":
                learner = ImageClassifier(task.corpus, model, task.labels, task.params.features, *rest)
            else:
                features = self.features(cell, task, model)
                learner = FeatureClassifier(features, task.labels, params, validation, self.device)
        learner.network.start_from(torch.from_numpy(task.labels[split.rows("train")]))
        return learner

    def features(self, cell: Cell, task: _Task, model: TrunkModel) -> np.ndarray:
        """Pooled features [N, F] float32 of all images of a task's corpus, computed once per weights."""
        pooled = PooledFeatures(model, task.params.features).eval()
        known = (task.corpus.header["sha256"], initial.fingerprint(pooled, model.config))
        path = self.folder / "features" / f"{hashlib.sha256(' '.join(known).encode()).hexdigest()[:16]}.npy"
        if not path.is_file():
            model.to(self.device)
            rows = np.arange(len(task.corpus))
            with torch.inference_mode():
                parts = [
                    pooled(pixels).float().cpu().numpy()
                    for pixels in batches(model, task.corpus, rows, 64, f"features, {cell.weights}")
                ]
            table = io.BytesIO()
            np.save(table, np.concatenate(parts))
            write_whole(path, table.getvalue())
        return np.load(path)

    def _evaluate_classes(
        self, learner: ImageClassifier, task: _Task, split: fractions.Split
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        def predict(part: str) -> ClassPredictions:
            rows = split.rows(part)
            return ClassPredictions(
                dataset=task.corpus.header["dataset"], classes=tuple(task.classes), rows=rows,
                patients=task.patients[rows], labels=task.labels[rows], probabilities=learner.probabilities(rows),
            )  # fmt: skip

        test, validation = predict("test"), predict("validate")
        table = evaluate(test, validation, resamples=self.params.resamples)
        empty = fractions.empty_classes(task.labels[split.rows("train")], task.classes)
        unseen = table["class"].isin(empty)
        table.loc[unseen, "note"] = (table.loc[unseen, "note"] + "; one label only in training").str.removeprefix("; ")
        return table, results.packed_classes(test, validation)

    def _evaluate_masks(
        self, learner: ImageSegmenter, task: _Task, split: fractions.Split
    ) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        thresholds = best_thresholds(learner.predictions(split.rows("validate")))
        scores = score_masks(learner.predictions(split.rows("test")), task.patients, thresholds)
        table = evaluate_masks(scores, self.params.resamples, seed=0)
        shown = bool(task.masks.positive[split.rows("train")].any())
        table["class"], table["note"] = task.params.label, "" if shown else "no mask in training"
        return table, results.packed_masks(scores)


class _Task:
    """A task with its corpus and truth."""

    def __init__(self, params: TaskParams, corpora: dict[str, PreparedCorpus]) -> None:
        self.params, self.corpus = params, corpora[params.corpus]
        self._splits: dict[tuple[float, int], fractions.Split] = {}
        self.patients = self.corpus.manifest["patient_id"].astype(str).to_numpy()
        if params.kind == "classification":
            dataset = self.corpus.header["dataset"]
            self.classes = params.classes or list(DATASET_CLASSES.get(dataset, self.corpus.classes))
            self.labels = self.corpus.labels(self.classes)
            require_labels(self.labels)
            self.positives = self.labels == 1
            self.usable = np.flatnonzero(~np.isnan(self.labels).all(axis=1))
        else:
            self.classes = [params.label]
            self.masks = Masks(self.corpus, params.truth, params.label)
            self.positives, self.usable = self.masks.positive[:, None], self.masks.rows

    @cached_property
    def whole(self) -> fractions.Split:
        """The split with all training labels."""
        whole = (
            fractions.read_split(self.params.split, self.corpus)
            if self.params.split
            else fractions.corpus_split(self.corpus)
        )
        return whole.only(self.usable)

    def split(self, fraction: float, seed: int) -> fractions.Split:
        """The split with a fraction of the training patients."""
        if (fraction, seed) not in self._splits:
            self._splits[fraction, seed] = fractions.take_fraction(self.whole, self.positives, fraction, seed)
        return self._splits[fraction, seed]


def part_sizes(grid: Grid) -> pd.DataFrame:
    """Who there is: columns task, dataset, part, patients, images, positive (images that show any of the classes)."""
    rows = []
    for name, task in grid.tasks.items():
        for part in fractions.PARTS:
            members = task.whole.rows(part)
            rows.append(
                {"task": name, "dataset": task.corpus.header["dataset"], "part": part,
                 "patients": len(set(task.patients[members])), "images": len(members),
                 "positive": int(task.positives[members].any(axis=1).sum())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def empty_cells(grid: Grid) -> pd.DataFrame:
    """What each fraction holds: task, fraction, seed, patients, images, empty (list of the classes with one label)."""
    rows = []
    for cell in dict.fromkeys(replace(cell, protocol="", weights="") for cell in grid.cells):
        task, split = grid.tasks[cell.task], grid.split(cell)
        train = split.table[split.table["split"] == "train"]
        truth = task.labels if task.params.kind == "classification" else task.positives.astype(float)
        empty = fractions.empty_classes(truth[split.rows("train")], task.classes)
        rows.append(
            {"task": cell.task, "fraction": cell.fraction, "seed": cell.seed, "patients": train["patient_id"].nunique(),
             "images": len(train), "empty": empty}
        )  # fmt: skip
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """Run a grid from a YAML or JSON file of `GridParams`, in the folder where it lies."""
    command("medslip_core.finetune.grid", logger, lambda file: Grid(GridParams.read(file), file.parent), arguments)


if __name__ == "__main__":
    main()
