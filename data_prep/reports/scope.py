"""What governs a finding: negation, hedging and resolution, with the ends of their reach.

In the manner of ConText (Harkema et al. 2009), on matched terms instead of free text: a cue governs up to the end of
the statement; a statement ends at a break word ("but"), a semicolon, or where a new subject or a word of presence
("stable", "mild") follows a comma or an "and".
"""

from data_prep.reports.words import Item
from medslip_core.vocabulary import ABSENT, PRESENT, UNCERTAIN

_DESCRIPTION = frozenset("place side level filler trap presence lasting quality likely".split())
_IN_LIST = _DESCRIPTION | frozenset("comma and or slash versus greater preposition near with".split())
_STOPS = frozenset({"break", "semicolon", "there"})
DEVICE = "Support_Device"
_PRECEDENCE = {PRESENT: 0, UNCERTAIN: 1, ABSENT: 2}


def assign_states(items: list[Item]) -> None:
    """Set `state` of every finding of one sentence, and `cue`, the item that decided it (None: said plainly)."""
    governing: Item | None = None  # of all that follows in the statement
    word_cue: Item | None = None  # of the next finding only
    state = PRESENT
    for index, item in enumerate(items):
        kind = item.kind
        if kind == "finding" or kind == "quality":
            if item.entry.normal:
                if index and items[index - 1].kind == "negation_before":
                    item.state, item.cue = ABSENT, items[index - 1]
                else:
                    item.state = PRESENT
                    _normal_subject(items, index)
                    if state == ABSENT and item.entry.ends_scope:
                        state, governing = PRESENT, None
            elif state == PRESENT and word_cue is not None:
                item.state, item.cue = UNCERTAIN, word_cue
            else:
                item.state, item.cue = state, governing
        elif kind == "negation_before":
            state, governing = ABSENT, item
            if index == len(items) - 1 and items[index - 1].kind == "verb":  # "pneumothorax: no"
                _govern_back(items, index, ABSENT)
        elif kind == "hedge_before":
            if state == PRESENT:
                state, governing = UNCERTAIN, item
        elif kind == "hedge_word":
            word_cue = item
        elif kind in _STOPS:
            state, governing, word_cue = PRESENT, None, None
        elif kind in ("comma", "and", "with"):
            word_cue = None
            if state != PRESENT and (items[index - 1].kind == "seen" or _new_statement(items, index, state)):
                state, governing = PRESENT, None
        elif kind == "verb":
            if state == ABSENT and _unmarked_statement(items, index):
                state, governing = PRESENT, None
        elif kind == "negation_after":
            _govern_back(items, index, ABSENT)
        elif kind == "hedge_after":
            if not _govern_back(items, index, UNCERTAIN) and state == PRESENT:
                state, governing = UNCERTAIN, item
        elif kind == "hedge_around":
            ahead = next((other.kind for other in items[index + 1 :] if other.kind not in _DESCRIPTION), None)
            if ahead == "finding" and state == PRESENT:
                state, governing = UNCERTAIN, item
            else:
                _govern_back(items, index, UNCERTAIN)
        elif kind == "negation_around":
            if _is_adjective(items, index) or not _govern_back(items, index, ABSENT):
                state, governing = ABSENT, item
        elif kind == "versus":
            _govern_back(items, index, UNCERTAIN)
            if state == PRESENT:
                state, governing = UNCERTAIN, item


def _normal_subject(items: list[Item], at: int) -> None:
    """ "The vascular engorgement is within normal limits": a finding said to be normal is none."""
    if items[at].entry.name not in ("normal", "unremarkable") or not at or items[at - 1].kind != "verb":
        return
    for index in range(at - 2, -1, -1):
        if items[index].kind == "finding":
            if not items[index].entry.normal:
                items[index].state, items[index].cue = ABSENT, items[at]
            return
        if items[index].kind not in _DESCRIPTION:
            return


def _unmarked_statement(items: list[Item], verb: int) -> bool:
    """ "No pneumothorax the lungs are hyperinflated": a subject stands before the verb, and no comma before that."""
    index = verb - 1
    while index > 0 and items[index].kind in ("place", "side", "level", "and"):
        index -= 1
    return index < verb - 1 and items[index].kind == "finding"


def _is_adjective(items: list[Item], at: int) -> bool:
    """ "Cardiomegaly with resolved pulmonary edema": the cue stands before its finding, and no verb before the cue."""
    if at and items[at - 1].kind == "verb":
        return False
    following = next((item for item in items[at + 1 :] if item.kind not in _DESCRIPTION), None)
    return following is not None and following.kind == "finding" and not following.entry.normal


def _new_statement(items: list[Item], at: int, state: int) -> bool:
    """Whether the comma, "and" or "with" at this index begins a statement that nothing before it governs."""
    subject = False
    for index in range(at + 1, len(items)):
        item = items[index]
        kind = item.kind
        if kind in ("verb", "shows", "seen"):
            return subject
        if kind in ("place", "side", "level"):
            subject = True
        elif kind == "lasting" or (kind == "finding" and item.entry.normal):
            return not any(other.kind == "or" for other in _statement(items, index))
        elif kind in ("presence", "quality"):
            return state == ABSENT and not any(other.kind == "or" for other in _statement(items, index))
        elif kind == "finding":
            anew = _first_device(items, index) or (items[at].kind != "with" and _tells_how_it_is(items, index))
            return state == ABSENT and anew and not any(other.kind == "or" for other in _statement(items, index))
        elif kind not in ("and", "comma", "filler", "trap"):
            return False
    return False


def _first_device(items: list[Item], at: int) -> bool:
    """ "No pneumothorax with right chest tube in place": nobody lists devices among the diseases that are not there."""
    devices = [item for item in items[: at + 1] if item.kind == "finding" and DEVICE in item.entry.labels]
    return devices == [items[at]]


def _tells_how_it_is(items: list[Item], subject: int) -> bool:
    """ "No pneumothorax, the effusion is unchanged", "and atelectasis persists": more is told than that it is seen."""
    told = [item for item in items[subject + 1 :] if item.kind not in ("place", "side", "level", "preposition")][:2]
    if told and told[0].kind == "lasting":
        return True
    if len(told) < 2 or told[0].kind not in ("verb", "shows"):
        return False
    return told[1].kind in ("presence", "lasting", "quality") or (told[1].kind == "finding" and told[1].entry.normal)


def _statement(items: list[Item], start: int) -> list[Item]:
    for index in range(start, len(items)):
        if items[index].kind in _STOPS or items[index].kind in ("verb", "shows", "seen"):
            return items[start:index]
    return items[start:]


def _govern_back(items: list[Item], at: int, state: int) -> bool:
    """Give a state to the finding before a cue and to those joined to it in one list; whether there was one.

    A comma alone joins none: of "opacity, pneumonia cannot be excluded" the cue governs pneumonia.
    """
    reached = joined = False
    for index in range(at - 1, -1, -1):
        item = items[index]
        joined = joined or item.kind in ("and", "or", "slash")
        if reached and item.kind == "comma" and not joined:
            break
        if item.kind == "finding":
            reached = True
            if not item.entry.normal and _PRECEDENCE[item.state] < _PRECEDENCE[state]:
                item.state, item.cue = state, items[at]
        elif reached and (item.kind in _STOPS or item.kind not in _IN_LIST):
            break
    return reached
