"""How a contrasted model is asked for a pathology or an anatomy: a sentence as in a report, and its contrary.

Source: Boecking et al., 2022 (a prompt of presence beside one of absence). The words are those of `descriptions`.
"""

from medslip_core.descriptions import anatomy_texts, pathology_texts
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX, position

_QUALITIES = frozenset(
    "normal clear sharp sharply unremarkable intact stable free enlarge low tortuous expand degenerative aerate "
    "obscure borderline".split()
)
_COUNTED = frozenset(
    "opacity tube process abnormality tip line catheter fracture lead device picc clip nodule wire pacemaker scar mass "
    "infiltrate hernia deformity shift stent lesion finding density".split()
)
_ADVERBS = {"sharply": "sharply outlined"}
_OTHERS = {"tail_abnorm_obs": "abnormality", "excluded_obs": "remark"}


def pathology_words() -> list[str]:
    """The pathologies in the order of the vocabulary: "hiatal hernia", "enlarged"."""
    return [text.split(":")[0].split(" that ")[0].lower() for text in pathology_texts()]


def anatomy_words() -> list[str]:
    """The anatomies in the order of the vocabulary: "the left hilum"."""
    return [text.split(":")[0].split(",")[0].removesuffix(".").lower() for text in anatomy_texts()]


def pathology_prompt(name: str, words: str, present: bool) -> str:
    """A sentence that says whether there is a pathology: "There is a hiatal hernia.", "It is not enlarged."."""
    if name in _OTHERS:
        return f"There is {'another' if present else 'no other'} {_OTHERS[name]}."
    if name in _QUALITIES:
        return f"It is {'' if present else 'not '}{_ADVERBS.get(name, words)}."
    if name == "marking":
        return f"There are {'' if present else 'no '}{words}."
    article = ("an " if words[0] in "aeiou" else "a ") if name in _COUNTED else ""
    return f"There is {article if present else 'no '}{words}."


def place_prompt(anatomy: str, pathology: str, present: bool) -> str:
    """The same of a pathology at an anatomy: "There is a nodule at the left lower zone."."""
    where = anatomy_words()[position(anatomy, ANATOMY_INDEX)]
    what = pathology_words()[position(pathology, PATHOLOGY_INDEX)]
    return f"{pathology_prompt(pathology, what, present).removesuffix('.')} at {where}."


_PATHOLOGIES = list(zip(PATHOLOGIES, pathology_words(), strict=True))

PROMPTS: dict[str, list[str]] = {
    "pathology present": [pathology_prompt(*named, present=True) for named in _PATHOLOGIES],
    "pathology absent": [pathology_prompt(*named, present=False) for named in _PATHOLOGIES],
    "anatomy present": [f"There is an abnormality of {words}." for words in anatomy_words()],
    "anatomy absent": [f"Normal appearance of {words}." for words in anatomy_words()],
    "anatomy place": [f"{words.capitalize()}." for words in anatomy_words()],
}
"""What is asked -> one sentence per name of the vocabulary."""

PLACES = {"pathology": "pathology present", "anatomy": "anatomy place"}
"""Stream -> the prompts whose place in the image is looked for."""
