"""The lexicon as the engine reads it: terms expanded to words and held in one tree, so that a report is matched in a
single pass over its words, longest term first.

The words themselves stand in `lexicon.toml`. Its pattern language: `(a|b)` choice, `[ab]` one letter of a set, `x?`
and `(...)?` optional, space between words.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from data_prep.errors import DataError
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX

LEXICON_FILE = Path(__file__).with_name("lexicon.toml")


@dataclass(frozen=True, eq=False)
class Finding:
    """One entry of the findings table: what a term stands for."""

    name: str
    pathologies: tuple[str, ...]
    labels: tuple[str, ...]
    zone: str
    zones: frozenset[str] | None
    normal: bool
    abnormal: bool
    ends_scope: bool
    becomes: dict[str, str]
    side: str | None
    names_place: bool
    quality: bool


@dataclass(frozen=True, eq=False)
class Zone:
    """One entry of the places table: a place whose side is still to be found."""

    name: str
    anatomies: dict[str, tuple[str, ...]]
    side: str | None
    both: bool
    sided: bool
    vague: bool


@dataclass(frozen=True)
class Term:
    """What a matched stretch of words means: its kind ("finding", "place", "side", or a cue's name) and its entry."""

    kind: str
    entry: Finding | Zone | dict | str | None


@dataclass(frozen=True)
class Lexicon:
    """`tree` maps word -> subtree; a subtree's own meaning stands under the key ""."""

    tree: dict
    skipped: frozenset[str]
    parts: dict[str, frozenset[str]]
    anaphora: dict[str, frozenset[str]]
    zones: dict[str, Zone]
    findings: dict[str, Finding]

    def terms(self) -> list[tuple[str, str, str]]:
        """Every term as (kind, entry, term): what the tree was grown from."""
        found, waiting = [], [("", self.tree)]
        while waiting:
            text, node = waiting.pop()
            for word, below in node.items():
                if word:
                    waiting.append((f"{text} {word}".strip(), below))
                else:
                    entry = below.entry
                    name = entry if isinstance(entry, str) else getattr(entry, "name", below.kind)
                    found.append((below.kind, name, text))
        return sorted(found)


def expand(pattern: str) -> list[str]:
    """All the texts that a pattern stands for.

    Raises:
        DataError: when brackets do not close.
    """

    def sequence(position: int) -> tuple[list[str], int]:
        choices, current = [], [""]
        while position < len(pattern) and pattern[position] != ")":
            letter = pattern[position]
            if letter == "|":
                choices, current, position = choices + current, [""], position + 1
                continue
            if letter == "(":
                piece, position = sequence(position + 1)
                if position >= len(pattern):
                    raise _wrong(f"term {pattern!r}", "a bracket is not closed")
            elif letter == "[":
                closing = pattern.find("]", position)
                if closing < 0:
                    raise _wrong(f"term {pattern!r}", "a bracket is not closed")
                piece, position = list(pattern[position + 1 : closing]), closing
            else:
                piece = [letter]
            position += 1
            if position < len(pattern) and pattern[position] == "?":
                piece, position = [*piece, ""], position + 1
            current = [head + tail for head in current for tail in piece]
        return choices + current, position

    texts, end = sequence(0)
    if end != len(pattern):
        raise _wrong(f"term {pattern!r}", "a bracket too many")
    return texts


@lru_cache(maxsize=4)
def load_lexicon(path: Path = LEXICON_FILE) -> Lexicon:
    """Read and check a lexicon file.

    Raises:
        DataError: naming the entry, when it refers to an unknown anatomy, pathology or zone, when a term has two
            meanings, or when no term means a word of the vocabulary.
    """
    try:
        return _read(path)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"not TOML: {error}") from error
    except KeyError as error:
        raise _wrong(path, f"there is no {error.args[0]!r}, or an entry without it") from error


def _wrong(where: str | Path, problem: str) -> DataError:
    return DataError(where, problem, "Correct the lexicon; no report can be read before.")


def _read(path: Path) -> Lexicon:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    sided = set(table["groups"]["sided"])
    zones: dict[str, Zone] = {}
    for name, row in table["places"].items():
        rows = row.get("anatomy") or {key: list(value) for key, value in zones[row["same_as"]].anatomies.items()}
        unknown = {anatomy for names in rows.values() for anatomy in names} - set(ANATOMY_INDEX)
        if unknown:
            raise _wrong(f"{path}, places.{name}", f"no anatomies of the vocabulary: {sorted(unknown)}")
        anatomies = {key: tuple(value) for key, value in rows.items()}
        anatomies.setdefault("none", anatomies.get("left", ()) + anatomies.get("right", ()))
        base = row.get("same_as", name)
        flags = row.get("side"), row.get("both", False), base in sided, row.get("vague", False)
        zones[name] = Zone(base, anatomies, *flags)
    groups: dict[str, frozenset[str]] = {}
    for name, row in table["groups"].items():
        groups[name] = frozenset().union(*(groups.get(part, frozenset([part])) for part in row))
    findings: dict[str, Finding] = {}
    for name, row in {**table["findings"], **table["qualities"]}.items():
        pathologies, labels = _listed(row.get("pathology", [])), _listed(row.get("label", []))
        if unknown := set(pathologies) - set(PATHOLOGY_INDEX):
            raise _wrong(f"{path}, findings.{name}", f"no pathologies of the vocabulary: {sorted(unknown)}")
        zone = row.get("place", "unspecified")
        if zone != "unspecified" and zone not in zones:
            raise _wrong(f"{path}, findings.{name}", f"no place {zone!r}")
        normal = row.get("normal", False)
        within = row.get("within")
        findings[name] = Finding(
            name=name,
            pathologies=pathologies,
            labels=labels,
            zone=zone,
            zones=None if within is None else groups.get(within, frozenset([within])),
            normal=normal,
            abnormal=row.get("abnormal", not normal),
            ends_scope=row.get("ends_scope", normal),
            becomes={
                zone: into for group, into in row.get("becomes", {}).items() for zone in groups.get(group, [group])
            },
            side=row.get("side"),
            names_place=row.get("names_place", False),
            quality=name in table["qualities"],
        )
    for finding in findings.values():
        if unknown := set(finding.becomes.values()) - set(findings):
            raise _wrong(f"{path}, findings.{finding.name}", f"becomes no finding: {sorted(unknown)}")

    meant = {anatomy for zone in zones.values() for names in zone.anatomies.values() for anatomy in names}
    meant |= {pathology for finding in findings.values() for pathology in finding.pathologies}
    for name in (*ANATOMY_INDEX, *PATHOLOGY_INDEX):
        if name not in meant and name not in table["unread"]:
            entry = "[findings.…] has pathology =" if name in PATHOLOGY_INDEX else "[places.…] has in its anatomy"
            remedy = "Add one with its terms, or list the word in `unread`; no report can be read before."
            raise DataError(path, f'no {entry} "{name}", a word of the vocabulary', remedy)

    tree: dict = {}
    entry_of: dict[str, str] = {}  # term -> the entry that it stands in

    def add(patterns: list[str], term: Term, where: str) -> None:
        for text in {text for pattern in patterns for text in expand(pattern)}:
            node, term_text = tree, " ".join(text.split())
            for word in text.split():
                node = node.setdefault(word, {})
            if node.get("", term) != term:
                problem = f"{term_text!r} is a term of [{entry_of[term_text]}] already"
                raise DataError(f"{path}, {where}", problem, "Take it out there or here; no report can be read before.")
            node[""] = term
            entry_of[term_text] = where

    for kind, patterns in table["cues"].items():
        add(patterns, Term(kind, None), f"cues.{kind}")
    for name, patterns in table["sides"].items():
        add(patterns, Term("filler" if name == "none" else "side", name), f"sides.{name}")
    for name, row in table["places"].items():
        add(row["terms"], Term("place", zones[name]), f"places.{name}")
    for name, nouns in table["levels"].items():
        add(nouns.pop("terms"), Term("level", {noun: zones[zone] for noun, zone in nouns.items()}), f"levels.{name}")
    for name, row in table["qualities"].items():
        add(row["terms"], Term("quality", findings[name]), f"qualities.{name}")
    for name, row in table["findings"].items():
        add(row["terms"], Term("finding", findings[name]), f"findings.{name}")
    parts = {
        name: frozenset(word for pattern in row for text in expand(pattern) for word in text.split())
        for name, row in table["parts"].items()
    }
    parts["heading"] = parts["chest"] | parts["other"] | parts["besides"]
    return Lexicon(
        tree,
        frozenset(table["skipped"]),
        parts,
        {where: frozenset(words) for where, words in table["anaphora"].items()},
        zones,
        findings,
    )


def _listed(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
