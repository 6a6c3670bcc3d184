"""Writers of the layouts in which the real datasets are downloaded, one file per dataset.

Each writer has `write_study`, called in any order by worker processes, and `write_tables`, called once at the end with
every study's row in the order of the plan.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A study's place in a dataset, known before the study is drawn."""

    dataset: str
    seed: int
    index: int  # position in the dataset
    patient_number: int
    study_number: int  # 0 for the patient's first study
    split: str  # of the patient: "train" | "validate" | "test"

    def digest(self, what: str) -> bytes:
        """20 bytes that look random and depend only on the study: the source of identifiers."""
        return _digest(self.dataset, self.seed, self.patient_number, self.study_number, what)

    def patient_digest(self, what: str) -> bytes:
        """The same, shared by all studies of the patient."""
        return _digest(self.dataset, self.seed, self.patient_number, what)


def _digest(*parts: object) -> bytes:
    return hashlib.sha1(":".join(map(str, parts)).encode(), usedforsecurity=False).digest()
