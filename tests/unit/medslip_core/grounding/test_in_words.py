"""Lines about single labels: what they name, and what they say where there is nothing to compare with."""

import pandas as pd

from medslip_core.grounding.in_words import least_hit, not_outlined


def scores(**by_method: list[float]) -> pd.DataFrame:
    """Of the labels mass, nodule and left_hernia, and their mean, each value in all three metrics."""
    rows = []
    for method, values in by_method.items():
        for label, value in zip(["mass", "nodule", "left_hernia", "macro"], [*values, 0.0], strict=True):
            rows += [(label, method.replace("_", " "), metric, value) for metric in ("pointing_game", "iou")]
            rows.append((label, method.replace("_", " "), "pointing_near", value + 0.01))
    return pd.DataFrame(rows, columns=["label", "method", "metric", "value"])


def test_labels_hit_least_come_first_beside_the_guess() -> None:
    told = least_hit(scores(pathology=[0.5, 0.2, 0.3], mean_truth=[0.1, 0.4, 0.6]), "pathology", labels=2)
    assert told == (
        "Least often hit by *pathology*: nodule 0.20 (within 3 % 0.21, *mean truth* 0.40), "
        "left hernia 0.30 (within 3 % 0.31, *mean truth* 0.60)."
    )


def test_labels_outlined_no_better_than_by_the_mean_map_are_named() -> None:
    told = not_outlined(scores(pathology=[0.5, 0.2, 0.3], mean_map=[0.4, 0.2, 0.6]), "pathology")
    assert told.endswith("is not above *mean map* (in brackets) for left hernia 0.30 (0.60), nodule 0.20 (0.20).")
    told = not_outlined(scores(pathology=[0.5, 0.2, 0.3], mean_map=[0.4, 0.1, 0.1]), "pathology")
    assert told == "by IoU, *pathology* is above *mean map* for each label."


def test_without_images_to_validate_on_there_is_no_guess_to_compare_with() -> None:
    """NIH's official lists have all boxes among the images to test on."""
    none = scores(pathology=[0.5, 0.2, 0.3])
    assert least_hit(none, "pathology", labels=1).endswith("nodule 0.20 (within 3 % 0.21).")
    assert "there is no *mean map*" in not_outlined(none, "pathology")


def test_a_label_without_a_guess_is_not_counted_as_above_it() -> None:
    some = scores(pathology=[0.5, 0.4, 0.3], mean_map=[0.4, 0.3, 0.1], mean_truth=[0.4, 0.3, 0.1])
    some = some[~((some["label"] == "left_hernia") & some["method"].str.startswith("mean"))]
    told = not_outlined(some, "pathology")
    assert told == "by IoU, *pathology* is above *mean map* for each label but left hernia, which have none."
    told = least_hit(some, "pathology")
    assert "left hernia 0.30 (within 3 % 0.31)," in told and "nodule 0.40 (within 3 % 0.41, *mean truth* 0.30)" in told
