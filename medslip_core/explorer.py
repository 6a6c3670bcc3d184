"""The interactive grounding figure: choose image, pathology and anatomy; see heat map, truth, hit or miss.

One block of HTML with its own style and script, no library and no request, so that it works from `file://`, prints,
fits a phone and takes the keyboard. Hits and maxima are found here, from the maps as they are; the script only draws.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medslip_core.grounding.maps import AttentionMaps, stretched, upsample
from medslip_core.grounding.scores import pointing_game
from medslip_core.grounding.truth import Question
from medslip_core.naming import readable
from medslip_core.vocabulary import PATHOLOGY_INDEX
from medslip_core.zero_shot import Existence

IMAGE_PX = 224
CANVAS_PX = 448
TRUTH_PX = 96
LEVELS = 16
"""Of a map in 8 bits: so many for each factor of e below its maximum, to 1e-7 of it, as products of two are drawn."""

JPEG_QUALITY = 65


@dataclass(frozen=True)
class ExplorerImage:
    """One image of the explorer; all images carry maps of the same pathologies and anatomies.

    title: short; image: [S, S] uint8; maps: name -> [h, w] >= 0; truth: name -> [S, S] bool, only where it is known to
    be present; probabilities: pathology -> [0, 1], may be empty.
    """

    title: str
    image: np.ndarray
    pathology_maps: Mapping[str, np.ndarray]
    anatomy_maps: Mapping[str, np.ndarray]
    pathology_truth: Mapping[str, np.ndarray]
    anatomy_truth: Mapping[str, np.ndarray]
    probabilities: Mapping[str, float]


def explorer_images(
    corpus,
    question: Question,
    attention: AttentionMaps,
    existence: Existence,
    pathologies: Sequence[str],
    anatomies: Sequence[str],
) -> list[ExplorerImage]:
    """The first test images of a question, with their maps, all truth that is known of them, and the model's answers.

    Args:
        attention: of at least the images' rows; existence: what `classify` returned for the first n test rows of the
            question: so many images there will be.
        pathologies, anatomies: what can be chosen.
    """
    images = []
    for i, row in enumerate(question.test.rows[: len(existence.pathology)]):
        found = attention.take([row])
        truth = corpus.masks(row, "pathology") | {question.query: question.test.masks[i]}
        known = corpus.masks(row, "anatomy")
        images.append(
            ExplorerImage(
                title=f"{corpus.header['dataset']} {row}",
                image=corpus.images[row],
                pathology_maps={name: found.pathology(name)[0] for name in pathologies},
                anatomy_maps={name: found.anatomy(name)[0] for name in anatomies},
                pathology_truth={name: mask for name, mask in truth.items() if name in pathologies},
                anatomy_truth={name: mask for name, mask in known.items() if name in anatomies},
                probabilities={name: float(existence.pathology[i, PATHOLOGY_INDEX[name]]) for name in pathologies},
            )
        )
    return images


def explorer_html(images: Sequence[ExplorerImage], element_id: str = "grounding-explorer") -> str:
    """The block, ready for `IPython.display.HTML` or a file; about 140 KB for 12 images and 12 queries of 14 x 14.

    Args:
        images: at least one; the first one is shown first.
        element_id: must differ between two blocks on a page.

    Raises:
        ValueError: if the images carry maps of different names.
    """
    pathologies, anatomies = list(images[0].pathology_maps), list(images[0].anatomy_maps)
    for one in images:
        if (list(one.pathology_maps), list(one.anatomy_maps)) != (pathologies, anatomies):
            raise ValueError(f"image {one.title!r} has maps of other names than {images[0].title!r}")
    data = {
        "pathologies": [readable(name) for name in pathologies],
        "anatomies": [readable(name) for name in anatomies],
        "grid": list(np.shape(next(iter(images[0].pathology_maps.values())))),
        "truthPx": TRUTH_PX,
        "levels": LEVELS,
        "images": [_encode(one, pathologies, anatomies) for one in images],
    }
    as_script = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    first = html.escape(images[0].title)
    filled = _TEMPLATE.replace("__ID__", element_id).replace("__CANVAS__", str(CANVAS_PX))
    return filled.replace("__TITLE__", first).replace("__DATA__", as_script)


def _encode(one: ExplorerImage, pathologies: list[str], anatomies: list[str]) -> dict:
    maps = np.stack([one.pathology_maps[name] for name in pathologies] + [one.anatomy_maps[name] for name in anatomies])
    largest = maps.max(axis=(1, 2), keepdims=True)
    scaled = np.divide(maps, largest, out=np.ones(maps.shape), where=largest > 0)
    logarithms = np.log(scaled, out=np.full(maps.shape, -np.inf), where=scaled > 0)
    truths = [*map(one.pathology_truth.get, pathologies), *map(one.anatomy_truth.get, anatomies)]
    probabilities = map(one.probabilities.get, pathologies)
    asked = list(_asked(one, pathologies, anatomies))
    return {
        "title": one.title,
        "jpeg": _base64(_jpeg(one.image)),
        "maps": _base64(np.round(255 + LEVELS * logarithms).clip(0).astype(np.uint8).tobytes()),
        "truth": [None if truth is None or not truth.any() else _runs(truth) for truth in truths],
        "prob": [None if prob is None else round(float(prob), 2) for prob in probabilities],
        "hits": [[_hit(heat, truth) for heat, truth in row] for row in asked],
        "peaks": [[_peak(heat) for heat, _ in row] for row in asked],
    }


def _asked(
    one: ExplorerImage, pathologies: list[str], anatomies: list[str]
) -> Iterator[list[tuple[np.ndarray | None, np.ndarray | None]]]:
    """Map and truth of every choice: a row per pathology, then one for "none"; a column per anatomy, then "none".

    The truth of a pathology at an anatomy is what both have in common, or the pathology's where none of the image's
    anatomies is known.
    """
    for name in pathologies:
        heat, truth = one.pathology_maps[name], one.pathology_truth.get(name)
        there = one.anatomy_truth if truth is not None else {}
        yield [
            (heat * one.anatomy_maps[place], truth & there.get(place, False) if there else truth) for place in anatomies
        ] + [(heat, truth)]
    yield [(one.anatomy_maps[place], one.anatomy_truth.get(place)) for place in anatomies] + [(None, None)]


def _hit(heat: np.ndarray | None, truth: np.ndarray | None) -> float | None:
    """The pointing game; None where there is nothing to hit."""
    if heat is None or truth is None or not truth.any():
        return None
    return round(pointing_game(stretched(heat, truth.shape[-1]), truth), 2)


def _peak(heat: np.ndarray | None) -> list[int] | None:
    """Where a map, as it is drawn, has its maximum: (x, y) on the canvas; None for a constant one."""
    if heat is None or heat.min() == heat.max():
        return None
    down, right = divmod(int(stretched(heat, CANVAS_PX).argmax()), CANVAS_PX)
    return [right, down]


def _jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    picture = Image.fromarray(image)
    if max(picture.size) > IMAGE_PX:
        picture = picture.resize((IMAGE_PX, IMAGE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _runs(mask: np.ndarray) -> str:
    """Lengths of runs, outside first, row by row, of the mask at `TRUTH_PX`; in base 36, separated by commas."""
    small = upsample(mask[None], TRUTH_PX)[0] >= 0.5
    edges = np.flatnonzero(np.diff(np.r_[False, small.ravel(), False].astype(np.int8)))
    return ",".join(np.base_repr(length, 36).lower() for length in np.diff(np.r_[0, edges]))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


_TEMPLATE = """
<div id="__ID__" class="grounding-explorer">
<style>
#__ID__ { --ground: #ffffff; --ink: #1a1a1a; --line: #767676; background: var(--ground); color: var(--ink);
  padding: 12px; box-sizing: border-box; max-width: 720px; font: 15px/1.4 system-ui, sans-serif; }
#__ID__ * { box-sizing: border-box; }
html[data-theme="dark"] #__ID__, body[data-jp-theme-light="false"] #__ID__ {
  --ground: #14181e; --ink: #e6e6e6; --line: #9a9a9a; }
@media (prefers-color-scheme: dark) { html:not([data-theme]) body:not([data-jp-theme-light]) #__ID__ {
  --ground: #14181e; --ink: #e6e6e6; --line: #9a9a9a; } }
#__ID__ .panes { display: flex; flex-wrap: wrap; gap: 16px; }
#__ID__ .picture { flex: 1 1 300px; max-width: 400px; min-width: 0; }
#__ID__ canvas { display: block; width: 100%; height: auto; background: #000; }
#__ID__ .choices { flex: 1 1 220px; min-width: 0; }
#__ID__ label { display: block; margin: 0 0 10px; color: var(--ink); }
#__ID__ select { display: block; width: 100%; padding: 6px; font: inherit; color: var(--ink);
  background: var(--ground); border: 1px solid var(--line); border-radius: 4px; }
#__ID__ select:focus-visible, #__ID__ input:focus-visible { outline: 3px solid #0173b2; outline-offset: 1px; }
#__ID__ .says { margin: 10px 0 0; min-height: 4.2em; color: var(--ink); }
#__ID__ .key { display: inline-block; width: 14px; height: 10px; border: 3px solid #56b4e9; background: #000; }
</style>
<div class="panes">
<div class="picture"><canvas width="__CANVAS__" height="__CANVAS__" role="img" aria-label="__TITLE__"></canvas></div>
<div class="choices">
<label>Image <select class="image"></select></label>
<label>Pathology <select class="pathology"></select></label>
<label>Anatomy <select class="anatomy"></select></label>
<label><input type="checkbox" class="heat" checked> heat map (&#9675; rings its maximum)</label>
<label><input type="checkbox" class="truth" checked> truth <span class="key" aria-hidden="true"></span></label>
<p class="says" aria-live="polite"></p>
<noscript>Choosing an image and a map needs JavaScript.</noscript>
</div>
</div>
<script>
(function () {
  "use strict";
  var data = __DATA__;
  var root = document.getElementById("__ID__");
  var find = function (name) { return root.querySelector(name); };
  var canvas = find("canvas"), size = canvas.width, pen = canvas.getContext("2d");
  var choose = { image: find(".image"), pathology: find(".pathology"), anatomy: find(".anatomy"),
                 heat: find(".heat"), truth: find(".truth") };
  var P = data.pathologies.length, A = data.anatomies.length, h = data.grid[0], w = data.grid[1];
  // inferno, from black to pale yellow
  var colours = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21],
                 [250, 193, 39], [252, 255, 164]];

  function fill(select, names, chosen) {
    names.forEach(function (name, i) { select.add(new Option(name, i, i === chosen, i === chosen)); });
  }
  function bytes(text) { return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); }); }

  function heatOf(one, p, a) {  // product of the chosen maps, stretched to 0..1; null if nothing is chosen
    if (p === P && a === A) { return null; }
    var maps = bytes(one.maps), n = h * w, heat = new Float64Array(n);
    for (var i = 0; i < n; i++) {
      var level = (p < P ? maps[p * n + i] - 255 : 0) + (a < A ? maps[(P + a) * n + i] - 255 : 0);
      heat[i] = Math.exp(level / data.levels);
    }
    var low = Math.min.apply(null, heat), high = Math.max.apply(null, heat);
    return heat.map(function (value) { return high > low ? (value - low) / (high - low) : 0; });
  }
  function at(heat, x, y) {  // bilinear between patch centres
    var u = Math.min(Math.max((x + 0.5) * w / size - 0.5, 0), w - 1), i = Math.min(Math.floor(u), Math.max(w - 2, 0));
    var v = Math.min(Math.max((y + 0.5) * h / size - 0.5, 0), h - 1), j = Math.min(Math.floor(v), Math.max(h - 2, 0));
    var right = Math.min(i + 1, w - 1), down = Math.min(j + 1, h - 1), s = u - i, t = v - j;
    return (heat[j * w + i] * (1 - s) + heat[j * w + right] * s) * (1 - t) +
           (heat[down * w + i] * (1 - s) + heat[down * w + right] * s) * t;
  }
  function drawHeat(heat) {
    var shown = pen.getImageData(0, 0, size, size);
    for (var y = 0; y < size; y++) {
      for (var x = 0; x < size; x++) {
        // by the square root: an attention map is a peak of one cell and little beside it
        var value = at(heat, x, y), k = (y * size + x) * 4, strong = Math.sqrt(value), opaque = 0.75 * strong;
        var place = (strong + 0.3) / 1.3 * (colours.length - 1);
        var from = Math.min(Math.floor(place), colours.length - 2), part = place - from;
        for (var c = 0; c < 3; c++) {
          var colour = colours[from][c] * (1 - part) + colours[from + 1][c] * part;
          shown.data[k + c] = shown.data[k + c] * (1 - opaque) + colour * opaque;
        }
      }
    }
    pen.putImageData(shown, 0, 0);
  }
  function drawRing(x, y) {  // hollow, so that what it marks stays to be seen
    [["#000", 5], ["#fff", 2.5]].forEach(function (line) {
      pen.strokeStyle = line[0]; pen.lineWidth = line[1];
      pen.beginPath(); pen.arc(x, y, 9, 0, 2 * Math.PI); pen.stroke();
    });
  }
  function region(runs) {
    var inside = new Uint8Array(data.truthPx * data.truthPx), position = 0, value = 0;
    runs.split(",").forEach(function (run) {
      var length = parseInt(run, 36);
      inside.fill(value, position, position + length);
      position += length; value = 1 - value;
    });
    return inside;
  }
  function truthOf(one, p, a) {  // what the answer is measured by; null where nothing is
    if (one.hits[p][a] === null) { return null; }
    var whole = p < P ? one.truth[p] : null, place = a < A ? one.truth[P + a] : null;
    if (!whole || !place) { return region(whole || place); }
    var there = region(place);
    return region(whole).map(function (value, i) { return value & there[i]; });
  }
  function drawTruth(inside) {  // the border between inside and outside
    var n = data.truthPx;
    var is = function (x, y) { return x >= 0 && y >= 0 && x < n && y < n ? inside[y * n + x] : 0; }, step = size / n;
    pen.beginPath();
    for (var y = 0; y <= n; y++) {
      for (var x = 0; x <= n; x++) {
        if (is(x, y) !== is(x - 1, y)) { pen.moveTo(x * step, y * step); pen.lineTo(x * step, (y + 1) * step); }
        if (is(x, y) !== is(x, y - 1)) { pen.moveTo(x * step, y * step); pen.lineTo((x + 1) * step, y * step); }
      }
    }
    pen.lineCap = "square";
    [["#000", 6], ["#56b4e9", 3]].forEach(function (line) {
      pen.strokeStyle = line[0]; pen.lineWidth = line[1]; pen.stroke();
    });
  }
  function describe(one, p, a) {
    var asked = p < P ? data.pathologies[p] + (a < A ? " at " + data.anatomies[a] : "") :
                a < A ? data.anatomies[a] : "nothing";
    var hit = one.hits[p][a], text = "Asked for: " + asked + ".";
    if (p < P && one.prob[p] !== null) {
      text += " Probability of " + data.pathologies[p] + ": " + one.prob[p].toFixed(2) + ".";
    }
    if (p === P && a === A) { return text; }
    if (hit === null) { return text + " No such region is marked in this image."; }
    return text + (hit >= 0.5 ? " \\u2713 Hit: the maximum lies inside the truth." :
                                " \\u2717 Miss: the maximum lies outside the truth.");
  }
  function draw() {
    var one = data.images[+choose.image.value], p = +choose.pathology.value, a = +choose.anatomy.value;
    var picture = new Image();
    picture.onload = function () {
      if (picture.wanted !== draw.latest) { return; }
      pen.drawImage(picture, 0, 0, size, size);
      var heat = choose.heat.checked ? heatOf(one, p, a) : null, truth = truthOf(one, p, a), peak = one.peaks[p][a];
      if (heat) { drawHeat(heat); }
      if (truth && choose.truth.checked) { drawTruth(truth); }
      if (heat && peak) { drawRing(peak[0], peak[1]); }
    };
    picture.wanted = draw.latest = (draw.latest || 0) + 1;
    picture.src = "data:image/jpeg;base64," + one.jpeg;
    var says = describe(one, p, a);
    find(".says").textContent = says;
    canvas.setAttribute("aria-label", "Radiograph: " + one.title + ". " + says);
  }
  fill(choose.image, data.images.map(function (one, i) { return (i + 1) + ": " + one.title; }), 0);
  var first = data.images[0].truth.findIndex(function (truth, i) { return truth && i < P; });
  fill(choose.pathology, data.pathologies.concat("(none)"), first < 0 ? 0 : first);
  fill(choose.anatomy, data.anatomies.concat("(any)"), A);
  Object.keys(choose).forEach(function (name) { choose[name].addEventListener("change", draw); });
  draw();
})();
</script>
</div>
"""
