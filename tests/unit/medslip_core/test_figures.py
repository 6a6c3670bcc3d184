"""Every figure: letters of 8 points or more, nothing cut off, nothing left open, and a text that says what it shows."""

import io
import itertools
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from medslip_core import figures, image_figures
from medslip_core.grounding.scores import SCORES, score
from medslip_core.grounding.truth import Truth
from medslip_core.image_figures import GroundingCase
from medslip_core.losses.objective import TERMS
from medslip_core.naming import METRIC_NAMES
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, DATASET_CLASSES, DATASET_NAMES, PATHOLOGY_INDEX
from medslip_core.zero_shot import ClassPredictions

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (48, 48), dtype=np.uint8)
MASK = np.zeros((48, 48), bool)
MASK[20:30, :12] = True
LAYOUTS = [f"{DATASET_NAMES[name]} layout (phantom)" for name in ("nih", "rsna", "siim")]
HEAT = np.zeros((6, 6))
HEAT[3, 1] = 1


def history():
    steps = [*(("train", step) for step in range(1, 60)), ("validate", 20), ("validate", 40)]
    return pd.DataFrame({"step": step, "split": split, **dict.fromkeys(TERMS, 5 / step)} for split, step in steps)


def predictions(classes=tuple(DATASET_CLASSES["nih"]), n=40):
    labels = (GENERATOR.random((n, len(classes))) < 0.3).astype(np.float32)
    labels[:, -1] = 0
    prob = np.clip(GENERATOR.normal(0.3 + 0.3 * labels, 0.2), 0, 1)
    return ClassPredictions("nih", classes, np.arange(n), np.arange(n), labels, prob)


def results():
    return pd.DataFrame(
        [("auroc", name, method, v, v - 0.1, v + 0.05) for method in ("a", "b")
         for name, v in (("Mass", 0.7), ("Pleural_Thickening", 0.8), ("macro", 0.75))],
        columns=["metric", "class", "method", "value", "low", "high"],
    )  # fmt: skip


def triplets():
    pairs = [("left_pleural", "effusion", 1)] * 3 + [("trachea", "tube", 1), ("spine", "fracture", 0)]
    return pd.DataFrame(
        [(i, ANATOMY_INDEX[a], PATHOLOGY_INDEX[p], state) for i, (a, p, state) in enumerate(pairs)],
        columns=["row", "anatomy", "pathology", "state"],
    )


def manifest():
    return pd.DataFrame({"split": ["train"] * 3 + ["test"], "label:Mass": [1, 0, 0, 1], "label:Nodule": [0, 1, 1, 0]})


def cases():
    maps = {"pathology": HEAT, "pathology × anatomy": HEAT, "Grad-CAM": GENERATOR.random((48, 48))}
    captions = {"pathology": "hit, IoU 0.41", "pathology × anatomy": "hit, IoU 0.45", "Grad-CAM": "miss, IoU 0.02"}
    return [GroundingCase(f"{name}: pneumonia", IMAGE, MASK, maps, captions) for name in ("95 %", "50 %", "5 %")]


FIGURES = {
    "loss": (lambda: figures.loss_curves(history()), "ICL from"),
    "roc": (lambda: figures.roc_curves(predictions(), "NIH", resamples=20), "Cardiomegaly 0."),
    "roc of two classes": (lambda: figures.roc_curves(predictions(("Mass", "Hernia")), "NIH", resamples=20), "Mass 0."),
    "forest": (lambda: figures.forest(results().query("method == 'a'"), "auroc", chance=0.5), "Thickening: 0.80"),
    "forest of methods": (lambda: figures.forest(results(), "auroc", group="method"), "macro, b: 0.75"),
    "forest in columns": (lambda: figures.forest(results().query("method == 'b'"), "auroc", columns=2), "macro: 0.75"),
    "reliability": (lambda: figures.reliability_diagram({"nih": predictions()}), "observed frequency, all"),
    "reliability of three": (
        lambda: figures.reliability_diagram(dict.fromkeys(LAYOUTS, predictions())),
        "NIH ChestX-ray14 layout (phantom): 0.",
    ),
    "co-occurrence": (
        lambda: figures.label_cooccurrence(triplets()),
        "effusion at left pleural (3), tube at trachea (1)",
    ),
    "labels together": (
        lambda: figures.labels_together(np.array([[True, True], [True, False]]), ["Mass", "Nodule"], "nih"),
        "Images of nih with two different labels together",
    ),
    "splits": (lambda: figures.counts_by_split(manifest(), ["Mass", "Nodule"]), "train 50 %, test 50 %"),
    "contact sheet": (lambda: image_figures.contact_sheet([IMAGE] * 7, ["PA, effusion"] * 7), "7 radiographs: PA"),
    "augmented": (
        lambda: image_figures.augmented_batch([IMAGE / 255] * 5, [["effusion · left costophrenic"] * 9] + [[]] * 4),
        "nothing stated",
    ),
    "grounding": (lambda: image_figures.grounding_panel(cases()), "50 %: pneumonia, Grad-CAM: miss, IoU 0.02"),
    "anatomies": (
        lambda: image_figures.anatomy_maps(IMAGE, dict.fromkeys(ANATOMIES[:7], HEAT), {"trachea": MASK, "spine": MASK}),
        "trachea hit",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_legible_whole_and_described(name):
    before = dict(matplotlib.rcParams)
    draw, said = FIGURES[name]
    figure, alt = draw()
    assert said in alt and alt.endswith(".")
    assert dict(matplotlib.rcParams) == before and not plt.get_fignums()
    assert figure.get_figwidth() <= figures.WIDTH_INCHES
    assert min(text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()) >= 8
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pixels = np.round(255 * plt.imread(io.BytesIO(buffer.getvalue()))[..., :3])
    assert pixels.min() < 100  # something is drawn
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (edge == 255).all()  # and nothing of it is cut off by the edge
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.title.get_text() and axis.get_visible()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(titles, 2))


def test_labels_together_counts_pairs_and_names_how_many_have_each():
    present = np.array([[True, True, False], [True, True, False], [True, False, True]])
    figure, _ = figures.labels_together(present, ["Mass", "Nodule", "Hernia"], "nih")
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Mass (3)", "Nodule (2)", "Hernia (1)"]
    assert sorted(text.get_text() for text in axis.texts) == ["1", "1", "2", "2"]


def test_a_notebook_shows_the_figure_and_keeps_its_words():
    shown, metadata = DisplayFormatter().format(figures.roc_curves(predictions(("Mass",)), "NIH", resamples=5))
    assert shown["image/png"].startswith("iVBOR") and shown["text/plain"].startswith("ROC curves on NIH")
    assert metadata["image/png"]["alt"] == shown["text/plain"]


def test_roc_marks_a_class_with_one_label():
    figure, alt = figures.roc_curves(predictions(("Mass", "Hernia")), "NIH", resamples=20)
    assert [text.get_text() for text in figure.axes[1].texts] == ["one label only"]
    assert "Hernia" not in alt


@pytest.mark.parametrize("positives, interval", [(9, False), (10, True)])
def test_roc_gives_an_interval_where_enough_patients_show_the_class(positives, interval):
    truth = (np.arange(40)[:, None] < positives).astype(np.float32)
    prob = np.random.default_rng(0).random((40, 1)).astype(np.float32)
    few = ClassPredictions("nih", ("Mass",), np.arange(40), np.arange(40), truth, prob)
    (axis,) = figures.roc_curves(few, "NIH", resamples=20).figure.axes
    (told,) = [text.get_text() for text in axis.get_legend().get_texts()]
    assert told.startswith("AUROC 0.") and ("[" in told) == interval


@pytest.mark.parametrize("first, last", [(9, 0.01), (0.45, 0.11), (0.34, 0.29), (0.305, 0.3), (0.3, 0.3)])
def test_every_loss_has_two_readings(first, last):
    falls = history().assign(**dict.fromkeys(TERMS, np.geomspace(first, last, len(history()))))
    figure, _ = figures.loss_curves(falls)
    for axis in figure.axes:
        low, high = axis.get_ylim()
        assert np.count_nonzero((axis.get_yticks() >= low) & (axis.get_yticks() <= high)) >= 2


def test_first_losses_do_not_hold_the_curve_up():
    falls = pd.DataFrame({"step": range(30), "split": "train", **dict.fromkeys(TERMS, [100.0, 10.0] + [1.0] * 28)})
    figure, _ = figures.loss_curves(falls)
    thin, bold, _ = figure.axes[0].lines
    assert bold.get_ydata()[5] == 1 and "median of the last 10" in bold.get_label()


def test_forest_sorts_by_value_with_macro_below():
    figure, _ = figures.forest(results().query("method == 'a'"), "auroc")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Pleural Thickening", "Mass", "macro"]


def test_every_row_and_column_of_the_cooccurrence_shows_something():
    pairs = [("left_pleural", "effusion")] * 9 + [("rib", "fracture")] * 5
    pairs += [(place, "tube") for place in ("trachea", "stomach", "spine") for _ in range(2)]  # more, but spread
    table = pd.DataFrame(
        [(i, ANATOMY_INDEX[a], PATHOLOGY_INDEX[p], 1) for i, (a, p) in enumerate(pairs)],
        columns=["row", "anatomy", "pathology", "state"],
    )
    figure, _ = figures.label_cooccurrence(table, anatomies=2, pathologies=2)
    shown = figure.axes[0].images[0].get_array().filled(0)
    assert shown.any(axis=0).all() and shown.any(axis=1).all()


def test_triplets_are_shown_whole():
    said = ["effusion · left costophrenic", "tube · trachea", "low · lung volumes"]
    assert image_figures._first_triplets(said, 20, most_lines=4).splitlines() == [
        "effusion · left", "   costophrenic", "tube · trachea", "low · lung volumes"]  # fmt: skip
    assert image_figures._first_triplets(said, 20, most_lines=3).splitlines()[2:] == ["and 2 more"]


def test_every_score_has_a_name_to_show():
    assert set(SCORES) <= set(METRIC_NAMES)


def test_hollow_ring_marks_the_maximum():
    figure, _ = image_figures.anatomy_maps(IMAGE, {"trachea": HEAT}, {})
    for line in figure.axes[0].lines:
        (left,), (top,) = line.get_data()
        assert (left, top) == (1.5 * 8 - 0.5, 3.5 * 8 - 0.5)  # middle of patch column 1, row 3
        assert line.get_markerfacecolor() == "none" and not line.get_clip_on()


def test_faint_heat_is_seen_and_none_hides_nothing():
    heat = np.zeros((6, 6))
    heat[3, 1], heat[0, 5] = 1, 0.1
    figure, _ = image_figures.anatomy_maps(IMAGE, {"trachea": heat}, {})
    alpha = figure.axes[0].images[1].get_alpha()
    assert alpha[4, 44] == pytest.approx(0.75 * np.sqrt(0.1), abs=0.01) and alpha[44, 44] == 0


def test_contact_sheet_outlines_around_what_is_marked():
    figure, _ = image_figures.contact_sheet([IMAGE] * 3, ["a", "b", "c"], masks=[MASK, None, np.zeros_like(MASK)])
    marked, *unmarked = figure.axes[:3]
    assert marked.collections and not any(axis.collections for axis in unmarked)
    across = np.concatenate([path.vertices for one in marked.collections for path in one.get_paths()])
    assert across[:, 1].min() <= 19.5 and across[:, 1].max() >= 29.5  # the mask's rows are 20 to 29


def test_panel_outlines_what_the_iou_compares():
    scored = GroundingCase("5 %", IMAGE, MASK, {"a": HEAT, "b": HEAT}, thresholds={"a": 0.4})
    figure, _ = image_figures.grounding_panel([scored])
    cut, uncut = ([dash for one in axis.collections for _, dash in one.get_linestyle() if dash]
                  for axis in figure.axes[1:])  # fmt: skip
    assert cut and not uncut


@pytest.mark.parametrize("known", [2, 0])
def test_grounding_cases_come_from_the_scores(known):
    masks = np.stack([MASK] * 3)
    truth = Truth("Mass", "masks", np.array([5, 6, 7]), np.arange(3), masks)
    validation = Truth("Mass", "masks", np.arange(known), np.arange(known) + 9, masks[:known])
    heat = np.stack([np.roll(HEAT, shift, axis=1) for shift in (2, 0, 1)])
    scores = pd.concat([score(method, heat, truth, heat[:known], validation) for method in ("a", "b")])
    corpus = SimpleNamespace(images=np.stack([IMAGE] * 8))
    best, *_, worst = image_figures.grounding_cases(
        corpus, truth, scores, lambda rows: {"a": heat[rows - 5], "b": heat[rows - 5]}, ["a", "b"]
    )
    assert (best.title, worst.title) == ("95 %: Mass", "5 %: Mass")
    np.testing.assert_array_equal(best.maps["b"], HEAT)
    assert best.captions["a"].startswith("hit") and worst.captions["b"].startswith("miss")
    assert ("IoU" in best.captions["a"]) == bool(known) == bool(best.thresholds)
