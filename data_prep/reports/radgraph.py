"""RadGraph annotations -> triplets, for users who have them.

Two forms are read: the files of RadGraph and RadGraph-XL on PhysioNet (documents by path; with several annotators, the
first), and what the `radgraph` package returns (documents by number). Rules of the published labels (RadGraph, Jain et
al. 2021, as used by MedKLIP and MeDSLIP): the label gives the state, `located_at` the anatomy, `modify` joins words
("left" and "lower" to "lobe"), and an observation with no anatomy lies at `unspecified`. RadGraph annotates whole
reports, with what they say of why the image was taken.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path

from data_prep.errors import DataError, RecordError
from data_prep.reports.json_members import JsonMembers
from data_prep.reports.lexicon import Lexicon, load_lexicon
from data_prep.reports.places import Place, resolve_groups
from data_prep.reports.reader import Triplet, fit_places, place_anatomies, turned
from data_prep.reports.words import match_terms, sentences
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

_STATES = {
    "OBS-DP": PRESENT, "OBS-DA": ABSENT, "OBS-U": UNCERTAIN,
    "Observation::definitely present": PRESENT, "Observation::definitely absent": ABSENT,
    "Observation::uncertain": UNCERTAIN,
}  # fmt: skip
_WORD = re.compile(r"\w+|[^\w\s]")


class RadGraph:
    """The annotations in a RadGraph file, by the name of the report's file: p10/p10000032/s50414267.txt is "s50414267".

    MIMIC-CXR_graphs.json has 1.5 GB: it is gone through once, in less than a minute, and each document is read when
    asked for. What is held are the documents' places, less than 100 MB for its 227,000.

    Args:
        path: the file.

    Attributes:
        keys: name of a report -> key of its document.

    Raises:
        DataError: no such file, not JSON, or two documents of one report.
    """

    def __init__(self, path: Path) -> None:
        self._documents = JsonMembers(path)
        self.keys: dict[str, str] = {}
        for key in self._documents.places:
            name = key.rpartition("/")[2].removesuffix(".txt")
            if name in self.keys:
                problem = f"{self.keys[name]!r} and {key!r} are both called {name}"
                raise DataError(path, problem, "Keep one document for each report.")
            self.keys[name] = key

    def triplets(self, name: str, report: str | None) -> Callable[[], list[Triplet]]:
        """What `annotated_triplets` does with one document, to be called by whoever prepares the study."""
        key = self.keys[name]
        place = f"{self._documents.path.name} document {key!r}"
        return partial(annotated_triplets, self._documents.read(key), report, place)


def annotated_triplets(content: bytes, report: str | None, place: str) -> list[Triplet]:
    """Triplets of one document, with their spans in the report.

    Args:
        content: the document, as it stands in the file.
        report: that was annotated; the document's own text is the same words with other blanks. None: not at hand.
        place: file and key of the document, for the error.

    Returns:
        Triplets; those whose words are not in the report have -1 for start and end.

    Raises:
        RecordError: the document is no RadGraph annotation.
    """
    try:
        document = json.loads(content)
        return _placed(read_radgraph(document), document["text"], report or "")
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        problem = f"no RadGraph annotation ({type(error).__name__}: {error})"
        raise RecordError(place, problem, "Download the file again; this record is set aside.") from error


def _placed(triplets: list[Triplet], text: str, report: str) -> list[Triplet]:
    """Triplets with spans in `text` as triplets with spans in the report, word by word."""
    here, there = list(_WORD.finditer(text)), list(_WORD.finditer(report))
    starts, ends = {}, {}
    for at, to, count in SequenceMatcher(None, _words(here), _words(there)).get_matching_blocks():
        for word, same in zip(here[at : at + count], there[to : to + count], strict=True):
            starts[word.start()], ends[word.end()] = same.start(), same.end()
    return [
        replace(triplet, start=starts[triplet.start], end=ends[triplet.end])
        if triplet.start in starts and triplet.end in ends
        else replace(triplet, start=-1, end=-1)
        for triplet in triplets
    ]


def _words(found: list[re.Match]) -> list[str]:
    return [word.group().lower() for word in found]


def read_radgraph(document: dict) -> list[Triplet]:
    """Triplets of one RadGraph document: {"text", "entities": {id: {tokens, label, start_ix, end_ix, relations}}}."""
    lexicon = load_lexicon()
    entities = (document if "entities" in document else document["labeler_1"])["entities"]
    spans = _token_spans(document["text"])
    modifiers: dict[str, list[str]] = {}
    for key, entity in entities.items():
        for relation, target in entity["relations"]:
            if relation == "modify":
                modifiers.setdefault(target, []).append(key)
    triplets: dict[Triplet, None] = {}
    for key, entity in entities.items():
        state = _STATES.get(entity["label"])
        if state is None:
            continue
        located = _anatomies(entities, key)
        places = [place for anatomy in located for place in _places(entities, modifiers, anatomy, lexicon)]
        for item in _match(entity["tokens"], lexicon):
            if item.kind not in ("finding", "quality"):
                continue
            finding = turned(item.entry, places, lexicon)
            if finding.quality:
                continue
            fitted = fit_places(finding, places, lexicon) if places else (Place(None),)
            start, end = spans[entity["start_ix"]][0], spans[entity["end_ix"]][1]
            for anatomy in dict.fromkeys(name for place in fitted for name in place_anatomies(place)):
                for pathology in finding.pathologies:
                    triplets[Triplet(anatomy, pathology, state, start, end)] = None
    return list(triplets)


def _token_spans(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for token in text.split():
        start = text.index(token, start)
        spans.append((start, start + len(token)))
        start += len(token)
    return spans


def _anatomies(entities: dict, key: str) -> list[str]:
    """Where an observation is located: by itself, or else by the observation that it modifies."""
    seen: set[str] = set()
    while key not in seen:
        seen.add(key)
        relations = entities[key]["relations"]
        located = [target for relation, target in relations if relation == "located_at"]
        if located:
            return located
        key = next((target for relation, target in relations if relation == "modify"), key)
    return []


def _places(entities: dict, modifiers: dict[str, list[str]], key: str, lexicon: Lexicon) -> list[Place]:
    """Places that an anatomy and the words modifying it name; anatomy outside the lexicon is "other"."""
    members, waiting = set(), [key]
    while waiting:
        current = waiting.pop()
        if current not in members and entities[current]["label"].upper().startswith("ANAT"):
            members.add(current)
            waiting += modifiers.get(current, [])
    phrase = " ".join(entities[member]["tokens"] for member in sorted(members, key=lambda m: entities[m]["start_ix"]))
    items = _match(phrase, lexicon)
    resolve_groups(items)
    return [item.place for item in items if item.place is not None] or [Place(lexicon.zones["elsewhere"])]


def _match(phrase: str, lexicon: Lexicon) -> list:
    return [item for words in sentences(phrase, 0, len(phrase)) for item in match_terms(words, lexicon)]
