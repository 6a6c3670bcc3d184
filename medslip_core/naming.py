"""What pages and figures call things: names of the vocabulary, datasets, corpora and metrics, in words."""

from medslip_core.vocabulary import DATASET_NAMES

PHANTOM_LAYOUT = " layout (phantom)"


def readable(name: str) -> str:
    """A name of the vocabulary or of a table as words: "left_costophrenic" -> "left costophrenic"."""
    return name.replace("_", " ")


def dataset_name(name: str) -> str:
    """How a dataset is called by those who made it: "nih" -> "NIH ChestX-ray14"; one that is not known by its name."""
    return DATASET_NAMES.get(name, name)


def corpus_title(name: str, corpus) -> str:
    """A corpus by its name in a study, and whether its images are the phantom's in that dataset's layout."""
    return dataset_name(name) + PHANTOM_LAYOUT if corpus.header.get("synthetic") else dataset_name(name)


def short_title(title: str) -> str:
    """A `corpus_title` in the fewest words: "AUROC, NIH ChestX-ray14 layout (phantom)" -> "AUROC, NIH".

    For the heads of columns, whose caption says whose images they are.
    """
    for name in DATASET_NAMES.values():
        title = title.replace(name, name.split()[0].removesuffix("-ACR"))
    return title.replace(PHANTOM_LAYOUT, "")


LOSS_NAMES = {
    "total": "total", "existence_pathology": "existence, pathology", "existence_anatomy": "existence, anatomy",
    "icl": "ICL", "protocl_pathology": "ProtoCL, pathology", "protocl_anatomy": "ProtoCL, anatomy",
}  # fmt: skip

METRIC_NAMES = {
    "auroc": "AUROC", "macro_auroc": "macro AUROC", "average_precision": "average precision", "f1": "F1",
    "ece": "ECE", "brier": "Brier score",
    "pointing_game": "pointing game", "pointing_near": "pointing within 3 %", "iou": "IoU", "dice": "Dice",
    "cnr": "contrast-to-noise ratio", "auroc_learnable": "AUROC, learnable classes",
    "dice_all": "Dice, all images", "dice_positives": "Dice, positives only",
    "iou_all": "IoU, all images", "iou_positives": "IoU, positives only",
}  # fmt: skip
