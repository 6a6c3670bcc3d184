"""Answers of a model: they give the figures of the chapters."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from bright_patches import LooksAtBrightest, bright_corpus
from tiny_comparison import params
from tiny_model import MODEL

from medslip_core import places
from medslip_core.comparison import answers as answers_module
from medslip_core.comparison.answers import COLUMNS, answers, check_questions
from medslip_core.comparison.compare import compare
from medslip_core.corpus import PreparedCorpus
from medslip_core.grounding.maps import attention_maps
from medslip_core.grounding.scores import score
from medslip_core.grounding.truth import questions_of
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.zero_shot import evaluate, predict_split


def test_answers_give_the_figures_of_the_chapters(corpus) -> None:
    torch.manual_seed(0)
    model = MedslipModel(MedslipConfig(**MODEL)).eval()
    model.set_books(torch.randn(51, 8), torch.randn(75, 8), "random")
    opened, asked = PreparedCorpus.open(corpus), params(corpus)
    told = answers(model, {"nih": opened}, asked)
    assert list(told.columns) == COLUMNS and not told.duplicated(["figure", "label", "row"]).any()
    result = compare({"full": [told], "again": [told]}, resamples=20).set_index(["figure", "variant"])["value"]
    test, validation = predict_split(model, opened, "test"), predict_split(model, opened, "validate")
    zero_shot = evaluate(test, validation, resamples=2)
    expected = zero_shot[(zero_shot["metric"] == "auroc") & (zero_shot["class"] == "macro")]["value"].item()
    assert result["AUROC, NIH ChestX-ray14", "full"] == pytest.approx(expected)

    one = questions_of(opened, "boxes", ["Effusion"])[0]
    maps = [attention_maps(model, opened, truth.rows).pathology("effusion")
            for truth in (one.test, one.validation)]  # fmt: skip
    scored = score("pathology", maps[0], one.test, maps[1], one.validation)
    assert result["pointing, NIH ChestX-ray14 boxes", "full"] == pytest.approx(scored["pointing_game"].mean())


def test_classes_are_asked_for_as_the_zero_shot_chapter_was_told(corpus) -> None:
    model = MedslipModel(MedslipConfig(**MODEL)).eval()
    model.set_books(torch.randn(51, 8), torch.randn(75, 8), "random")
    opened = {"nih": PreparedCorpus.open(corpus)}
    by_name, told = (
        answers(model, opened, params(corpus, boxes={}, classes=classes)).set_index(["label", "row"])["score"]
        for classes in ({}, {"nih": {"Effusion": "edema"}})
    )
    assert by_name.index.equals(told.index) and not by_name.loc["Effusion"].equals(told.loc["Effusion"])
    with pytest.raises(ValueError, match=r"no pathology \['wet'\]"):
        check_questions(opened, params(corpus, boxes={}, classes={"nih": {"Effusion": "wet"}}))


def test_boxes_of_any_dataset_are_pointed_at_or_refused_before_training() -> None:
    own, somewhere = bright_corpus(), Path("somewhere")
    own.header = {"dataset": "own"}
    changes = dict(corpora={"own": "somewhere"}, classification=[])
    asked = params(somewhere, boxes={"own": ["Pneumonia"]}, **changes)
    check_questions({"own": own}, asked)
    assert answers(LooksAtBrightest(), {"own": own}, asked)["score"].tolist() == [1.0]
    boxes, own.classes = own.boxes, ["TB"]
    own.boxes = lambda row: boxes(row).replace("Pneumonia", "TB")
    with pytest.raises(ValueError, match="boxes of 'own': no pathology stands for 'TB'"):
        check_questions({"own": own}, params(somewhere, boxes={"own": ["TB"]}, **changes))


def test_anatomies_are_asked_of_those_who_learned_them(corpus) -> None:
    asked, corpora = params(corpus, classification=[], boxes={}, anatomy_corpus="nih"), {"nih": "not looked at"}
    told = answers("not asked", corpora, asked, learned_anatomies=False)
    assert told.empty and list(told.columns) == COLUMNS


def test_places_are_asked_in_the_way_that_validation_chose(monkeypatch, caplog) -> None:
    told = pd.DataFrame(
        [("left_pleural", "effusion", "own", row, row, f"own/p{row}", row % 2, False) for row in range(40)],
        columns=places.COLUMNS,
    )
    scores = pd.DataFrame({"ICL": told["truth"], "maps": 0.25})
    monkeypatch.setattr(
        answers_module, "answer", lambda model, corpora, size: {"side": places.Answered(told, scores, "maps")}
    )
    asked = params(Path("somewhere"), corpora={"own": "somewhere"}, classification=[], boxes={}, places=["own"])
    given = answers(None, {"own": "not looked at"}, asked)
    assert given["figure"].unique().tolist() == ["AUROC, side"] and len(given) == 40
    assert "too few patients of own to ask: side, swapped" in caplog.text
    assert given["way"].unique().tolist() == ["maps"] and given["label"].unique().tolist() == [
        "effusion at left_pleural"
    ]
    result = compare({"one": [given], "other": [given]}, resamples=5)
    assert result["value"].tolist() == [0.5, 0.5], "whatever the test images would choose"
    assert result["way"].tolist() == ["maps", "maps"] and result["n"].tolist() == [40, 40]
