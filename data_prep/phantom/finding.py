"""One finding of one study: what is drawn, reported and true."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One finding of one study.

    `severity` runs from 0 (barely visible) to 1 (obvious). `attributes` hold what drawing and reporting need: the
    `seed` of the drawing, the `side` ("left", "right", "both"), and those of the kind (`catalogue.Kind`).
    """

    kind: str
    pathology: str
    anatomies: tuple[str, ...]
    severity: float
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides on which it lies."""
        side = str(self.attributes["side"])
        return ("right", "left") if side == "both" else (side,)
