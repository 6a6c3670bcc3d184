"""One thing that a check came upon."""

from dataclasses import dataclass

from data_prep.errors import DataError

ERROR, WARNING, NOTE = SEVERITIES = ("error", "warning", "note")
"""An error stops a preparation, sets a record aside or spoils an evaluation; a warning may be meant; a note is known to
be harmless."""


@dataclass(frozen=True)
class Finding:
    """`where` is a path below the dataset's root, or a table and row; `kind` is what findings are counted by."""

    severity: str
    kind: str
    where: str
    problem: str
    remedy: str = ""

    @classmethod
    def of(cls, kind: str, error: DataError) -> "Finding":
        """An error of the preparation, as the check says it."""
        return cls(ERROR, kind, error.where, error.problem, error.remedy)

    def below(self, root: str) -> "Finding":
        """The same without the path of the dataset's root."""
        where, problem, remedy = (text.replace(root, "") for text in (self.where, self.problem, self.remedy))
        return Finding(self.severity, self.kind, where, problem, remedy)
