"""What a model answers on test images, as one tidy table from which every figure is computed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from medslip_core.comparison.params import ComparisonParams
from medslip_core.corpus import PreparedCorpus
from medslip_core.grounding.maps import attention_maps, stretched
from medslip_core.grounding.scores import pointing_game
from medslip_core.grounding.truth import Question, questions_of
from medslip_core.naming import corpus_title
from medslip_core.places import QUESTIONS, Answered, answer, pair_label
from medslip_core.trunk_model import TrunkModel
from medslip_core.vocabulary import PLACED_ANATOMIES
from medslip_core.zero_shot import ClassPredictions, asked_for, predict_split

COLUMNS = ["figure", "protocol", "metric", "label", "row", "patient", "truth", "score", "way"]
"""metric "auroc": truth 1 or 0 (NaN: unknown), score the higher the surer; "pointing_game": score 1 (hit) or 0, truth
NaN; "dice_positives": score in [0, 1] (NaN: nothing to find), truth NaN. protocol: that of fine-tuning, or `ZERO_SHOT`.
way: which of its ways a model was asked in, where there are several, see `places.place_scores`; else empty."""

ZERO_SHOT = "zero-shot"

logger = logging.getLogger(__name__)


def check_questions(corpora: Mapping[str, PreparedCorpus], params: ComparisonParams) -> None:
    """Whether everything that `params` asks without labels can be asked of these corpora.

    Raises:
        ValueError: the corpus that cannot be asked, and what it lacks.
    """
    for name in params.classification:
        asked_for(corpora[name], params.classes.get(name))
    for name, labels in params.boxes.items():
        shown = {one.label for one in questions_of(corpora[name], "boxes", labels)}
        for label in labels:
            if label not in shown:
                raise ValueError(f"boxes: no test image of {name!r} has a box of {label!r}")
    if params.anatomy_corpus and not _places(corpora, params):
        raise ValueError(f"anatomy_corpus: no test image of {params.anatomy_corpus!r} has the mask of an anatomy")


def _places(corpora: Mapping[str, PreparedCorpus], params: ComparisonParams) -> list[Question]:
    return questions_of(corpora[params.anatomy_corpus], "anatomies", PLACED_ANATOMIES, params.anatomy_images)


def answers(
    model: TrunkModel, corpora: Mapping[str, PreparedCorpus], params: ComparisonParams, learned_anatomies: bool = True
) -> pd.DataFrame:
    """Everything that `params` asks of a model: columns `COLUMNS`, one row per image and label.

    Args:
        model: that answers as a `MedslipModel` does.
        corpora: by name.
        params: what is asked.
        learned_anatomies: False for a model that was never taught where anatomies lie; it is not asked for them.
    """
    tables = []
    for name in params.classification:
        classes = asked_for(corpora[name], params.classes.get(name))
        test = predict_split(model, corpora[name], "test", params.batch_size, classes)
        tables.append(of_classes(test, f"AUROC, {corpus_title(test.dataset, corpora[name])}"))
    for name, labels in params.boxes.items():
        asked = questions_of(corpora[name], "boxes", labels)
        figure = f"pointing, {corpus_title(name, corpora[name])} boxes"
        tables.append(_pointing(model, corpora[name], asked, figure, "pathology", params))
    if params.anatomy_corpus and learned_anatomies:
        on_boxes = [place.on_boxes() for place in _places(corpora, params)]
        tables.append(
            _pointing(
                model, corpora[params.anatomy_corpus], on_boxes, "pointing, boxes of anatomies", "anatomy", params
            )
        )
    tables += _of_sides(model, {name: corpora[name] for name in params.places}, params.batch_size)
    told = pd.concat(tables or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    return told.assign(protocol=ZERO_SHOT)[COLUMNS]


def of_classes(test: ClassPredictions, figure: str) -> pd.DataFrame:
    """What was predicted on test images: columns `COLUMNS`, but for the protocol."""
    return pd.DataFrame({
        "figure": figure,
        "metric": "auroc",
        "label": np.tile(test.classes, len(test.rows)),
        "row": np.repeat(test.rows, len(test.classes)),
        "patient": np.repeat(test.patients.astype(str), len(test.classes)),
        "truth": test.labels.astype(float).ravel(),
        "score": test.probabilities.astype(float).ravel(),
        "way": "",
    })  # fmt: skip


def _pointing(
    model: TrunkModel, corpus: PreparedCorpus, asked: list[Question], figure: str, stream: str,
    params: ComparisonParams,
) -> pd.DataFrame:  # fmt: skip
    rows = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.test.rows for one in asked)]))
    tables = [pd.DataFrame(columns=COLUMNS)]
    maps = attention_maps(model, corpus, rows, batch_size=params.batch_size, looks=params.looks)
    for one in asked:
        of_label = getattr(maps.take(one.test.rows), stream)(one.query)
        hits = [
            pointing_game(stretched(seen, len(mask)), mask) for seen, mask in zip(of_label, one.test.masks, strict=True)
        ]
        tables.append(pd.DataFrame({
            "figure": figure, "metric": "pointing_game", "label": one.label, "row": one.test.rows,
            "patient": one.test.patients.astype(str), "truth": np.nan, "score": hits,
            "way": "",
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _of_sides(model: TrunkModel, corpora: Mapping[str, PreparedCorpus], batch_size: int) -> list[pd.DataFrame]:
    """Each question in the way that does best on validation images; none of which the images hold too few."""
    said = answer(model, corpora, batch_size) if corpora else {}
    few = [question for question in QUESTIONS if question not in said]
    if few and corpora:
        logger.warning("places: too few patients of %s to ask: %s", ", ".join(corpora), "; ".join(few))
    return [of_places(one, question, one.best) for question, one in said.items()]


def of_places(said: Answered, question: str, way: str) -> pd.DataFrame:
    """What was answered to a question of `places.QUESTIONS` in one way: columns `COLUMNS`, but for the protocol."""
    return pd.DataFrame({
        "figure": f"AUROC, {question}", "metric": "auroc", "label": pair_label(said.questions),
        "row": said.questions["image"], "patient": said.questions["patient"],
        "truth": said.questions["truth"].astype(float), "score": said.scores[way].astype(float), "way": way,
    })  # fmt: skip
