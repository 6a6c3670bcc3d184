"""From mentions to the labels of a coded report: 19 core labels, 10 of a second tier, and "Normal"."""

from medslip_core.vocabulary import PRESENT

from .lexicon import Lexicon, load_lexicon
from .places import BOTH
from .reader import Mention, mention_anatomies, read_mentions

NORMAL = "Normal"


def report_labels(text: str, lexicon: Lexicon | None = None) -> dict[str, list]:
    """Labels affirmed present in a report: {"findings": [label], "pairs": [[label, side]], "locs": [[label, anatomy]]}."""
    lexicon = lexicon or load_lexicon()
    return labels_of(read_mentions(text, lexicon), lexicon)


def labels_of(mentions: list[Mention], lexicon: Lexicon) -> dict[str, list]:
    """Labels of a report's mentions."""
    findings, pairs, places = set(), set(), set()
    abnormal = False
    for mention in mentions:
        if mention.state != PRESENT:
            continue
        abnormal |= mention.finding.abnormal
        for label in mention.finding.labels:
            findings.add(label)
            for place in mention.places:
                for side in place.sides:
                    pairs.add((label, side))
            places.update((label, anatomy) for anatomy in mention_anatomies(mention, lexicon))
    if not abnormal:
        findings.add(NORMAL)
    return {
        "findings": sorted(findings),
        "pairs": sorted(list(pair) for pair in pairs),
        "locs": sorted(list(place) for place in places),
    }


__all__ = ["BOTH", "NORMAL", "labels_of", "report_labels"]
