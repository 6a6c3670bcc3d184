"""Tables with intervals and the note on small training sets."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medslip_core.model_config import MedslipConfig
from medslip_core.naming import corpus_title
from medslip_core.pretrain_params import PretrainParams
from medslip_core.reporting import (
    ENOUGH_TRAINING_IMAGES,
    beside_published,
    interval_text,
    training_set_note,
    with_intervals,
)


def results():
    rows = [("b", "auroc", 0.815, 0.7, 0.9), ("b", "f1", np.nan, np.nan, np.nan), ("b", "ece", 0.1, 0.0, 0.2),
            ("a", "auroc", 0.5, 0.44, 0.56), ("a", "f1", 1.0, 1.0, 1.0)]  # fmt: skip
    return pd.DataFrame(rows, columns=["class", "metric", "value", "low", "high"]).assign(n=7)


def test_a_value_reads_with_its_interval():
    assert interval_text(0.846, 0.8, 0.9, digits=3) == "0.846 [0.800,\u00a00.900]"
    assert interval_text(float("nan"), float("nan"), float("nan")) == "–"


def test_one_row_per_case_and_one_column_per_metric():
    table = with_intervals(results(), ["class", "n"], ["f1", "auroc"], digits=1)
    assert list(table.columns) == ["class", "n", "F1", "AUROC"]
    assert table.to_numpy().tolist() == [
        ["b", 7, "–", "0.8 [0.7,\u00a00.9]"],
        ["a", 7, "1.0 [1.0,\u00a01.0]", "0.5 [0.4,\u00a00.6]"],
    ]


def test_a_metric_that_a_case_lacks_stays_empty():
    table = with_intervals(results(), ["class"], ["ece"])
    assert table["class"].tolist() == ["b"]
    assert with_intervals(results().iloc[:0], ["class"], ["f1"]).empty


def test_cases_that_cannot_be_told_apart_raise():
    with pytest.raises(ValueError, match="several values of a metric for the same \\['n'\\]"):
        with_intervals(results(), ["n"], ["auroc"])


def test_few_images_are_said_to_be_few():
    assert "**Few images.**" in training_set_note(1999) and "1,999 images" in training_set_note(1999)
    assert training_set_note(ENOUGH_TRAINING_IMAGES) == "The model was pre-trained on 2,000 images."


def test_what_differs_from_the_published_setting():
    assert beside_published(PretrainParams(), MedslipConfig()).empty
    params = PretrainParams.from_dict({"epochs": 6, "augment": {"flip_prob": 0.0}})
    table = beside_published(params, MedslipConfig(hidden_dim=64)).set_index("parameter")
    assert table.index.tolist() == ["hidden_dim", "epochs", "augment.flip_prob"]
    assert table.loc["epochs"].tolist() == ["100", "6", "passes over the training images"]


@pytest.mark.parametrize("synthetic, title", [(True, "NIH ChestX-ray14 layout (phantom)"), (False, "NIH ChestX-ray14")])
def test_a_synthetic_corpus_is_called_so(synthetic, title):
    corpus = SimpleNamespace(header={"synthetic": synthetic})
    assert corpus_title("nih", corpus) == title
