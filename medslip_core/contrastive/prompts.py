"""How a contrasted model is asked for a pathology or an anatomy: a sentence as in a report, and its contrary.

Source: Boecking et al., 2022 (a prompt of presence beside one of absence). The words are those of `descriptions`.
"""

from medslip_core.descriptions import anatomy_texts, pathology_texts


def pathology_words() -> list[str]:
    """The pathologies as nouns, in the order of the vocabulary: "hiatal hernia"."""
    return [text.split(":")[0].split(" that ")[0].lower() for text in pathology_texts()]


def anatomy_words() -> list[str]:
    """The anatomies, in the order of the vocabulary: "the left hilum"."""
    return [text.split(":")[0].split(",")[0].removesuffix(".").lower() for text in anatomy_texts()]


PROMPTS: dict[str, list[str]] = {
    "pathology present": [f"There is {words}." for words in pathology_words()],
    "pathology absent": [f"There is no {words}." for words in pathology_words()],
    "pathology place": [f"There is {words}." for words in pathology_words()],
    "anatomy present": [f"There is an abnormality of {words}." for words in anatomy_words()],
    "anatomy absent": [f"Normal appearance of {words}." for words in anatomy_words()],
    "anatomy place": [f"{words.capitalize()}." for words in anatomy_words()],
}
"""What is asked -> one sentence per name of the vocabulary."""
