"""Maps: normalisation, geometry, composition; scores by hand; tables; no leak from test to threshold."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from medslip_core import grounding
from medslip_core.grounding import Truth
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX

SIZE = 32
HEAT = np.zeros((1, 8, 8))


class LooksAtBrightest(torch.nn.Module):
    """Every query attends to the brightest patch, the last layer only; earlier layers look everywhere alike."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.device = torch.device("cpu")
        self.trunk = SimpleNamespace(stride=8)

    def pixel_values(self, images):
        return images[:, None].float() / 128 - 1

    def forward(self, pixels, output_attentions=False):
        cells = torch.nn.functional.avg_pool2d(pixels[:, :1], 8).flatten(1)  # [B, 16]
        looked = (self.scale * 50 * cells).softmax(-1)
        stack = torch.stack([torch.full_like(looked, 1 / 16), looked])[:, :, None]  # [L, B, 1, N]
        return SimpleNamespace(
            pathology_attention=stack.expand(-1, -1, len(PATHOLOGIES), -1),
            anatomy_attention=stack.expand(-1, -1, len(ANATOMIES), -1),
            grid=(4, 4),
        )


def bright_corpus(n=6):
    """Image i is bright in patch (i % 4, 1); a box and a mask lie there; odd rows carry no truth."""
    images = np.full((n, SIZE, SIZE), 20, np.uint8)
    for i in range(n):
        images[i, 8 * (i % 4) : 8 * (i % 4) + 8, 8:16] = 200

    def boxes(row):
        empty = pd.DataFrame(columns=["label", "x", "y", "width", "height"])
        return (
            empty if row % 2 else pd.DataFrame([("Pneumonia", 8.0, 8.0 * (row % 4), 8.0, 8.0)], columns=empty.columns)
        )

    def masks(row, kind):
        return {} if row % 2 else {"pneumonia" if kind == "pathology" else "trachea": images[row] == 200}

    return SimpleNamespace(
        images=images, take=images.__getitem__, boxes=boxes, masks=masks,
        image_size_px=SIZE, header={"dataset": "rsna"},
        manifest=pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)]}),
        rows=lambda split: np.arange(n // 2) + (n // 2 if split == "test" else 0),
    )  # fmt: skip


def truth_of(masks, first_row=0, label="mass"):
    rows = np.arange(len(masks)) + first_row
    return Truth(label, "masks", rows, rows, np.asarray(masks, bool))


def square(top, left, side=8):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_more_looks_find_what_lies_between_patches():
    """A spot at a corner of four patches: one look cannot say where in a patch, four looks point at it."""
    model, corpus = LooksAtBrightest(), bright_corpus()
    corpus.images[:] = 20
    corpus.images[:, 14:16, 8:10] = 200  # in the lower left quarter of the patch at rows 8 to 15, columns 8 to 15
    one, two = (grounding.attention_maps(model, corpus, np.arange(3), [-1], looks=looks) for looks in (1, 2))
    assert one.anatomies.shape == (3, 51, 4, 4) and two.anatomies.shape == (3, 51, 8, 8)
    np.testing.assert_allclose(two.pathologies.sum(axis=(-2, -1)), 1, rtol=1e-5)
    spot = two.pathology("mass")[0]
    assert spot.sum(axis=1).argmax() in (2, 3, 4) and spot[3, 2] == pytest.approx(spot.max(), rel=1e-5)


def test_finer_maps_keep_each_cell_at_its_place():
    """A ramp that falls to the right and downwards, but for the replicated edges, stays one on the finer grid."""
    ramp = torch.arange(32.0)[None, None, None, :].expand(1, 3, 32, 32)
    means = [torch.nn.functional.avg_pool2d(view, 8)[:, :1] for view in grounding._views(ramp, 8, 2)]
    finer = grounding._interleaved(torch.stack(means), 2)[0, 0] * 4
    np.testing.assert_allclose(finer[:, 1:-1], np.tile(np.arange(8) * 4 + 1.5, (8, 1))[:, 1:-1])


def test_attention_maps_average_layers_and_keep_order():
    model, corpus = LooksAtBrightest(), bright_corpus()
    rows = np.array([3, 0, 5])
    both = grounding.attention_maps(model, corpus, rows)
    last = grounding.attention_maps(model, corpus, rows, layers=[-1], batch_size=2)
    assert both.pathologies.shape == (3, 75, 4, 4) and both.anatomies.shape == (3, 51, 4, 4)
    np.testing.assert_allclose(both.pathologies.sum(axis=(-2, -1)), 1, rtol=1e-5)
    np.testing.assert_allclose(2 * both.pathologies - 1 / 16, last.pathologies, atol=1e-6)
    assert [np.argmax(one) for one in last.pathology("mass")] == [4 * (row % 4) + 1 for row in rows]


def test_composition_with_anatomies():
    generator = np.random.default_rng(0)
    maps = grounding.AttentionMaps(np.arange(2), generator.random((2, 75, 4, 4)), generator.random((2, 51, 4, 4)))
    left, right = maps.anatomies[:, ANATOMY_INDEX["left_lower_lung"]], maps.anatomy("right_lower_lung")
    expected = (maps.pathologies[:, PATHOLOGY_INDEX["edema"]] * left + maps.pathology("edema") * right) / 2
    found = maps.pathology_x_anatomy("edema", ["left_lower_lung", "right_lower_lung"])
    np.testing.assert_allclose(found, expected)
    everywhere = maps.pathology_x_anatomy("edema")
    np.testing.assert_allclose(everywhere, maps.pathology("edema") * maps.anatomies.mean(axis=1))


def test_normalisation_is_of_each_image_alone():
    maps = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    maps[1] *= 1000
    maps[2] = 7
    found = grounding.normalise(maps)
    np.testing.assert_array_equal(found[:1], grounding.normalise(maps[:1]))
    assert found[:2].min() == 0 and found[:2].max() == 1
    assert (found[2] == 0).all()


def test_upsampling_puts_values_at_patch_centres():
    maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    large = grounding.upsample(maps, 36)[0]  # patches of 9 px: pixel 4 is the middle of the first
    np.testing.assert_allclose(large[4::9, 4::9], maps[0], atol=1e-6)
    for size in (36, 50, 4):
        as_torch = torch.nn.functional.interpolate(torch.from_numpy(maps)[:, None], (size, size), mode="bilinear")
        np.testing.assert_allclose(grounding.upsample(maps, size), as_torch[:, 0], atol=1e-5)


def test_truth_from_boxes_and_masks():
    corpus = bright_corpus()
    boxes = grounding.truth_from_boxes(corpus, np.arange(6), ["Pneumonia", "Nodule"])
    masks = grounding.truth_from_masks(corpus, np.arange(6), "pathology", ["pneumonia"])
    found = boxes["Pneumonia"]
    assert list(found.rows) == [0, 2, 4] and list(found.patients) == ["p0", "p2", "p4"]
    np.testing.assert_array_equal(found.masks, masks["pneumonia"].masks)
    assert boxes["Nodule"].masks.shape == (0, SIZE, SIZE) and len(boxes["Nodule"].rows) == 0
    anatomies = grounding.truth_from_masks(corpus, np.arange(6), "anatomy", ["trachea"])
    assert anatomies["trachea"].masks.shape == (3, SIZE, SIZE)


def test_maps_are_taken_by_row():
    generator = np.random.default_rng(0)
    maps = grounding.AttentionMaps(
        np.array([7, 3, 5]), generator.random((3, 75, 4, 4)), generator.random((3, 51, 4, 4))
    )
    np.testing.assert_array_equal(maps.take([5, 7]).pathology("mass"), maps.pathology("mass")[[2, 0]])
    with pytest.raises(KeyError):
        maps.take([4])


def test_pointing_game_by_hand():
    mask = square(8, 8)
    heat = np.zeros((SIZE, SIZE))
    heat[10, 10] = 1
    assert grounding.pointing_game(heat, mask) == 1
    heat[20, 20] = 1  # a tie, half of it inside
    assert grounding.pointing_game(heat, mask) == 0.5
    heat[10, 10] = 0  # 5 rows and 5 columns beyond the last pixel (15, 15)
    assert grounding.pointing_game(heat, mask) == 0
    assert grounding.pointing_game(heat, grounding.widened(mask[None], 7)[0]) == 0
    assert grounding.pointing_game(heat, grounding.widened(mask[None], 7.1)[0]) == 1
    assert grounding.pointing_game(np.zeros_like(heat), mask) == mask.mean()


def test_widened_masks_hold_all_that_is_near():
    masks = np.random.default_rng(0).random((3, 12, 12)) > 0.97
    rows, columns = np.mgrid[:12, :12]
    for mask, wide in zip(masks, grounding.widened(masks, 2.5), strict=True):
        distances = [np.hypot(rows - y, columns - x) for y, x in np.argwhere(mask)]
        np.testing.assert_array_equal(wide, np.min(distances, axis=0) <= 2.5)


def test_boxes_go_round_each_part_of_a_mask():
    mask = np.zeros((1, 12, 12), bool)
    mask[0, 1:4, 1] = mask[0, 3, 1:4] = True  # an L
    mask[0, 8, 8] = mask[0, 9, 9] = True  # touches itself by a corner
    expected = np.zeros_like(mask)
    expected[0, 1:4, 1:4] = expected[0, 8:10, 8:10] = True
    assert np.array_equal(grounding.boxes_of_parts(mask), expected)

    truth = truth_of(mask)
    asked = grounding.Question("mass", truth, truth_of(np.zeros((0, 12, 12), bool))).on_boxes()
    assert asked.test.kind == "boxes" and np.array_equal(asked.test.masks, expected)
    assert np.array_equal(truth.masks, mask) and len(asked.validation.masks) == 0


def test_overlap_and_contrast_by_hand():
    mask = square(8, 8)
    heat = square(8, 12).astype(float)  # half of it inside
    assert grounding.overlap(heat, mask, 0.5) == pytest.approx((1 / 3, 1 / 2))
    assert grounding.overlap(np.zeros_like(heat), mask, 0.5) == (0, 0)
    assert grounding.overlap(mask.astype(float), mask, 0.5) == (1, 1)
    inside, outside = heat[mask], heat[~mask]
    expected = (inside.mean() - outside.mean()) / (inside.std() ** 2 + outside.std() ** 2) ** 0.5
    assert grounding.contrast_to_noise(heat, mask) == pytest.approx(expected)
    assert grounding.contrast_to_noise(1 - heat, mask) == pytest.approx(-expected)
    assert grounding.contrast_to_noise(np.ones_like(heat), mask) == 0
    assert np.isnan(grounding.contrast_to_noise(heat, np.ones_like(mask)))


def asked_of(corpus, labels=("Nodule", "Pneumonia")):
    return grounding.questions(corpus, "boxes", labels)


def test_questions_are_the_labels_that_test_rows_show():
    corpus = bright_corpus(16)
    (question,) = asked_of(corpus)
    assert (question.label, question.query) == ("Pneumonia", "pneumonia")
    assert list(question.test.rows) == [8, 10, 12, 14] and list(question.validation.rows) == [0, 2, 4, 6]
    assert list(grounding.rows_shown([question])) == [0, 2, 4, 6, 8, 10, 12, 14]
    (anatomy,) = grounding.questions(corpus, "anatomies", ["trachea", "spine"], most_rows=3)
    assert anatomy.query == "trachea" and list(anatomy.test.rows) == [8, 10]
    assert asked_of(corpus, ["Nodule"]) == [] and len(grounding.rows_shown([])) == 0


def test_scores_of_a_model_that_looks_right():
    corpus, model = bright_corpus(16), LooksAtBrightest()
    (question,) = asked_of(corpus)
    maps = grounding.attention_maps(model, corpus, grounding.rows_shown([question]))
    test, known = (
        {"pathology": maps.take(truth.rows).pathology("pneumonia")} for truth in (question.test, question.validation)
    )
    scores = grounding.score_question(question, test, known)
    ours = scores[scores["method"] == "pathology"]
    assert set(ours["label"]) == {"Pneumonia"} and len(ours) == 4
    assert (ours["pointing_game"] == 1).all() and (ours["dice"] > 0.7).all()
    chance = scores[scores["method"] == "random point"]
    np.testing.assert_allclose(chance["pointing_game"], 1 / 16)
    assert chance[["iou", "dice"]].isna().all(axis=None)
    summary = grounding.summarise(scores, "rsna", resamples=50)
    assert list(dict.fromkeys(summary["method"])) == [
        "pathology", "random point", "centre point", "mean truth", "mean map"
    ]  # fmt: skip
    assert set(summary["label"]) == {"Pneumonia"}  # the mean over one label is that label
    row = summary.query("method == 'pathology' and metric == 'pointing_game'").iloc[0]
    assert (row["value"], row["low"], row["high"], row["n"]) == (1, 1, 1, 4)


def test_places_come_from_what_training_reports_say_is_present():
    said = [(0, "spine", "fracture", 1, "report")] * 3 + [
        (1, "rib", "fracture", 1, "report"), (1, "unspecified", "fracture", 1, "report"),
        (1, "clavicle", "fracture", 0, "report"), (1, "trachea", "tube", 1, "report"),
        (1, "aorta", "fracture", 1, "truth"), (9, "stomach", "fracture", 1, "report"),
    ]  # fmt: skip
    table = pd.DataFrame(said, columns=["row", "anatomy", "pathology", "state", "source"])
    table["anatomy"] = table["anatomy"].map(ANATOMY_INDEX)
    table["pathology"] = table["pathology"].map(PATHOLOGY_INDEX)
    corpus = SimpleNamespace(triplets=table, rows=lambda split: np.arange(2))
    assert grounding.reported_anatomies(corpus, "fracture") == ["spine", "rib"]
    assert grounding.reported_anatomies(corpus, "fracture", least_share=0.3) == ["spine"]
    assert grounding.reported_anatomies(corpus, "mass") == []


def test_methods_are_compared_on_the_same_rows(monkeypatch):
    seen = []
    monkeypatch.setattr(grounding, "gradcam_maps", lambda *given: seen.append(given) or {"Grad-CAM": HEAT})
    corpus, model = bright_corpus(), LooksAtBrightest()
    attention = grounding.attention_maps(model, corpus, np.arange(6))
    found = grounding.maps_by_method(model, corpus, attention, np.array([4]), "mass", ["trachea"], batch_size=2)
    assert list(found) == ["pathology", "pathology × anatomy", "pathology × all 51", "Grad-CAM"]
    np.testing.assert_array_equal(found["pathology"], attention.pathology("mass")[4:5])
    np.testing.assert_array_equal(found["pathology × anatomy"], found["pathology"] * attention.anatomy("trachea")[4:5])
    assert seen == [(model, corpus, np.array([4]), "mass", 2)]


def test_threshold_is_the_best_of_validation_and_blind_to_test():
    masks = np.stack([square(8, 8), square(16, 4)])
    heat = np.stack([square(8, 8) * 0.5 + square(10, 10, 4) * 0.5, square(16, 4) * 0.6 + square(16, 4, 2) * 0.4])
    threshold = grounding.best_dice_threshold(heat, masks)
    naive = {t: np.mean([grounding.overlap(h, m, t)[1] for h, m in zip(heat, masks, strict=True)])
             for t in grounding.THRESHOLDS}  # fmt: skip
    assert naive[threshold] == max(naive.values()) == 1
    for test_heat in (heat, heat[::-1]):
        scores = grounding.score("m", test_heat, truth_of(masks, 10), heat, truth_of(masks))
        assert (scores["threshold"] == threshold).all()


def test_scores_do_not_depend_on_the_other_images():
    generator = np.random.default_rng(0)
    maps, masks = generator.random((4, 4, 4)), np.stack([square(4 * i, 4) for i in range(4)])
    together = grounding.score("m", maps, truth_of(masks, 10), maps, truth_of(masks))
    alone = grounding.score("m", maps[2:3], truth_of(masks[2:3], 12), maps, truth_of(masks))
    pd.testing.assert_frame_equal(together.iloc[2:3].reset_index(drop=True), alone)


def test_leaks_and_misfits_raise():
    masks = np.stack([square(0, 0), square(8, 8)])
    maps = np.ones((2, 4, 4))
    with pytest.raises(ValueError, match="share 2 rows"):
        grounding.score("m", maps, truth_of(masks), maps, truth_of(masks))
    other_rows = Truth("mass", "masks", np.array([5, 6]), np.array([0, 1]), masks)
    with pytest.raises(ValueError, match="share 2 patients"):
        grounding.score("m", maps, other_rows, maps, truth_of(masks))
    with pytest.raises(ValueError, match="1 maps for 2 rows"):
        grounding.score("m", maps[:1], truth_of(masks, 5), maps, truth_of(masks))


def test_label_absent_from_validation_gives_nan_overlap_only():
    masks = np.stack([square(0, 0)])
    scores = grounding.score("m", np.ones((1, 4, 4)), truth_of(masks), np.ones((0, 4, 4)), truth_of(masks[:0]))
    assert scores[["iou", "dice"]].isna().all(axis=None) and scores["pointing_game"].notna().all()


def test_summary_means_by_label_and_over_labels():
    scores = pd.DataFrame({
        "label": ["a", "a", "a", "b"], "truth": "masks", "method": "m", "row": range(4), "patient": [1, 1, 2, 3],
        "pointing_game": [1.0, 1.0, 0.0, 0.0], "pointing_near": 1.0, "iou": 0.5, "dice": 0.6,
        "cnr": [1.0, np.nan, 2.0, 3.0], "threshold": 0.4,
    })  # fmt: skip
    summary = grounding.summarise(scores, "nih", resamples=200).set_index(["label", "metric"])
    assert summary.loc[("a", "pointing_game"), "value"] == pytest.approx(2 / 3)
    assert summary.loc[("macro", "pointing_game"), "value"] == pytest.approx(1 / 3)
    assert summary.loc[("a", "cnr"), "value"] == 1.5
    assert summary.loc[("a", "dice"), "threshold"] == 0.4 and summary.loc[("macro", "dice"), "n"] == 4
    assert summary.loc[("a", "pointing_game"), "low"] == 0 and summary.loc[("a", "pointing_game"), "high"] == 1


def test_compared_label_by_label():
    """By the difference on each image: what is hard for both does not count."""
    draw = np.random.default_rng(0)
    hard = draw.uniform(0, 0.8, 40)  # of an image, far more than methods differ
    shift = {"a": 0.1, "b": -0.1, "c": 0.0}
    tables = [
        pd.DataFrame(dict(method=method, label=label, row=np.arange(40), patient=[str(n // 2) for n in range(40)],
                          iou=hard + (shift[label] + draw.normal(0, 0.05, 40) if method == "m" else 0)))
        for method in "mo" for label in shift
    ]  # fmt: skip
    scores = pd.concat(tables, ignore_index=True)
    scores.loc[0, "iou"] = np.nan  # one image of "a" without a score counts for neither
    table = grounding.compare(scores.sample(frac=1, random_state=0), "m", ["o", "not there"], ["iou"], resamples=200)
    assert table.drop(columns=["mean", "mean_other"]).to_numpy().tolist() == [["iou", "o", 3, 1, 1, 1]]
    assert table["mean_other"].item() == pytest.approx((hard[1:].mean() + 2 * hard.mean()) / 3)
    known = scores[scores["iou"].notna() & (scores["method"] == "m")]
    assert table["mean"].item() == pytest.approx(known.groupby("label")["iou"].mean().mean())
    assert grounding.compare(scores.iloc[:0], "m", ["o"], ["iou"]).empty


def test_example_cases():
    masks = np.stack([square(0, 0)] * 3)
    heat = np.stack([square(0, 0), square(0, 4), square(16, 16)])
    scores = grounding.score("m", heat, truth_of(masks, 10), heat, truth_of(masks))
    cases = grounding.example_cases(scores, "iou")
    assert list(cases["case"]) == ["95 %", "50 %", "5 %"] and list(cases["row"]) == [10, 11, 12]
    assert list(grounding.example_cases(scores.assign(first=[0, 1, 2]), "first", "iou")["row"]) == [12, 11, 10]
