"""What goes wrong with input data: every error names the place, the value and what to do about it."""

import traceback
from pathlib import Path


class DataError(ValueError):
    """The input as a whole cannot be used (a missing column, a leak between splits); the run stops.

    Args:
        where: file, and row where there is one ("labels.csv row 7"; row 1 is the header).
        problem: what is wrong, with the offending value.
        remedy: what the user can do, as a full sentence.
    """

    def __init__(self, where: str | Path, problem: str, remedy: str) -> None:
        super().__init__(str(where), problem, remedy)
        self.where, self.problem, self.remedy = str(where), problem, remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}. {self.remedy}"


def defect(error: Exception) -> str:
    """Kind and place of an error that nobody foresaw, without its text, which may quote a file and so a patient."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"


WORKER_DIED = "the process that read it died (out of memory, or a fault of a decoder)"


class RecordError(DataError):
    """One record cannot be used (a box outside its image); the writer sets it aside and counts it."""


class UnreadableImage(RecordError):
    """An image file that cannot be turned into grey levels one could trust."""
