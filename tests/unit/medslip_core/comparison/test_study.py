"""A study: which runs are done, kept and done again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_comparison import PRETRAINING, VARIANTS, finetuned, params, table

from medslip_core.checkpoint import CheckpointError
from medslip_core.comparison import study
from medslip_core.comparison.answers import check_questions
from medslip_core.comparison.params import ComparisonParams
from medslip_core.comparison.study import Cell, Study
from medslip_core.corpus import PreparedCorpus
from medslip_core.finetune import fractions
from medslip_core.pretrain import NonFiniteLossError, ParametersChangedError, RunFolderTakenError


def test_what_cannot_be_fine_tuned_is_known_before_training(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"]["outlines"]["label"] = "Mass"
    with pytest.raises(ValueError, match="no boxes of 'Mass'"):
        Study(params(corpus, finetuned=asked), tmp_path)
    with pytest.raises(fractions.SplitError, match="nih: "):
        Study(params(corpus, finetuned={**finetuned(corpus), "fractions": [1e-9]}), tmp_path)


def test_what_cannot_be_asked_is_known_before_training(corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"boxes of 'nih': none is called 'Efusion'; did you mean 'Effusion'"):
        Study(params(corpus, boxes={"nih": ["Efusion"]}), tmp_path)
    with pytest.raises(ValueError, match="boxes: no test image of 'nih' has a box of 'Mass'"):
        Study(params(corpus, boxes={"nih": ["Mass"]}), tmp_path)
    with pytest.raises(ValueError, match="anatomy_corpus: no test image of 'nih' has the mask of an anatomy"):
        Study(params(corpus, anatomy_corpus="nih"), tmp_path)
    study = Study(params(corpus), tmp_path)
    unknown = SimpleNamespace(header={"dataset": "manifest"}, classes=["TB"])
    with pytest.raises(ValueError, match=r"none of its labels \['TB'\] has the name of a pathology"):
        check_questions({"nih": unknown}, study.params)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for training and asking, and notes what was trained."""
    done: list[str] = []

    def pretrain(params, corpus, folder, resume=True):  # noqa: ANN001, ANN202
        if resume and (folder / "begun").exists():
            raise ParametersChangedError("icl_weight: was 1.0")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "begun").touch()
        done.append(f"{params.icl_weight:g}" + ("" if resume else " anew"))
        (folder / "model").mkdir()
        return SimpleNamespace(model_folder=folder / "model", history=pd.DataFrame({"step": [1]}))

    monkeypatch.setattr(study, "pretrain", pretrain)
    monkeypatch.setattr(study, "load_model", lambda folder: torch.nn.Identity())
    monkeypatch.setattr(study, "answers", lambda *asked: table(np.arange(4.0), np.array([0.0, 1, 0, 1])))
    return done


def test_what_is_finished_is_not_trained_again(corpus, tmp_path: Path, trained) -> None:
    first = Study(params(corpus), tmp_path)
    assert first.comparison().empty
    first.run(first.cells[1:])
    assert first.comparison().empty, "nothing to compare with yet"
    first.run()
    assert trained == ["0", "1"] and first.comparison(resamples=10)["variant"].tolist() == list(VARIANTS)
    first.run()
    assert len(trained) == 2
    result = json.loads((tmp_path / "cells" / "full-seed0" / "result.json").read_text())
    assert result["identity"]["training"]["params"]["icl_weight"] == 1.0
    assert sorted(file.name for file in (tmp_path / "cells" / "full-seed0").iterdir()) == [
        ".lock", "answers.parquet", "history.csv", "model", "result.json", "training.json",
    ]  # fmt: skip

    other = Study(params(corpus, boxes={}), tmp_path)
    assert other.comparison().empty
    other.run()
    assert len(trained) == 2 and not other.comparison(resamples=2).empty, "asked something else, the models are there"
    shutil.rmtree(tmp_path / "cells" / "full-seed0" / "model")
    assert other.is_finished(other.cells[0]) and not other.is_trained(other.cells[0])

    longer = Study(params(corpus, pretraining={**PRETRAINING, "epochs": 3}), tmp_path)
    assert longer.comparison().empty
    longer.run()
    assert len(trained) == 4


def test_a_cell_killed_while_it_is_asked_anew_is_not_finished(corpus, tmp_path: Path, trained, monkeypatch) -> None:
    first, other = Study(params(corpus), tmp_path), Study(params(corpus, boxes={}), tmp_path)
    cell = first.cells[0]
    first.run([cell])

    def killed(file: Path, identity: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        other.run([cell])
    assert not first.is_finished(cell), "its answers are those of the other"


def test_answers_after_fine_tuning_stand_with_the_others(corpus, tmp_path: Path, trained, monkeypatch) -> None:
    def told(grid, folder):  # noqa: ANN001, ANN202
        folder.mkdir()
        return table(np.arange(4.0), np.array([0.0, 1, 1, 1])).assign(figure=f"AUROC, b, seed {grid.seeds[0]}")

    monkeypatch.setattr(study, "finetuned_answers", told)
    split, table_of_split = tmp_path / "split.csv", PreparedCorpus.open(corpus).manifest[["image_id", "split"]]
    table_of_split.to_csv(split, index=False)
    labels = finetuned(corpus)
    labels["tasks"]["nih"]["split"] = str(split)
    asked = params(corpus, finetuned=labels, seeds=[5])
    (tmp_path / "here").mkdir()
    asked.write(tmp_path / "here" / "study.json")
    one = Study(asked, tmp_path / "here")
    one.run()
    assert one.comparison(resamples=5)["figure"].unique().tolist() == ["AUROC, a", "AUROC, b, seed 5"]
    assert not (tmp_path / "here" / "cells" / "full-seed5" / "finetuning").exists()

    again = Study(ComparisonParams.read(tmp_path / "here" / "study.json"), tmp_path / "here")
    assert again.params != asked and all(map(again.is_finished, one.cells)), "paths make no difference"
    fewer = replace(asked, finetuned={**labels, "fractions": [0.5]})
    assert not any(map(Study(fewer, tmp_path / "here").is_finished, one.cells))
    table_of_split[1:].to_csv(split, index=False)
    split_anew = Study(asked, tmp_path / "here")
    assert not any(map(split_anew.is_finished, one.cells)) and all(map(split_anew.is_trained, one.cells))
    assert not any(map(split_anew.is_trained, Study(replace(asked, seeds=[6]), tmp_path / "here").cells))
    table_of_split.to_csv(split, index=False)
    monkeypatch.setattr("medslip_core.finetune.grid.VERSION", -1)
    assert not any(map(Study(asked, tmp_path / "here").is_finished, one.cells)), "a run does something else now"


def test_what_was_fine_tuned_stands_when_other_questions_are_asked(corpus, tmp_path, trained, monkeypatch) -> None:
    done = []

    def told(grid, folder):  # noqa: ANN001, ANN202
        folder.mkdir()
        done.append(folder)
        scores = np.arange(4.0) + len(done)
        return table(scores, np.array([0.0, 1, 1, 1])).assign(figure="AUROC, b", protocol="linear")

    monkeypatch.setattr(study, "finetuned_answers", told)
    asked = params(corpus, finetuned=finetuned(corpus))
    one = Study(asked, tmp_path)
    one.run()
    assert len(done) == 2
    answered = tmp_path / "cells" / "full-seed0" / "answers.parquet"
    before = pd.read_parquet(answered)
    before.drop(columns="way").to_parquet(answered)  # as it was before there were several ways
    other = Study(replace(asked, boxes={}), tmp_path)
    assert not other.is_finished(other.cells[0])
    other.run()
    assert len(done) == 2 and other.comparison(resamples=5)["figure"].unique().tolist() == ["AUROC, a", "AUROC, b"]
    pd.testing.assert_frame_equal(pd.read_parquet(answered), before)
    Study(replace(asked, finetuned={**finetuned(corpus), "fractions": [0.5]}), tmp_path).run()
    assert len(done) == 4


def test_a_run_begun_with_other_parameters_starts_anew(corpus, tmp_path: Path, trained) -> None:
    one = Study(params(corpus), tmp_path)
    (tmp_path / "cells" / "full-seed0" / "pretraining").mkdir(parents=True)
    (tmp_path / "cells" / "full-seed0" / "pretraining" / "begun").touch()
    one.run(one.cells[:1])
    assert trained == ["1 anew"]


def test_the_command_runs_a_share_and_writes_a_summary(corpus, tmp_path: Path, trained, capsys) -> None:
    params(corpus).write(tmp_path / "study.json")
    study.main(["--params", str(tmp_path / "study.json"), "--share", "2/2"])
    assert trained == ["0"]
    study.main(["--params", str(tmp_path / "study.json")])
    study.main(["--params", str(tmp_path / "study.json"), "--summary", str(tmp_path / "summary.json")])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [row["variant"] for row in summary["rows"]] == list(VARIANTS) and summary["rows"][0]["p"] is None
    assert list(summary) == ["command", "pretraining", "rows", "environment"]
    with pytest.raises(SystemExit):
        study.main(["--params", str(tmp_path / "study.json"), "--share", "3/2"])
    assert "share: '3/2' is not k/n" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status", "told"), [
    (KeyboardInterrupt(), 130, "the same command goes on"), (RunFolderTakenError("c/pretraining: is being"), 1, ""),
    (NonFiniteLossError("step 1: total nan"), 1, ""), (CheckpointError("c: could not be written"), 1, ""),
])  # fmt: skip
def test_a_stopped_command_ends_with_a_line(error, status, told, corpus, tmp_path: Path, monkeypatch, caplog) -> None:
    def run_cell(_: Study, cell: Cell) -> None:
        raise error

    monkeypatch.setattr(Study, "run_cell", run_cell)
    params(corpus).write(tmp_path / "study.json")
    with pytest.raises(SystemExit) as end:
        study.main(["--params", str(tmp_path / "study.json")])
    assert end.value.code == status and told in caplog.text
