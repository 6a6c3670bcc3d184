"""The phantom's image side: determinism, exact truth, and physics that a reader of radiographs expects."""

from dataclasses import replace

import numpy as np
import pytest

from data_prep.phantom import CATALOGUE, POPULATIONS, Finding, draw_patient, draw_study, render
from data_prep.phantom.pathology import draw_findings
from data_prep.phantom.triplets import HEALTHY, HEALTHY_OF_SIDE, study_triplets
from medslip_core.vocabulary import ANATOMY_INDEX, DATASET_CLASSES, PATHOLOGY_INDEX

SIZE = 160


@pytest.fixture(scope="module")
def studies():
    return [draw_study(POPULATIONS["nih"], 3, number, size_px=SIZE) for number in range(24)]


def study_with(monkeypatch, *findings, number=0, **population):
    """The same patient and exposure, with chosen findings."""
    monkeypatch.setattr(render, "draw_findings", lambda *_: findings)
    return draw_study(replace(POPULATIONS["nih"], ap_share=0.0, **population), 5, number, size_px=SIZE)


def make(kind, side, severity=0.9, anatomies=("parenchymal",), **attributes):
    return Finding(kind, CATALOGUE[kind].pathology, anatomies, severity, {"side": side, "seed": 4, **attributes})


@pytest.mark.parametrize("name", POPULATIONS)
def test_same_arguments_give_the_same_bytes(name):
    first, second = (draw_study(POPULATIONS[name], 7, 3, 1, size_px=SIZE) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes() and first.triplets == second.triplets
    assert all((first.anatomy_masks[a] == second.anatomy_masks[a]).all() for a in first.anatomy_masks)
    assert first.findings == second.findings


def test_masks_do_not_change_the_image():
    plain = draw_study(POPULATIONS["nih"], 7, 3, size_px=SIZE, with_masks=False)
    masked = draw_study(POPULATIONS["nih"], 7, 3, size_px=SIZE)
    assert plain.image.tobytes() == masked.image.tobytes()
    assert plain.anatomy_masks == {} and plain.finding_masks == [] and plain.pathology_masks == {}


def test_seed_patient_study_and_population_each_make_another_image():
    base = ("nih", 0, 0, 0)
    others = [("mimic", 0, 0, 0), ("nih", 1, 0, 0), ("nih", 0, 1, 0), ("nih", 0, 0, 1)]
    image = lambda name, *numbers: draw_study(POPULATIONS[name], *numbers, size_px=64, with_masks=False).image  # noqa: E731
    assert len({image(*arguments).tobytes() for arguments in [base, *others]}) == 5


def test_images_and_masks_have_the_promised_form(studies):
    for study in studies:
        assert study.image.shape == (SIZE, SIZE) and study.image.dtype == np.uint8
        assert study.image.std() > 25 and study.view in ("PA", "AP") and study.sex in ("F", "M")
        assert 0.5 < study.pixel_spacing_mm * SIZE / 370 < 1.5
        assert len(study.finding_masks) == len(study.findings)
        for mask in [*study.finding_masks, *study.anatomy_masks.values(), *study.pathology_masks.values()]:
            assert mask.shape == (SIZE, SIZE) and mask.dtype == bool
        assert set(study.anatomy_masks) == set(ANATOMY_INDEX) - {"unspecified", "other"}


def test_triplets_stay_in_the_vocabulary_and_never_contradict(studies):
    for study in studies:
        pairs = [(anatomy, pathology) for anatomy, pathology, _ in study.triplets]
        assert len(pairs) == len(set(pairs))
        assert {a for a, _ in pairs} <= set(ANATOMY_INDEX) and {p for _, p in pairs} <= set(PATHOLOGY_INDEX)
        present = {p for _, p, state in study.triplets if state == 1}
        assert {f.pathology for f in study.findings} <= present
        assert set(study.pathology_masks) <= present
        for nih_class in DATASET_CLASSES["nih"].values():  # every class is stated, one way or the other
            assert any(p == nih_class for _, p in pairs)


def test_absence_is_stated_on_the_other_side_only():
    effusion = make("effusion", "left", anatomies=("left_pleural",), size_mm=60)
    truth = {(a, p): state for a, p, state in study_triplets([effusion])}
    assert truth["left_pleural", "effusion"] == 1 and truth["right_pleural", "effusion"] == 0
    assert ("pleural_unspec", "effusion") not in truth
    assert truth["left_costophrenic", "blunt"] == 1 and truth["right_costophrenic", "sharp"] == 1
    assert truth["right_lung_unspec", "clear"] == 1 and ("left_lung_unspec", "clear") not in truth


def test_sides_are_the_patients(studies):
    for study in studies:
        columns = {name: np.nonzero(study.anatomy_masks[f"{name}_lung_unspec"])[1].mean() for name in ("left", "right")}
        assert columns["right"] < columns["left"]  # the patient's right lies on the left of the image


def test_lungs_are_dark_and_the_mediastinum_bright(studies):
    darker = []
    for study in studies:
        lungs, middle = study.anatomy_masks["pulmonary"], study.anatomy_masks["mediastinal"]
        darker.append(study.image[middle & ~lungs].mean() - study.image[lungs & ~middle].mean())
    assert np.mean(darker) > 40 and min(darker) > 0


@pytest.mark.parametrize(
    ("finding", "brighter"),
    [
        (make("effusion", "left", size_mm=80), True),
        (make("pneumonia", "right", lobe="lower", across=0.5, down=0.7, size_mm=80), True),
        (make("consolidation", "right", lobe="upper", across=0.5, down=0.35, size_mm=80), True),
        (make("mass", "right", lobe="upper", across=0.6, down=0.35, size_mm=50), True),
        (make("thickening", "left", size_mm=14), True),
        (make("pneumothorax", "left", size_mm=45), False),
    ],
    ids=lambda value: value.kind if isinstance(value, Finding) else "",
)
def test_a_finding_changes_the_image_where_its_mask_says(monkeypatch, finding, brighter):
    healthy = study_with(monkeypatch, collimated_share=0.0).image.astype(float)
    study = study_with(monkeypatch, finding, collimated_share=0.0)
    change, mask = study.image.astype(float) - healthy, study.finding_masks[0]
    half = slice(SIZE // 2, None) if finding.attributes["side"] == "left" else slice(0, SIZE // 2)
    assert mask[:, half].sum() > 0.8 * mask.sum() > 0
    outside = ~mask
    assert (
        (change[mask].mean() - change[outside].mean() > 6)
        if brighter
        else (change[mask].mean() - change[outside].mean() < -6)
    )
    assert (study.pathology_masks[finding.pathology] == mask).all()


def test_cardiomegaly_widens_the_heart(monkeypatch):
    width = lambda s: np.flatnonzero(s.anatomy_masks["heart_size"].any(0)).size  # noqa: E731
    small = study_with(monkeypatch)
    large = study_with(monkeypatch, make("cardiomegaly", "both", anatomies=("heart_size",), size_percent=64.0))
    assert width(large) > 1.2 * width(small)


@pytest.mark.parametrize(
    ("kind", "near", "far"),
    [("central line", "other", "svc"), ("picc", "other", "cavoatrial_junction"),
     ("dialysis catheter", "other", "right_atrium"), ("pacemaker", None, "right_ventricle")],
)  # fmt: skip
def test_where_a_device_ends_shows_at_its_tip_alone(monkeypatch, kind, near, far):
    """A line that ends too early, or a nerve stimulator, is the same device elsewhere and reaches its place not."""
    other, place = (kind, near) if near else ("nerve stimulator", "unspecified")
    early = make(other, "left", anatomies=(place,))
    short = study_with(monkeypatch, early)
    whole = study_with(monkeypatch, make(kind, "left", anatomies=(far,)))
    there = whole.anatomy_masks[far]
    assert (whole.finding_masks[0] & there).any() and not (short.finding_masks[0] & there).any()
    assert (whole.finding_masks[0] & short.finding_masks[0]).sum() > 0.3 * short.finding_masks[0].sum()


def test_severity_makes_a_finding_plainer(monkeypatch):
    healthy = study_with(monkeypatch).image.astype(float)
    contrast = []
    for severity in (0.1, 0.5, 1.0):
        at = {"lobe": "lower", "across": 0.5, "down": 0.7, "size_mm": 70}
        study = study_with(monkeypatch, make("pneumonia", "right", severity, **at))
        change = study.image - healthy
        contrast.append(change[study.finding_masks[0]].mean())
    assert contrast[0] < contrast[1] < contrast[2]


def test_rows_of_the_catalogue_fit_together():
    names, healthy = list(CATALOGUE), {*HEALTHY.values(), *HEALTHY_OF_SIDE.values()}
    for number, (name, kind) in enumerate(CATALOGUE.items()):
        assert set(kind.raises) <= set(names[number + 1 :]), f"{name} raises what is drawn before it"
        assert {kind.pathology, *kind.implies} <= set(PATHOLOGY_INDEX) and set(kind.rules_out) <= healthy, name
        assert bool(kind.anatomies) != bool(kind.tips), f"{name} needs anatomies or tips"


def test_every_kind_can_be_drawn_and_leaves_a_mark(monkeypatch):
    seen = {}
    for number in range(400):
        patient = draw_patient(POPULATIONS["mimic"], 9, number)
        for finding in draw_findings(POPULATIONS["mimic"], patient, "AP", np.random.default_rng(number)):
            seen.setdefault(finding.kind, finding)
    assert set(seen) == set(CATALOGUE)
    for first in range(0, len(seen), 6):
        some = list(seen.values())[first : first + 6]
        study = study_with(monkeypatch, *some, number=2, field_of_view_mm=(420.0, 0.0))
        assert all(mask.any() for mask in study.finding_masks), [f.kind for f in some]


def test_chronic_findings_stay_with_the_patient():
    population, rng = POPULATIONS["mimic"], np.random.default_rng(0)
    for number in range(30):
        patient = draw_patient(population, 1, number)
        visits = [draw_findings(population, patient, "PA", rng) for _ in range(2)]
        chronic = [[f for f in visit if CATALOGUE[f.kind].chronic] for visit in visits]
        assert chronic[0] == chronic[1]


@pytest.mark.parametrize(
    ("name", "pathology", "low", "high"), [("rsna", "pneumonia", 0.25, 0.5), ("siim", "pneumothorax", 0.22, 0.42)]
)
def test_prevalence_of_the_single_class_sets(name, pathology, low, high):
    population = POPULATIONS[name]
    found = []
    for number in range(800):
        patient, rng = draw_patient(population, 0, number), np.random.default_rng(number)
        found.append(pathology in {f.pathology for f in draw_findings(population, patient, "PA", rng)})
    assert low < np.mean(found) < high


@pytest.mark.parametrize(("name", "least"), [("nih", 0.045), ("mimic", 0.06)])
def test_every_nih_class_is_common_enough(name, least):
    population, counts = POPULATIONS[name], dict.fromkeys(DATASET_CLASSES["nih"].values(), 0)
    for number in range(1500):
        patient, rng = draw_patient(population, 0, number), np.random.default_rng(number)
        for pathology in {f.pathology for f in draw_findings(population, patient, "PA", rng)} & set(counts):
            counts[pathology] += 1
    assert min(counts.values()) > least * 1500, counts


@pytest.mark.parametrize("kind", ["effusion", "edema", "pacemaker", "picc"])
def test_a_population_with_one_finding_has_no_other(kind):
    alone = replace(
        POPULATIONS["nih"], prevalence=dict.fromkeys(CATALOGUE, 0.0) | {kind: 1.0}, healthy_share=0.0, ap_share=0.0
    )
    drawn = [draw_study(alone, 0, patient, 0, 64) for patient in range(8)]
    assert {finding.kind for study in drawn for finding in study.findings} == {kind}
    assert all(len(study.findings) == len(study.finding_masks) <= 1 for study in drawn)


def test_a_visit_has_the_same_finding_at_any_size():
    small, large = (draw_study(POPULATIONS["nih"], 0, 3, 1, size_px, False) for size_px in (64, 128))
    assert small.findings == large.findings and small.findings
