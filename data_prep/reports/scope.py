"""What governs a finding: negation, hedging and resolution, with the ends of their reach.

In the manner of ConText (Harkema et al. 2009), on matched terms instead of free text: a cue governs up to the end of
the statement; a statement ends at a break word ("but"), a semicolon, or where a new subject or a word of presence
("stable", "mild") follows a comma or an "and".
"""

from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

from .words import Item

_CONNECTORS = {"comma", "and", "with"}
_LIST = {"comma", "and", "or", "slash", "place", "side", "filler", "presence", "versus", "greater"}


def new_statement(items: list[Item], at: int) -> bool:
    """Whether the comma, "and" or "with" at this index begins a statement that nothing before it governs."""
    subject = False
    for index in range(at + 1, len(items)):
        kind = items[index].kind
        if kind == "verb":
            return subject
        if kind in ("place", "side"):
            subject = True
        elif kind == "presence" or (kind == "finding" and (items[index].entry.normal or items[index].entry.quality)):
            return not any(item.kind == "or" for item in _statement(items, index))
        elif kind not in ("and", "comma", "filler"):
            return False
    return False


def _statement(items: list[Item], start: int) -> list[Item]:
    for index in range(start, len(items)):
        if items[index].kind in ("break", "semicolon", "verb"):
            return items[start:index]
    return items[start:]


def assign_states(items: list[Item]) -> None:
    """Set `state` of every finding of one sentence."""
    mode, word_hedge = PRESENT, False
    for index, item in enumerate(items):
        kind = item.kind
        if kind == "finding":
            if item.entry.normal:
                before = items[index - 1] if index else None
                item.state = ABSENT if before is not None and before.kind == "negation_before" else PRESENT
                if item.state == PRESENT and mode == ABSENT and item.entry.name not in ("stable", "aerated", "expanded"):
                    mode = PRESENT
            else:
                item.state = UNCERTAIN if word_hedge and mode == PRESENT else mode
        elif kind == "negation_before":
            mode = ABSENT
        elif kind == "hedge_before":
            mode = mode if mode == ABSENT else UNCERTAIN
        elif kind == "hedge_word":
            word_hedge = True
        elif kind == "likely":
            mode, word_hedge = (mode if mode == ABSENT else PRESENT), False
        elif kind in ("break", "semicolon"):
            mode, word_hedge = PRESENT, False
        elif kind in _CONNECTORS:
            word_hedge = False
            if mode != PRESENT and new_statement(items, index):
                mode = PRESENT
        elif kind == "negation_after":
            _govern_back(items, index, ABSENT)
        elif kind == "hedge_after":
            _govern_back(items, index, UNCERTAIN)
        elif kind == "negation_around":
            if not _govern_back(items, index, ABSENT):
                mode = ABSENT
        elif kind == "versus":
            _govern_back(items, index, UNCERTAIN)
            mode = mode if mode == ABSENT else UNCERTAIN


def _govern_back(items: list[Item], at: int, state: int) -> bool:
    """Give a state to the finding before a cue and to those joined to it in one list; whether there was one."""
    reached = False
    for index in range(at - 1, -1, -1):
        item = items[index]
        if item.kind == "finding":
            if not item.entry.quality:
                if item.state == PRESENT and not item.entry.normal:
                    item.state = state
                reached = True
        elif item.kind in ("break", "semicolon"):
            break
        elif reached and item.kind not in _LIST and item.kind not in ("preposition", "with"):
            break
    return reached
