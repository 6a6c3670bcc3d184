"""Reports in a file of JSON lines, read on all cores; the command line is `python -m data_prep.reports`."""

import json
import logging
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from data_prep.errors import WORKER_DIED
from data_prep.parallel import in_order
from data_prep.reports.findings import mention_labels
from data_prep.reports.reader import Mention, mention_triplets, read_mentions
from medslip_core.report_sections import says_nothing
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

logger = logging.getLogger(__name__)
CHUNK_LINES = 256

POLICIES = {"drop": UNCERTAIN, "present": PRESENT, "absent": ABSENT}
"""What an uncertain mention counts as."""


def read_file(source: Path, out: Path, what: str, uncertain: str, processes: int) -> int:
    """Read all lines of one file into another, in order and in constant memory.

    Args:
        source, out: the files.
        what: "findings" or "triplets", which a line of `out` has.
        uncertain: of `POLICIES`.
        processes: to share the work.

    Returns:
        how many lines were malformed, each of which is logged by its number and left out.

    Raises:
        OSError: a file cannot be read or written.
    """
    answer = partial(_answers, what=what, uncertain=uncertain)
    with source.open("rb") as lines:
        total = sum(1 for _ in lines)
    malformed = 0
    processes = max(1, min(processes, total // CHUNK_LINES))
    with source.open("rb") as lines, out.open("w", encoding="ascii") as written:
        numbered = enumerate(lines, start=1)
        chunks = iter(lambda: list(islice(numbered, CHUNK_LINES)), [])
        with closing(in_order(answer, _lost, chunks, processes)) as answers:
            for number, line, error in tqdm(chain.from_iterable(answers), total=total, unit="report"):
                if error:
                    malformed += 1
                    logger.error("%s line %d: %s", source, number, error)
                elif line:
                    written.write(line)
    return malformed


def _answers(numbered: list[tuple[int, bytes]], what: str, uncertain: str) -> list[tuple[int, str, str]]:
    return [_answer(number, line, what, uncertain) for number, line in numbered]


def _lost(numbered: tuple[int, bytes]) -> tuple[int, str, str]:
    return numbered[0], "", WORKER_DIED


def _answer(number: int, line: bytes, what: str, uncertain: str) -> tuple[int, str, str]:
    """(line number, line of the answer, what is wrong with the line): one of the last two is empty."""
    if not line.strip():
        return number, "", ""
    try:
        record = json.loads(line)
        identifier, text, whole = _text(record)
    except (ValueError, RecursionError) as error:
        return number, "", str(error)
    mentions = read_mentions(text, whole=whole)
    if what == "findings" and (not text.strip() if whole else says_nothing(text)):
        found = {"findings": [], "pairs": [], "locs": []}
    elif what == "findings":
        found = mention_labels(mentions, uncertain)
    else:
        found = {"triplets": _rows(mentions, uncertain)}
    return number, json.dumps({"id": identifier, **found}) + "\n", ""


def _rows(mentions: list[Mention], uncertain: str) -> list[list]:
    rows = []
    for triplet in mention_triplets(mentions):
        state = POLICIES[uncertain] if triplet.state == UNCERTAIN else triplet.state
        rows.append([triplet.anatomy, triplet.pathology, state, triplet.start, triplet.end])
    return rows


def _text(record: object) -> tuple[str | int, str, bool]:
    """Identifier and text of a line, and whether the text is findings and impression alone.

    Raises:
        ValueError: naming what the line lacks.
    """
    if not isinstance(record, dict):
        raise ValueError(f"not an object but {type(record).__name__}")
    if not isinstance(record.get("id"), str | int):
        raise ValueError('no "id" (text or number)')
    parts = {name: record[name] for name in ("text", "findings", "impression") if record.get(name) is not None}
    odd = [name for name, value in parts.items() if not isinstance(value, str)]
    if odd:
        raise ValueError(f'"{odd[0]}" is no text but {type(parts[odd[0]]).__name__}')
    if "text" in parts:
        return record["id"], parts["text"], False
    if not {"findings", "impression"} & set(record):
        raise ValueError('neither "text" nor "findings" and "impression"')
    return record["id"], parts.get("findings", "") + "\n\n" + parts.get("impression", ""), True
