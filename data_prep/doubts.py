"""What makes a dataset's reports doubtful as a whole: that they are not in English, or that none of them says anything.

One report alone says little: it may be terse, or about something else. So studies are counted as they pass by.
"""

import logging
import re
from collections.abc import Iterable, Iterator

from data_prep.study import Study

logger = logging.getLogger(__name__)

ENGLISH = frozenset(
    "the and with are there within without has have been from this which but not "
    "lung lungs heart left right clear size small mild effusions unchanged seen".split()
)
"""Words of which English reports of FEWEST_WORDS have one, even telegraphic ones: none of 1,923 reports of Indiana's
and 3 of 462 notes of covid-chestxray-dataset lack them. Not "no", "in", "is" or "of", which other languages have
as well."""

FEWEST_WORDS = 8
"""Of a report that can look foreign: "Clear lungs. Normal heart." is English."""


def looks_foreign(report: str) -> bool:
    """Whether a report is long enough to have a word of `ENGLISH`, and has none."""
    words = re.findall(r"[^\W\d_]+", report.lower())
    return len(words) >= FEWEST_WORDS and ENGLISH.isdisjoint(words)


def tell_doubts(studies: Iterable[Study]) -> Iterator[Study]:
    """Passes studies on; at their end warns if most of the reports look foreign, or if nothing is read in any."""
    from data_prep.reports import read_report  # its lexicon is loaded only where there is text

    reports = foreign = 0
    first = first_foreign = ""
    says_something = False
    for study in studies:
        if study.report is not None and study.triplets is None and study.report.strip():
            reports += 1
            first = first or _place(study)
            if looks_foreign(study.report):
                foreign += 1
                first_foreign = first_foreign or _place(study)
            says_something = says_something or bool(read_report(study.report))
        yield study
    if 2 * foreign > reports:
        said = (
            "%s: %d of %d reports, this the first of them, do not look English. Reports are read in English; of others,"
            " what they deny may count as present. Translate them, or leave them out"
        )
        logger.warning(said, first_foreign, foreign, reports, extra={"kind": "foreign reports"})
    if reports and not says_something:
        said = "%s: none of %d reports, this the first of them, names a finding. Check that this is their own text"
        logger.warning(said, first, reports, extra={"kind": "reports say nothing"})


def _place(study: Study) -> str:
    """Where a study's report stands."""
    told = study.provenance
    if "report" in told or "table" not in told:
        return str(told.get("report", study.image_path))
    return f"{told['table']} row {told.get('row')}"
