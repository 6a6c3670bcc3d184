"""RadGraph annotations -> triplets, for users who have them.

Two forms are read: the files of RadGraph and RadGraph-XL on PhysioNet (documents by path; with several annotators, the
first), and what the `radgraph` package returns (documents by number). Rules of the published labels (RadGraph, Jain et
al. 2021, as used by MedKLIP and MeDSLIP): the label gives the state, `located_at` the anatomy, `modify` joins words
("left" and "lower" to "lobe"), and an observation with no anatomy lies at `unspecified`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

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


class RadGraphError(ValueError):
    """The file is no RadGraph annotation; names the document and what it lacks."""


def load_radgraph(path: Path) -> Iterator[tuple[str, list[Triplet]]]:
    """Triplets of every document of a RadGraph file.

    Yields:
        (the document's key, its triplets); their spans are characters in the document's `text`.

    Raises:
        RadGraphError: naming the file, the document and what is wrong.
    """
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RadGraphError(f"{path}: no JSON ({error})") from error
    if not isinstance(documents, dict):
        raise RadGraphError(f"{path}: expected an object of documents, not {type(documents).__name__}")
    for key, document in documents.items():
        try:
            yield key, read_radgraph(document)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RadGraphError(f"{path}: document {key!r} is no RadGraph annotation ({error!r})") from error


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
