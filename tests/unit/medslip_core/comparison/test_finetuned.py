"""Answers after fine-tuning: they give the figures of the grid."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny_comparison import finetuned, params
from tiny_model import MODEL

from medslip_core.comparison.answers import COLUMNS
from medslip_core.comparison.compare import compare
from medslip_core.comparison.finetuned import finetuned_answers
from medslip_core.contrastive.config import ContrastiveConfig
from medslip_core.contrastive.model import ContrastiveModel
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig


def saved(folder: Path, method: str) -> Path:
    """A model of MODEL's trunk, drawn at random."""
    torch.manual_seed(0)
    if method == "medslip":
        model = MedslipModel(MedslipConfig(**MODEL))
    else:
        trunk = {name: MODEL[name] for name in ("backbone", "image_size")}
        model = ContrastiveModel(ContrastiveConfig(**trunk, method=method, text_encoder="packaged-minilm"))
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["medslip", "gloria"])
def test_fine_tuned_answers_give_the_figures_of_the_grid(corpus, tmp_path: Path, method: str) -> None:
    model = saved(tmp_path / "model", method)
    asked = params(corpus, finetuned=finetuned(corpus)).grid("full", [2], model)
    told = finetuned_answers(asked, tmp_path / "runs")
    assert list(told.columns) == COLUMNS
    result = compare({"one": [told], "again": [told]}, resamples=20).set_index(["figure", "variant"])
    expected = pd.read_csv(tmp_path / "runs" / "results.csv")
    assert set(expected["seed"]) == {2}
    for figure, protocol, metric in (
        ("AUROC, NIH ChestX-ray14, linear, 100 % of labels", "linear", "auroc"),
        ("Dice of positives, NIH ChestX-ray14, frozen, 100 % of labels", "frozen", "dice_positives"),
    ):
        (row,) = expected[expected["metric"] == metric].to_dict("records")
        assert result.loc[(figure, "one"), "value"] == pytest.approx(row["value"])
        assert result.loc[(figure, "one"), ["protocol", "n"]].tolist() == [protocol, row["n"]]


def test_a_contrasted_model_has_no_streams_to_fine_tune(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"]["nih"]["features"] = "streams"
    grid = params(corpus, finetuned=asked).grid("full", [0], saved(tmp_path / "model", "convirt"))
    with pytest.raises(ValueError, match="a ContrastiveModel has no streams; take those of its trunk"):
        finetuned_answers(grid, tmp_path / "runs")


def test_tasks_that_share_dataset_and_kind_are_named(corpus, tmp_path: Path) -> None:
    asked = finetuned(corpus)
    asked["tasks"] |= {"all_but_one": asked["tasks"]["nih"]}
    grid = params(corpus, finetuned=asked).grid("full", [0], saved(tmp_path / "model", "medslip"))
    assert finetuned_answers(grid, tmp_path / "runs")["figure"].unique().tolist() == [
        "AUROC, NIH ChestX-ray14 (nih), linear, 100 % of labels",
        "Dice of positives, NIH ChestX-ray14, frozen, 100 % of labels",
        "AUROC, NIH ChestX-ray14 (all but one), linear, 100 % of labels",
    ]
