"""What a check says: tables to print, findings as CSV and JSON, contact sheets as PNG."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.check.finding import ERROR, SEVERITIES, Finding


@dataclass(frozen=True)
class Picture:
    """An image for a contact sheet: what stands above it, and uint8 [S, S]."""

    title: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Report:
    """All that a check found.

    Attributes:
        dataset: a name in `READERS`.
        studies: images that the reader gives.
        looked_at: of these, how many were opened.
        counts: columns what, value, count, of: how many images (of how many whose value is known) have the value.
        findings: worst first.
        pictures: some images of the dataset.
        suspects: images with a finding.
    """

    dataset: str
    studies: int
    looked_at: int
    counts: pd.DataFrame
    findings: list[Finding]
    pictures: list[Picture] = field(default_factory=list)
    suspects: list[Picture] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Number of errors."""
        return sum(finding.severity == ERROR for finding in self.findings)

    def table(self) -> pd.DataFrame:
        """Findings by kind, worst first: severity, finding, count; where the first was, what is wrong, what to do."""
        rows: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            rows.setdefault((finding.severity, finding.kind), []).append(finding)
        ordered = sorted(rows.items(), key=lambda row: SEVERITIES.index(row[0][0]))
        lines = [
            (*key, len(of_kind), of_kind[0].where, of_kind[0].problem, of_kind[0].remedy) for key, of_kind in ordered
        ]
        return pd.DataFrame(lines, columns=["severity", "finding", "count", "first", "problem", "remedy"])

    def __str__(self) -> str:
        parts = [f"{self.dataset}: {self.studies} images, {self.looked_at} of them opened", _lines(self.counts)]
        table = self.table()
        if len(table):
            parts.append(_lines(table[["severity", "finding", "count"]]))
            told = [
                f"  {one.finding}: {one.first}: {one.problem.removesuffix('.')}. {one.remedy}".rstrip()
                for one in table.itertuples()
            ]
            parts.append("First of each:\n" + "\n".join(told))
        parts.append(f"{self.errors} errors, {len(self.findings) - self.errors} warnings and notes")
        return "\n\n".join(parts)

    def write(self, folder: Path) -> None:
        """Writes check.json, counts.csv, findings.csv, and images.png and suspects.png where there are any."""
        folder.mkdir(parents=True, exist_ok=True)
        self.counts.to_csv(folder / "counts.csv", index=False)
        with (folder / "findings.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(Finding)])
            writer.writerows(astuple(finding) for finding in self.findings)
        content = {
            "dataset": self.dataset, "studies": self.studies, "looked_at": self.looked_at, "errors": self.errors,
            "counts": self.counts.to_dict("records"), "findings": [asdict(finding) for finding in self.findings],
        }  # fmt: skip
        (folder / "check.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
        for name, pictures in (("images", self.pictures), ("suspects", self.suspects)):
            (folder / f"{name}.png").unlink(missing_ok=True)
            if pictures:
                sheet(pictures).figure.savefig(folder / f"{name}.png")


def sheet(pictures: Sequence[Picture]):
    """A contact sheet of pictures, as `medslip_core.image_figures` draws it."""
    from medslip_core import image_figures  # draws with matplotlib, which a check without pictures does not need

    titles = [picture.title for picture in pictures]
    return image_figures.contact_sheet([picture.pixels for picture in pictures], titles, columns=6)


def _lines(table: pd.DataFrame) -> str:
    """A table as text: words to the left, numbers to the right."""
    cells = [[name, *map(str, table[name])] for name in table.columns]
    aligned = []
    for (name, *column), kind in zip(cells, table.dtypes, strict=True):
        width = max(map(len, (name, *column)))
        align = str.rjust if kind.kind in "iuf" else str.ljust
        aligned.append([align(text, width) for text in (name, *column)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))
