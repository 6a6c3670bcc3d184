"""The vocabulary of MeDSLIP: 51 anatomies and 75 pathologies, in the order of every matrix and checkpoint.

Source: paper arXiv 2403.10635, section "Data"; the order is that of the published checkpoint's columns.
Sides are the patient's: `left_*` lies on the right half of a frontal image.
"""

from collections.abc import Iterable, Mapping

from medslip_core.parameters import ParameterError, nearest

ANATOMIES: tuple[str, ...] = (
    "trachea", "left_hilar", "right_hilar", "hilar_unspec", "left_pleural", "right_pleural", "pleural_unspec",
    "heart_size", "heart_border", "left_diaphragm", "right_diaphragm", "diaphragm_unspec", "retrocardiac",
    "lower_left_lobe", "upper_left_lobe", "lower_right_lobe", "middle_right_lobe", "upper_right_lobe",
    "left_lower_lung", "left_mid_lung", "left_upper_lung", "left_apical_lung", "left_lung_unspec",
    "right_lower_lung", "right_mid_lung", "right_upper_lung", "right_apical_lung", "right_lung_unspec",
    "lung_apices", "lung_bases", "left_costophrenic", "right_costophrenic", "costophrenic_unspec",
    "cardiophrenic_sulcus", "mediastinal", "spine", "clavicle", "rib", "stomach", "right_atrium",
    "right_ventricle", "aorta", "svc", "interstitium", "parenchymal", "cavoatrial_junction", "cardiopulmonary",
    "pulmonary", "lung_volumes", "unspecified", "other",
)  # fmt: skip

PATHOLOGIES: tuple[str, ...] = (
    "normal", "clear", "sharp", "sharply", "unremarkable", "intact", "stable", "free", "effusion", "opacity",
    "pneumothorax", "edema", "atelectasis", "tube", "consolidation", "process", "abnormality", "enlarge", "tip",
    "low", "pneumonia", "line", "congestion", "catheter", "cardiomegaly", "fracture", "air", "tortuous", "lead",
    "disease", "calcification", "prominence", "device", "engorgement", "picc", "clip", "elevation", "expand",
    "nodule", "wire", "fluid", "degenerative", "pacemaker", "thicken", "marking", "scar", "hyperinflate", "blunt",
    "loss", "widen", "collapse", "density", "emphysema", "aerate", "mass", "crowd", "infiltrate", "obscure",
    "deformity", "hernia", "drainage", "distention", "shift", "stent", "pressure", "lesion", "finding",
    "borderline", "hardware", "dilation", "chf", "redistribution", "aspiration", "tail_abnorm_obs", "excluded_obs",
)  # fmt: skip

ANATOMY_INDEX: dict[str, int] = {name: i for i, name in enumerate(ANATOMIES)}
PATHOLOGY_INDEX: dict[str, int] = {name: i for i, name in enumerate(PATHOLOGIES)}

HEALTHY: tuple[str, ...] = (
    "normal", "clear", "sharp", "sharply", "unremarkable", "intact", "stable", "free", "expand",
    "aerate",
)  # fmt: skip
"""Words among the pathologies that state health: where only these are present, nothing is wrong."""

PLACED_ANATOMIES: tuple[str, ...] = tuple(name for name in ANATOMIES if name not in ("unspecified", "other"))
"""Those that name a place."""

PRESENT, ABSENT, UNCERTAIN, UNMENTIONED = 1, 0, -1, -2
"""States of a cell of the matrix M; the first three are those of a triplet. Below 0 nothing is known: the published
matrix has -1 for both."""


def position(name: str, index: Mapping[str, int]) -> int:
    """Column of a pathology in `PATHOLOGY_INDEX`, or of an anatomy in `ANATOMY_INDEX`.

    Raises:
        ValueError: there is none of that name; says the nearest.
    """
    if name not in index:
        kind = "pathology" if index is PATHOLOGY_INDEX else "anatomy"
        near = nearest(name.lower(), index)
        raise ValueError(f"no {kind} is called {name!r} in the vocabulary; did you mean {near!r}?")
    return index[name]


def require_vocabulary(config, trained: bool = True) -> None:
    """Labels, flips, descriptions and answers go by the vocabulary's order: a model of other queries has others.

    Args:
        config: `MedslipConfig`, or that of a model which is asked by prompts and names none.
        trained: it is a model's; else the options of one to be made.

    Raises:
        ParameterError: its names are not the vocabulary's, in this order.
    """
    for name, known in (("anatomies", ANATOMIES), ("pathologies", PATHOLOGIES)):
        own = tuple(getattr(config, name, known))
        if own == known:
            continue
        if trained:
            apart = ", ".join(sorted(set(own) ^ set(known))) or "the same in another order"
            raise ParameterError(
                f"model: {name}: it was trained with {len(own)}, and the vocabulary has {len(known)} now ({apart}): "
                "pre-train again"
            )
        raise ParameterError(
            f"model: {name}: not the vocabulary's, in its order. Leave it out; a new word belongs into "
            "medslip_core/vocabulary.py (its place in the order), medslip_core/descriptions.py (its text) and "
            "data_prep/reports/lexicon.toml (how reports say it). Then prepare the corpus again"
        )


def side_of(anatomy: str) -> str | None:
    """ "left", "right", or None; `right_atrium` and `right_ventricle` name chambers, not sides."""
    if anatomy in ("right_atrium", "right_ventricle"):
        return None
    return next((side for side in ("left", "right") if side in anatomy.split("_")), None)


def mirrored_anatomy(name: str) -> str:
    """The anatomy's mirror image: the other side of a left/right pair, or the anatomy itself."""
    for side, other in (("left", "right"), ("right", "left")):
        mirrored = "_".join(other if word == side else word for word in name.split("_"))
        if mirrored != name and mirrored in ANATOMY_INDEX:
            return mirrored
    return name


MIRRORED_ANATOMY_INDEX: tuple[int, ...] = tuple(ANATOMY_INDEX[mirrored_anatomy(name)] for name in ANATOMIES)
"""Row permutation of M under a horizontal flip: M_flipped = M[MIRRORED_ANATOMY_INDEX]. Its own inverse."""

DATASET_CLASSES: dict[str, dict[str, str]] = {
    "nih": {
        "Atelectasis": "atelectasis", "Cardiomegaly": "cardiomegaly", "Consolidation": "consolidation",
        "Edema": "edema", "Effusion": "effusion", "Emphysema": "emphysema", "Fibrosis": "tail_abnorm_obs",
        "Hernia": "hernia", "Infiltration": "infiltrate", "Mass": "mass", "Nodule": "nodule",
        "Pleural_Thickening": "thicken", "Pneumonia": "pneumonia", "Pneumothorax": "pneumothorax",
    },
    "rsna": {"Pneumonia": "pneumonia"},
    "siim": {"Pneumothorax": "pneumothorax"},
}  # fmt: skip
"""Class of an evaluation dataset -> pathology that stands for it zero-shot (published code's mapping)."""

LABEL_WORDS: dict[str, str] = {
    **{label.lower(): pathology for classes in DATASET_CLASSES.values() for label, pathology in classes.items()},
    "pleural_effusion": "effusion", "lung_opacity": "opacity", "lung_lesion": "lesion", "support_devices": "device",
    **{name: name for name in PATHOLOGIES},
}  # fmt: skip
"""Label of any dataset, in lower case with `_` for blanks -> pathology that stands for it, where its name tells."""


def pathologies_by_name(dataset: str, labels: Iterable[str]) -> dict[str, str]:
    """Label -> pathology that stands for it: as published for a dataset of `DATASET_CLASSES`, else by its own name.

    Args:
        labels: of another dataset; those whose name is not that of a pathology (`LABEL_WORDS`) are left out.
    """
    if dataset in DATASET_CLASSES:
        return DATASET_CLASSES[dataset]
    words = {label: LABEL_WORDS.get(label.lower().replace(" ", "_").replace("-", "_")) for label in labels}
    return {label: word for label, word in words.items() if word}


DATASET_NAMES = {"nih": "NIH ChestX-ray14", "rsna": "RSNA Pneumonia", "siim": "SIIM-ACR Pneumothorax"}
"""Dataset -> what those who made it call it."""
