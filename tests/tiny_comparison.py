"""A comparison of two variants on a tiny corpus, and answers to compare."""

from pathlib import Path

import numpy as np
import pandas as pd
from tiny_model import MODEL

from medslip_core.comparison.params import ComparisonParams

PRETRAINING = dict(epochs=2, batch_size=8, warmup_epochs=0.5, text_encoder="packaged-minilm", model=dict(MODEL))
VARIANTS = {"full": {}, "without ICL": {"icl_weight": 0.0}}


def params(corpus: Path, **changes: object) -> ComparisonParams:
    """Both variants, asked about effusions and where they are; names of ComparisonParams to change."""
    given = dict(pretraining_corpus=str(corpus), corpora={"nih": str(corpus)}, pretraining=PRETRAINING,
                 variants=VARIANTS, classification=["nih"], boxes={"nih": ["Effusion"]})  # fmt: skip
    return ComparisonParams.from_dict({**given, **changes})


def finetuned(corpus: Path) -> dict:
    """Both kinds of task, by the quick protocols: the fine-tuning of such a comparison."""
    steps = dict(min_steps=4, max_steps=4, validations=2, batch_size=8)
    return dict(
        corpora={"nih": str(corpus)}, protocols={"classification": ["linear"], "segmentation": ["frozen"]},
        tasks={"nih": {"corpus": "nih", "classes": ["Effusion"]},
               "outlines": {"corpus": "nih", "kind": "segmentation", "truth": "boxes", "label": "Effusion"}},
        fractions=[1.0], training={"classification": {"linear": steps}, "segmentation": {"frozen": steps}},
        device="cpu",
    )  # fmt: skip


def table(scores: np.ndarray, truth: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Answers about one class with two images a patient, shuffled by the seed; scores and truth [n]."""
    rows = np.arange(len(scores))
    told = pd.DataFrame(dict(figure="AUROC, a", protocol="zero-shot", metric="auroc", label="x", row=rows,
                             patient=(rows // 2).astype(str), truth=truth, score=scores, way=""))  # fmt: skip
    return told.sample(frac=1, random_state=seed)
