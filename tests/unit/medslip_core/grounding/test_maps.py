"""Maps: normalisation, geometry, composition, and what they are of."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from bright_patches import LooksAtBrightest, bright_corpus

from medslip_core.backbone import Trunk
from medslip_core.grounding import maps
from medslip_core.grounding.maps import (
    AttentionMaps,
    attention_maps,
    maps_by_method,
    normalise,
    reported_anatomies,
    upsample,
)
from medslip_core.grounding.views import interleaved, views
from medslip_core.vocabulary import ANATOMY_INDEX, PATHOLOGY_INDEX


def test_more_looks_find_what_lies_between_patches():
    """A spot at a corner of four patches: one look cannot say where in a patch, four looks point at it."""
    model, corpus = LooksAtBrightest(), bright_corpus()
    corpus.images[:] = 20
    corpus.images[:, 14:16, 8:10] = 200  # in the lower left quarter of the patch at rows 8 to 15, columns 8 to 15
    one, two = (attention_maps(model, corpus, np.arange(3), looks=looks) for looks in (1, 2))
    assert one.anatomies.shape == (3, 51, 4, 4) and two.anatomies.shape == (3, 51, 8, 8)
    np.testing.assert_allclose(two.pathologies.sum(axis=(-2, -1)), 1, rtol=1e-5)
    spot = two.pathology("mass")[0]
    assert spot.sum(axis=1).argmax() in (2, 3, 4) and spot[3, 2] == pytest.approx(spot.max(), rel=1e-5)


def test_finer_maps_keep_each_cell_at_its_place():
    """A ramp that falls to the right and downwards, but for the replicated edges, stays one on the finer grid."""
    ramp = torch.arange(32.0)[None, None, None, :].expand(1, 3, 32, 32)
    means = [torch.nn.functional.avg_pool2d(view, 8)[:, :1] for view in views(ramp, 8, (0, 0), 2)]
    finer = interleaved(torch.stack(means), 2)[0, 0] * 4
    np.testing.assert_allclose(finer[:, 1:-1], np.tile(np.arange(8) * 4 + 1.5, (8, 1))[:, 1:-1])


def test_a_map_lies_on_what_it_shows():
    """What changes in the features of a ResNet, which pads evenly, where an object appears: centred on the object."""
    torch.manual_seed(0)
    trunk, noise = Trunk("resnet18").eval(), torch.Generator().manual_seed(0)
    before = 0.3 * torch.randn(8, 3, 160, 160, generator=noise)
    after = before.clone()
    after[..., 70:94, 50:74] += 2

    def centre(offset_px):
        pairs = zip(views(before, 16, offset_px, 2), views(after, 16, offset_px, 2), strict=True)
        with torch.no_grad():
            changed = [(trunk(two) - trunk(one)).square().sum(dim=1, keepdim=True) for one, two in pairs]
        heat = upsample(interleaved(torch.stack(changed), 2)[:, 0], 160).sum(axis=0)
        down, right = (heat.sum(axis=axis) @ np.arange(160) / heat.sum() for axis in (1, 0))
        return np.array([down - 81.5, right - 61.5])

    assert np.abs(centre(trunk.cell_offset(160))).max() < 2
    assert centre((0, 0)).min() > 5  # half a cell right and below


def test_attention_maps_average_layers_and_keep_order():
    model, corpus = LooksAtBrightest(), bright_corpus()
    rows = np.array([3, 0, 5])
    maps, in_twos = attention_maps(model, corpus, rows), attention_maps(model, corpus, rows, batch_size=2)
    assert maps.pathologies.shape == (3, 75, 4, 4) and maps.anatomies.shape == (3, 51, 4, 4)
    np.testing.assert_array_equal(in_twos.pathologies, maps.pathologies)
    np.testing.assert_allclose(maps.pathologies.sum(axis=(-2, -1)), 1, rtol=1e-5)
    pixels = model.pixel_values(torch.from_numpy(corpus.images[rows]))
    everywhere, looked = model(pixels, output_attentions=True).pathology_attention[:, :, 0].detach().numpy()
    np.testing.assert_allclose(maps.pathology("mass").reshape(3, 16), (everywhere + looked) / 2, atol=1e-6)
    assert [np.argmax(one) for one in maps.pathology("mass")] == [4 * (row % 4) + 1 for row in rows]


def test_unknown_names_say_the_nearest():
    maps = AttentionMaps(np.arange(1), np.zeros((1, 75, 2, 2)), np.zeros((1, 51, 2, 2)))
    with pytest.raises(ValueError, match="'Pneumonia'.*did you mean 'pneumonia'"):
        maps.pathology("Pneumonia")
    with pytest.raises(ValueError, match="no anatomy is called 'left lung'"):
        maps.pathology_x_anatomy("pneumonia", ["left lung"])


def test_maps_that_are_not_finite_are_not_scored_as_flat_ones():
    with pytest.raises(ValueError, match="not finite"):
        normalise(np.full((1, 2, 2), np.nan, np.float32))


def test_maps_are_taken_by_row():
    generator = np.random.default_rng(0)
    maps = AttentionMaps(np.array([7, 3, 5]), generator.random((3, 75, 4, 4)), generator.random((3, 51, 4, 4)))
    np.testing.assert_array_equal(maps.take([5, 7]).pathology("mass"), maps.pathology("mass")[[2, 0]])
    with pytest.raises(KeyError):
        maps.take([4])


def test_composition_with_anatomies():
    generator = np.random.default_rng(0)
    maps = AttentionMaps(np.arange(2), generator.random((2, 75, 4, 4)), generator.random((2, 51, 4, 4)))
    left, right = maps.anatomies[:, ANATOMY_INDEX["left_lower_lung"]], maps.anatomy("right_lower_lung")
    expected = (maps.pathologies[:, PATHOLOGY_INDEX["edema"]] * left + maps.pathology("edema") * right) / 2
    found = maps.pathology_x_anatomy("edema", ["left_lower_lung", "right_lower_lung"])
    np.testing.assert_allclose(found, expected)
    everywhere = maps.pathology_x_anatomy("edema")
    np.testing.assert_allclose(everywhere, maps.pathology("edema") * maps.anatomies.mean(axis=1))


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
    assert reported_anatomies(corpus, "fracture") == ["spine", "rib"]
    assert reported_anatomies(corpus, "fracture", least_share=0.3) == ["spine"]
    assert reported_anatomies(corpus, "mass") == []


def test_methods_are_compared_on_the_same_rows(monkeypatch):
    seen = []
    monkeypatch.setattr(maps, "gradcam_maps", lambda *given: seen.append(given) or {"Grad-CAM": np.zeros((1, 8, 8))})
    corpus, model = bright_corpus(), LooksAtBrightest()
    attention = attention_maps(model, corpus, np.arange(6))
    found = maps_by_method(model, corpus, attention, np.array([4]), "mass", ["trachea"], batch_size=2)
    assert list(found) == ["pathology", "pathology × anatomy", "pathology × all 51", "Grad-CAM"]
    np.testing.assert_array_equal(found["pathology"], attention.pathology("mass")[4:5])
    np.testing.assert_array_equal(found["pathology × anatomy"], found["pathology"] * attention.anatomy("trachea")[4:5])
    assert seen == [(model, corpus, np.array([4]), "mass", 2)]


def test_normalisation_is_of_each_image_alone():
    maps = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    maps[1] *= 1000
    maps[2] = 7
    found = normalise(maps)
    np.testing.assert_array_equal(found[:1], normalise(maps[:1]))
    assert found[:2].min() == 0 and found[:2].max() == 1
    assert (found[2] == 0).all()


def test_upsampling_puts_values_at_patch_centres():
    maps = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    large = upsample(maps, 36)[0]  # patches of 9 px: pixel 4 is the middle of the first
    np.testing.assert_allclose(large[4::9, 4::9], maps[0], atol=1e-6)
    for size in (36, 50, 4):
        as_torch = torch.nn.functional.interpolate(torch.from_numpy(maps)[:, None], (size, size), mode="bilinear")
        np.testing.assert_allclose(upsample(maps, size), as_torch[:, 0], atol=1e-5)
