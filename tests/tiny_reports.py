"""A corpus in memory whose images come with reports."""

import numpy as np
import pandas as pd
from tiny_corpus import TinyCorpus

REPORTS = [
    "INDICATION: Cough.\n\nFINDINGS: There is a left pleural effusion. The heart is normal in size.",
    "FINDINGS: No pneumothorax. Right basilar opacity measures 1.5 cm.",
    "There is no consolidation.\n\nIMPRESSION:\n\n1. Mild edema.",
]
STATED = [
    ["a left pleural effusion", "heart is normal"],
    ["No pneumothorax", "Right basilar opacity"],
    ["no consolidation", "Mild edema"],
]


class TinyReports(TinyCorpus):
    """Images 0 to 15, report number i % 3 beside image i; of image 7 and of the last two nothing was read."""

    silent = (7, 14, 15)

    def __len__(self) -> int:
        return len(self.images)

    def stated(self, split: str, source: str) -> np.ndarray:
        return np.setdiff1d(self.rows(split), self.silent if source == "report" else ())

    def report(self, row: int) -> str | None:
        return None if row == 15 else REPORTS[row % 3]

    @property
    def triplets(self) -> pd.DataFrame:
        spans = [
            (row, "report", REPORTS[row % 3].index(words), REPORTS[row % 3].index(words) + len(words))
            for row in range(len(self)) if row not in self.silent for words in STATED[row % 3]
        ]  # fmt: skip
        told = [(row, "truth", -1, -1) for row in range(len(self))]
        return pd.DataFrame([*spans, *told], columns=["row", "source", "start", "end"]).sort_values(
            "row", kind="stable"
        )
