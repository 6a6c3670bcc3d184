"""What came of a campaign: counts per fault, and what broke."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass
class Outcome:
    """Counts of one campaign.

    Attributes:
        campaign: its name.
        promise: what must hold each time.
        tried, held: per kind of fault.
        broken: one line for each time that it did not hold.
        notes: other figures, by name.
    """

    campaign: str
    promise: str
    tried: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)

    def count(self, kind: str, problem: str = "") -> None:
        """One more fault of a kind; `problem` says what went wrong, if anything."""
        self.tried[kind] = self.tried.get(kind, 0) + 1
        self.held[kind] = self.held.get(kind, 0) + (not problem)
        if problem:
            self.broken.append(f"{kind}: {problem}")

    @property
    def total(self) -> int:
        return sum(self.tried.values())

    def table(self) -> pd.DataFrame:
        """One row per kind of fault: campaign, fault, tried, held."""
        rows = [(self.campaign, kind, count, self.held[kind]) for kind, count in self.tried.items()]
        return pd.DataFrame(rows, columns=["campaign", "fault", "tried", "held"])
