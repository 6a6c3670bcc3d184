"""From mentions to the labels of a coded report: 19 core labels, 10 of a second tier, and "Normal"."""

from data_prep.reports.reader import Mention, place_anatomies
from medslip_core.vocabulary import PRESENT, UNCERTAIN

NORMAL = "Normal"


def mention_labels(mentions: list[Mention], uncertain: str = "drop") -> dict[str, list]:
    """Labels that a report affirms, their sides and their places.

    Args:
        mentions: of one report.
        uncertain: what a hedged mention counts as; under "drop", as in the coded reports, both sides of a "versus"
            still count, since coders file them.

    Returns:
        {"findings": [label], "pairs": [[label, "left" | "right"]], "locs": [[label, anatomy]]}: only what is said;
        "Normal" where nothing else is, so do not ask of a report that `says_nothing`.
    """
    counted = {PRESENT, UNCERTAIN} if uncertain == "present" else {PRESENT}
    findings, pairs, locs = set(), set(), set()
    abnormal = False
    for mention in mentions:
        filed = uncertain == "drop" and mention.cue_kind == "versus" and mention.state == UNCERTAIN
        if mention.state not in counted and not filed:
            continue
        abnormal = abnormal or mention.finding.abnormal
        for label in mention.finding.labels:
            findings.add(label)
            for place in mention.places:
                pairs.update((label, side) for side in place.sides)
                if place.said and not (place.zone is not None and place.zone.vague):
                    locs.update((label, anatomy) for anatomy in place_anatomies(place))
                    if place.zone is not None and place.zone.name == "abdomen":  # a place that the 51 lack
                        locs.add((label, "abdomen"))
    if not abnormal:
        findings.add(NORMAL)
    return {
        "findings": sorted(findings),
        "pairs": sorted(list(pair) for pair in pairs),
        "locs": sorted(list(loc) for loc in locs),
    }
