"""A comparison: every variant pre-trained under one budget, asked on test images, and compared.

    python -m medslip_core.comparison.study --params FILE [--share 1/2]
    python -m medslip_core.comparison.study --params FILE --summary FILE

A cell (`medslip_core.cells`) is a variant with a seed. Its folder holds its `model`, the training's `history.csv`, and
`training.json` with all that they depend on; `answers.parquet`, and `result.json` with all that these depend on. What
is there and depends on the same is not done again; a killed cell goes on from its last checkpoint.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from medslip_core.cells import Cells, command
from medslip_core.comparison.answers import COLUMNS, ZERO_SHOT, answers, check_questions
from medslip_core.comparison.compare import compare
from medslip_core.comparison.finetuned import finetuned_answers
from medslip_core.comparison.params import ComparisonParams, in_folder_name
from medslip_core.corpus import PreparedCorpus
from medslip_core.files import write_whole
from medslip_core.finetune.grid import Cell as GridCell
from medslip_core.finetune.grid import Grid
from medslip_core.finetune.initial import RANDOM
from medslip_core.loading import load_model
from medslip_core.pretrain import ParametersChangedError, PretrainResult, pretrain
from medslip_core.pretrain_params import PretrainParams
from medslip_core.provenance import environment_record
from medslip_core.torch_state import chosen_device

logger = logging.getLogger(__name__)

VERSION = 3
"""Of what a cell does: a change of it runs all cells again."""
ASKED_VERSION = 4
"""Of how a trained model is asked without labels: a change of it asks all cells again."""

TRAINED, HISTORY, RESULT, ANSWERS = "training.json", "history.csv", "result.json", "answers.parquet"


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{in_folder_name(self.variant)}-seed{self.seed}"


class Study(Cells):
    """A study and the folder of its results.

    Args:
        params: of the study.
        folder: where cells are written.

    Raises:
        CorpusError: a corpus is missing or damaged.
        ValueError: something is asked that a corpus cannot be asked.
        ParameterError, SplitError, ValueError: of what is fine-tuned, see `finetune.grid.Grid`.
    """

    what = "comparison"

    def __init__(self, params: ComparisonParams, folder: str | Path) -> None:
        super().__init__(folder, [Cell(variant, seed) for seed in params.seeds for variant in params.variants])
        self.params = params
        self.training = PreparedCorpus.open(params.pretraining_corpus)
        self.corpora = {name: PreparedCorpus.open(place) for name, place in params.corpora.items()}
        check_questions(self.corpora, params)  # what is wrong is said before hours of training
        self.finetuned: list[dict[str, object]] = []
        if params.finetuned:
            grid = Grid(params.grid(next(iter(params.variants)), params.seeds, RANDOM), self.folder)
            self.finetuned = [self._asked_of(grid, run) for run in grid.cells]

    def training_identity(self, cell: Cell) -> dict[str, object]:
        """All that must be the same for a cell's model to stand."""
        pretraining = self.params.run(cell.variant, cell.seed).to_dict()
        return _plain({"version": VERSION, "params": pretraining, "corpus_sha256": self.training.header["sha256"]})

    def identity(self, cell: Cell) -> dict[str, object]:
        """All that must be the same for a cell's answers to stand."""
        asked = ("classification", "classes", "boxes", "places", "anatomy_corpus", "anatomy_images", "looks")
        identity = {
            "training": self.training_identity(cell),
            "asked": {"version": ASKED_VERSION, **{name: getattr(self.params, name) for name in asked}},
            "corpora_sha256": {name: corpus.header["sha256"] for name, corpus in self.corpora.items()},
            "finetuned": [run for run in self.finetuned if run["seed"] == cell.seed],
        }
        return _plain(identity)

    def is_trained(self, cell: Cell) -> bool:
        """Whether its model is there, of these parameters and this corpus."""
        folder = self.folder_of(cell)
        return (folder / "model").is_dir() and _identity_in(folder / TRAINED) == self.training_identity(cell)

    def is_finished(self, cell: Cell) -> bool:
        """Whether its answers are there, of these parameters and corpora."""
        return _identity_in(self.folder_of(cell) / RESULT) == self.identity(cell)

    def run_cell(self, cell: Cell) -> None:
        """Pre-train a variant unless it is, ask it, fine-tune it, and keep what it answered."""
        folder = self.folder_of(cell)
        if not self.is_trained(cell):
            self._train(cell, folder)
        shutil.rmtree(folder / "pretraining", ignore_errors=True)
        model = load_model(folder / "model").to(chosen_device(self.params.run(cell.variant, cell.seed).device))
        learned_anatomies = self.params.run(cell.variant, cell.seed).anatomy_weight > 0
        table = answers(model, self.corpora, self.params, learned_anatomies)
        if self.params.finetuned:
            table = pd.concat([table, self._finetuned(cell, folder)], ignore_index=True)
        packed = io.BytesIO()
        table.to_parquet(packed)
        (folder / RESULT).unlink(missing_ok=True)  # it would vouch for answers that are not its own
        write_whole(folder / ANSWERS, packed.getvalue())
        shutil.rmtree(folder / "finetuning", ignore_errors=True)
        _write(folder / RESULT, self.identity(cell))

    def _finetuned(self, cell: Cell, folder: Path) -> pd.DataFrame:
        """Its answers with labels; those it gave before stand, if only what is asked without labels has changed."""
        before, now = _identity_in(folder / RESULT), self.identity(cell)
        if before and all(before.get(what) == now[what] for what in ("training", "finetuned")):
            table = pd.read_parquet(folder / ANSWERS)
            return table[table["protocol"] != ZERO_SHOT].reindex(columns=COLUMNS, fill_value="")  # a column may be new
        grid = self.params.grid(cell.variant, [cell.seed], folder / "model")
        return finetuned_answers(grid, folder / "finetuning")

    def _train(self, cell: Cell, folder: Path) -> None:
        logger.info("%s: pre-training", cell.name)
        result = self._pretrain(self.params.run(cell.variant, cell.seed), folder / "pretraining")
        (folder / TRAINED).unlink(missing_ok=True)
        shutil.rmtree(folder / "model", ignore_errors=True)
        result.model_folder.rename(folder / "model")
        write_whole(folder / HISTORY, result.history.to_csv(index=False).encode())
        _write(folder / TRAINED, self.training_identity(cell))

    def _pretrain(self, params: PretrainParams, folder: Path) -> PretrainResult:
        try:
            return pretrain(params, self.training, folder)
        except ParametersChangedError as changed:
            logger.info("%s: begun with other parameters, trained anew: %s", folder, changed)
            return pretrain(params, self.training, folder, resume=False)

    def comparison(self, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
        """As `compare` gives it, of the variants of which every seed is finished; empty without the first of them."""
        finished = {
            variant: [pd.read_parquet(self.folder_of(cell) / ANSWERS) for cell in self.cells if cell.variant == variant]
            for variant in self.params.variants
            if all(self.is_finished(cell) for cell in self.cells if cell.variant == variant)
        }
        reference = next(iter(self.params.variants))
        return compare(finished if reference in finished else {}, resamples, seed)

    def summary(self) -> dict[str, Any]:
        rows = json.loads(self.comparison().to_json(orient="records"))
        return {"pretraining": self.params.pretraining, "rows": rows}

    @staticmethod
    def _asked_of(grid: Grid, run: GridCell) -> dict[str, object]:
        """What a run of fine-tuning depends on, whatever weights it starts from."""
        kind = grid.tasks[run.task].params.kind
        identity = {**grid.identity(run), "training": grid.params.run(kind, run.protocol).to_dict()}
        return {name: value for name, value in identity.items() if name not in ("weights", "weights_sha256")}


def _plain(identity: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(identity))


def _identity_in(file: Path) -> object:
    try:
        return json.loads(file.read_text())["identity"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _write(file: Path, identity: dict[str, object]) -> None:
    content = {"identity": identity, "environment": environment_record()}
    write_whole(file, json.dumps(content, indent=1).encode())


def main(arguments: list[str] | None = None) -> None:
    """Run a comparison from a YAML or JSON file of `ComparisonParams`, in the folder where it lies."""

    def opened(file: Path) -> Study:
        return Study(ComparisonParams.read(file), file.parent)

    command("medslip_core.comparison.study", logger, opened, arguments)


if __name__ == "__main__":
    main()
