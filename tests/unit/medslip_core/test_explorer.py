"""The interactive block: self-contained, small, escaped, described; its scores are those of the pointing game."""

import base64
import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from medslip_core.explorer import CANVAS_PX, LEVELS, TRUTH_PX, ExplorerImage, explorer_html, explorer_images
from medslip_core.grounding.maps import AttentionMaps
from medslip_core.grounding.truth import Question, Truth
from medslip_core.vocabulary import PATHOLOGY_INDEX
from medslip_core.zero_shot import Existence

PATHOLOGIES, ANATOMIES = ("effusion", "mass", "edema"), ("left_lower_lung", "trachea")
MASK = np.zeros((64, 64), bool)
MASK[32:64, 32:64] = True


def peak(row, column, size=8):
    heat = np.full((size, size), 0.1)
    heat[row, column] = 1
    return heat


def explored(title="PA, effusion", **changes):
    given = {
        "title": title,
        "image": np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8),
        "pathology_maps": {"effusion": peak(5, 5), "mass": peak(0, 0), "edema": peak(0, 0) + 0.9 * peak(6, 6)},
        "anatomy_maps": {"left_lower_lung": peak(6, 6), "trachea": peak(0, 0)},
        "pathology_truth": dict.fromkeys(("effusion", "edema"), MASK),
        "anatomy_truth": dict.fromkeys(ANATOMIES, MASK),
        "probabilities": {"effusion": 0.875},
    }
    return ExplorerImage(**(given | changes))


def data_of(block):
    return json.loads(re.search(r"var data = (\{.*\});", block)[1])


def test_block_needs_nothing_from_outside():
    block = explorer_html([explored()])
    assert not re.search(r"""<link|<iframe|src=|href|https?:|@import|url\(|fetch\(|XMLHttpRequest""", block)
    assert re.findall(r"\.src = (.*?) \+", block) == ['"data:image/jpeg;base64,"']
    assert 'role="img"' in block and "aria-live" in block and "<noscript>" in block
    assert len(re.findall("<label>", block)) == 5 and len(re.findall("<select", block)) == 3
    assert 'data-theme="dark"' in block


def test_hits_are_the_pointing_game_of_every_choice():
    one = data_of(explorer_html([explored()]))["images"][0]
    # columns: at left lower lung, at trachea, anywhere
    assert one["hits"] == [[1, 0, 1], [None, None, None], [1, 0, 0], [1, 0, None]]
    assert one["prob"] == [0.88, None, None]
    assert [truth is None for truth in one["truth"]] == [False, True, False, False, False]


def test_maps_and_truth_survive_the_encoding():
    one = data_of(explorer_html([explored()]))["images"][0]
    maps = np.frombuffer(base64.b64decode(one["maps"]), np.uint8).reshape(5, 8, 8)
    expected = [*explored().pathology_maps.values(), *explored().anatomy_maps.values()]
    for found, given in zip(maps, expected, strict=True):
        np.testing.assert_allclose(np.exp((found - 255.0) / LEVELS), given / given.max(), rtol=0.04)
    values, inside = [], False
    for run in one["truth"][0].split(","):
        values += [inside] * int(run, 36)
        inside = not inside
    values += [False] * (TRUTH_PX**2 - len(values))
    assert np.mean(values) == pytest.approx(0.25, abs=0.01)
    assert np.reshape(values, (TRUTH_PX, TRUTH_PX))[-1, -1] and not values[0]


def test_a_product_that_is_weak_everywhere_is_drawn_and_ringed_where_it_is_hit():
    """Two maps whose peaks lie apart: in 8 linear levels their product would be zero, or have its maximum elsewhere."""
    far, near = np.full((8, 8), 1e-6), np.full((8, 8), 1e-6)
    far[0, 0], near[7, 7] = 1, 1
    far[5, 5] = near[5, 5] = 1.5e-3
    one = explored(pathology_maps=dict.fromkeys(("effusion", "mass", "edema"), far), anatomy_maps={"trachea": near})
    one = data_of(explorer_html([one]))["images"][0]
    levels = np.frombuffer(base64.b64decode(one["maps"]), np.uint8).reshape(4, 64).astype(int)
    assert (levels[0] + levels[3]).argmax() == 5 * 8 + 5 and (levels > 0).all()
    assert np.floor_divide(one["peaks"][0][0], CANVAS_PX // 8).tolist() == [5, 5]
    assert one["hits"][0] == [1, 0] and np.floor_divide(one["peaks"][0][1], CANVAS_PX // 8).tolist() == [0, 0]


def test_a_finding_at_a_place_is_hit_only_there():
    upper = np.zeros_like(MASK)
    upper[:40] = True
    one = explored(anatomy_truth={"left_lower_lung": upper})  # no trachea is seen
    assert data_of(explorer_html([one]))["images"][0]["hits"][0] == [0, None, 1]
    one = explored(anatomy_truth={})  # of the anatomies of this image nothing is known
    assert data_of(explorer_html([one]))["images"][0]["hits"][0] == [1, 0, 1]


def test_titles_cannot_break_out():
    block = explorer_html([explored(title='</script><img src=x onerror="alert(1)">')])
    assert block.count("</script>") == 1 and "<img" not in block


def test_two_blocks_live_on_one_page():
    block = explorer_html([explored()], element_id="other")
    assert '<div id="other"' in block and 'getElementById("other")' in block
    assert "#grounding-explorer" not in block and 'id="grounding-explorer"' not in block


def test_images_must_carry_the_same_maps():
    with pytest.raises(ValueError, match="'second' has maps of other names"):
        explorer_html([explored(), explored(title="second", anatomy_maps={"trachea": peak(0, 0)})])


def test_twelve_images_and_queries_stay_small():
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:224, :224]
    smooth = (128 + 60 * np.sin(rows / 20) + 40 * np.cos(columns / 13)).astype(np.uint8)
    disc = (rows - 100) ** 2 + (columns - 80) ** 2 < 40**2
    names = [f"query_{i}" for i in range(6)]
    many = [
        explored(
            title=f"image {i}", image=smooth, pathology_truth=dict.fromkeys(names, disc),
            pathology_maps={name: generator.random((14, 14)) for name in names},
            anatomy_maps={name: generator.random((14, 14)) for name in names},
            anatomy_truth=dict.fromkeys(names, disc), probabilities=dict.fromkeys(names, 0.5),
        )
        for i in range(12)
    ]  # fmt: skip
    assert len(explorer_html(many)) < 150 * 1024


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_script_runs_in_a_browser(tmp_path):
    page = tmp_path / "explorer.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><body>{explorer_html([explored()])}</body>')
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --virtual-time-budget=2000 --dump-dom"
    command = ["chromium", *options.split(), f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    said = re.search(r'<p class="says" aria-live="polite">(.*?)</p>', dom)[1]
    assert said == "Asked for: effusion. Probability of effusion: 0.88. ✓ Hit: the maximum lies inside the truth."
    assert '<option value="2">(any)</option>' in dom.replace(' selected=""', "")


def test_images_of_a_question_carry_all_truth_that_is_known():
    generator = np.random.default_rng(1)
    rows = np.array([4, 7, 9])
    truth = Truth("Pneumonia", "boxes", rows, rows, np.stack([MASK, ~MASK, MASK]))
    corpus = SimpleNamespace(
        header={"dataset": "rsna"}, images=generator.integers(0, 256, (10, 64, 64), dtype=np.uint8),
        masks=lambda row, kind: {"effusion": MASK, "scar": MASK} if kind == "pathology" else {"trachea": ~MASK},
    )  # fmt: skip
    attention = AttentionMaps(rows, generator.random((3, 75, 4, 4)), generator.random((3, 51, 4, 4)))
    existence = Existence(generator.random((2, 75)), generator.random((2, 51)))
    asked = Question("pneumonia", truth, truth)
    images = explorer_images(corpus, asked, attention, existence, ["pneumonia", "effusion"], ANATOMIES)
    assert [one.title for one in images] == ["rsna 4", "rsna 7"]
    second = images[1]
    np.testing.assert_array_equal(second.image, corpus.images[7])
    np.testing.assert_array_equal(second.pathology_maps["pneumonia"], attention.pathology("pneumonia")[1])
    assert set(second.pathology_truth) == {"pneumonia", "effusion"} and set(second.anatomy_truth) == {"trachea"}
    np.testing.assert_array_equal(second.pathology_truth["pneumonia"], ~MASK)
    assert second.probabilities["effusion"] == existence.pathology[1, PATHOLOGY_INDEX["effusion"]]
    assert explorer_html(images)
