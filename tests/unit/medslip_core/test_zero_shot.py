"""Zero-shot classification: probabilities, class mapping, free text, and an evaluation that never sees test labels."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from medslip_core import zero_shot
from medslip_core.grounding.maps import attention_maps
from medslip_core.metrics import METRICS, ONE_LABEL, TOO_FEW
from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.vocabulary import DATASET_CLASSES, PATHOLOGY_INDEX
from medslip_core.zero_shot import ClassPredictions


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = MedslipConfig(backbone="resnet10t", image_size=32, text_dim=16, hidden_dim=16, decoder_layers=2,
                           decoder_heads=2, feed_forward_dim=16)  # fmt: skip
    tiny = MedslipModel(config)
    tiny.set_books(torch.randn(51, 16), torch.randn(75, 16), "random")
    return tiny.eval()


@pytest.fixture(scope="module")
def corpus():
    generator = np.random.default_rng(0)
    labels = pd.DataFrame(generator.integers(0, 2, (12, 14)).astype(np.float32), columns=list(DATASET_CLASSES["nih"]))
    images = generator.integers(0, 256, (12, 40, 40), dtype=np.uint8)
    return SimpleNamespace(
        images=images,
        take=images.__getitem__,
        manifest=pd.DataFrame({"patient_id": [f"p{i // 2}" for i in range(12)]}),
        labels=lambda classes, rows: labels[classes].to_numpy()[rows],
        header={"dataset": "nih"},
        classes=list(DATASET_CLASSES["nih"]),
        rows=lambda split: np.arange({"test": 8, "validate": 4, "train": 0}[split]),
    )


def predictions(n=120, first=0, seed=0, classes=("Mass", "Nodule")):
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, len(classes))) < 0.4).astype(np.float32)
    prob = np.clip(generator.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    rows = np.arange(n) + first
    return ClassPredictions("nih", tuple(classes), rows, rows // 2 + 10_000, labels, prob.astype(np.float32))


def test_classify_does_not_depend_on_batch_or_order(model, corpus):
    rows = np.array([5, 0, 9, 3, 7])
    found = zero_shot.classify(model, corpus, rows, batch_size=2)
    assert found.pathology.shape == (5, 75) and found.anatomy.shape == (5, 51)
    assert found.pathology.dtype == np.float32 and ((found.pathology > 0) & (found.pathology < 1)).all()
    sorted_rows = zero_shot.classify(model, corpus, np.sort(rows), batch_size=5)
    np.testing.assert_allclose(found.pathology[np.argsort(rows)], sorted_rows.pathology, rtol=1e-4)
    with pytest.raises(ValueError, match="no rows"):
        zero_shot.classify(model, corpus, [])


def test_asking_leaves_every_part_in_the_mode_in_which_it_was(model, corpus):
    asked = deepcopy(model).train()
    asked.trunk.eval()  # as a frozen one is during training
    modes = [part.training for part in asked.modules()]
    zero_shot.classify(asked, corpus, np.arange(2))
    zero_shot.classify_text(asked, corpus, np.arange(2), torch.zeros(1, model.config.text_dim))
    assert [part.training for part in asked.modules()] == modes


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (dict(classnames="pneumonia"), "give a list"),
        (dict(classnames=["pneumonia"], templates="There is {}."), "give a list"),
        (dict(classnames=["pneumonia"], templates=["There is one."]), "no {}"),
    ],
)
def test_classes_in_words_that_cannot_be_meant_are_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        zero_shot.encode_classes(**asked, encode=lambda texts: torch.zeros(len(texts), 8))


def test_a_misspelt_pathology_is_said_before_all_images_are_looked_at(model, corpus, monkeypatch):
    monkeypatch.setattr(zero_shot, "classify", lambda *given: pytest.fail("looked at images"))
    with pytest.raises(ValueError, match="'efusion'.*did you mean 'effusion'"):
        zero_shot.predict_split(model, corpus, "test", classes={"Mass": "efusion"})


def test_a_model_of_other_queries_is_not_answered_by_the_vocabulary_s_columns(model, corpus):
    other = MedslipModel(replace(model.config, pathologies=model.config.pathologies[::-1]))
    for ask in (zero_shot.classify, attention_maps):
        with pytest.raises(ValueError, match="pathologies: it was trained with 75, and the vocabulary has 75 now"):
            ask(other, corpus, [0])


def test_classify_is_the_softmax_of_class_one(model, corpus):
    with torch.no_grad():
        logits = model(model.pixel_values(torch.from_numpy(corpus.images[:1]))).pathology_logits
    odds = (logits[0, :, 1] - logits[0, :, 0]).numpy()
    found = zero_shot.classify(model, corpus, [0])
    np.testing.assert_allclose(found.pathology[0], 1 / (1 + np.exp(-odds)), rtol=1e-4)


def test_classes_map_to_pathologies_by_name(model, corpus):
    rows = np.arange(4)
    existence = zero_shot.classify(model, corpus, rows)
    found = zero_shot.predict_classes(existence, corpus, rows, DATASET_CLASSES["nih"])
    fibrosis = found.classes.index("Fibrosis")
    np.testing.assert_array_equal(
        found.probabilities[:, fibrosis], existence.pathology[:, PATHOLOGY_INDEX["tail_abnorm_obs"]]
    )
    assert list(found.patients) == ["p0", "p0", "p1", "p1"]


def test_labels_of_any_dataset_are_asked_for_by_their_names():
    corpus = SimpleNamespace(
        header={"dataset": "manifest"}, classes=["Pleural Effusion", "edema", "Infiltration", "TB"]
    )
    by_name = {"Pleural Effusion": "effusion", "edema": "edema", "Infiltration": "infiltrate"}
    assert zero_shot.asked_by_name(corpus) == zero_shot.asked_for(corpus) == by_name
    assert zero_shot.asked_for(corpus, {"TB": "disease"}) == {**by_name, "TB": "disease"}
    with pytest.raises(ValueError, match=r"no label \['Tb'\]; there are Pleural Effusion, edema, Infiltration, TB"):
        zero_shot.asked_for(corpus, {"Tb": "disease"})
    with pytest.raises(ValueError, match=r"no pathology \['tuberculosis'\]; there are normal, clear"):
        zero_shot.asked_for(corpus, {"TB": "tuberculosis"})
    corpus.classes = ["TB"]
    assert zero_shot.asked_by_name(corpus) == {}
    with pytest.raises(ValueError, match=r"none of its labels \['TB'\] has the name of a pathology"):
        zero_shot.asked_for(corpus)


def test_free_text_classes_are_means_over_templates():
    table = {"a mass": [1.0, 0.0], "see a mass": [3.0, 2.0], "gas": [0.0, 0.0], "see gas": [0.0, 4.0]}
    found = zero_shot.encode_classes(
        ["a mass", "gas"], lambda texts: torch.tensor([table[text] for text in texts]), ["{}", "see {}"]
    )
    assert found.tolist() == [[2, 1], [0, 2]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(16), r"\[16\]"),
        (torch.zeros(1, 8), r"\[1, 8\]"),
        (torch.zeros(0, 16), r"\[0, 16\]"),
        ("a mass", "a str"),
    ],
)
def test_embeddings_of_another_shape_are_named(model, corpus, given, said):
    with pytest.raises(
        ValueError, match=rf"embeddings are {said}, not a tensor \[C, T=16\] of one class or more: encode_classes"
    ):
        zero_shot.classify_text(model, corpus, [0], given)


def test_images_of_no_corpus_are_taken_as_they_are(model, corpus):
    of_corpus = zero_shot.classify(model, corpus, [0, 1]).pathology
    for images in (corpus.images[:2], list(corpus.images[:2]), torch.from_numpy(corpus.images[:2])):
        np.testing.assert_array_equal(zero_shot.classify(model, images, [0, 1]).pathology, of_corpus)
    with pytest.raises(ValueError, match=r"not uint8 \[H, H\] each"):
        zero_shot.classify(model, corpus.images[0], [0])


def test_free_text_answer_does_not_depend_on_other_questions(model, corpus):
    torch.manual_seed(1)
    unseen, known = torch.randn(2, 16), model.pathology_book[PATHOLOGY_INDEX["mass"]]
    rows = np.arange(3)
    together = zero_shot.classify_text(model, corpus, rows, torch.stack([*unseen, known]))
    alone = zero_shot.classify_text(model, corpus, rows, unseen[:1])
    assert together.shape == (3, 3) and ((together > 0) & (together < 1)).all()
    np.testing.assert_allclose(together[:, :1], alone, rtol=1e-4)
    with torch.no_grad():
        pixels = model.pixel_values(torch.from_numpy(corpus.images[:3]))
        logits = model(pixels, more_pathologies=unseen[:1]).pathology_logits
    np.testing.assert_allclose(alone, logits[:, -1:].softmax(dim=-1)[..., 1], rtol=1e-4)
    assert np.abs(together[:, 0] - together[:, 1]).max() > 1e-4


def test_a_split_is_predicted_and_may_be_empty(model, corpus):
    found = zero_shot.predict_split(model, corpus, "validate", batch_size=3)
    again = zero_shot.predict_classes(
        zero_shot.classify(model, corpus, np.arange(4)), corpus, np.arange(4), DATASET_CLASSES["nih"]
    )
    np.testing.assert_allclose(found.probabilities, again.probabilities, rtol=1e-4)
    nothing = zero_shot.predict_split(model, corpus, "train")
    assert nothing.probabilities.shape == nothing.labels.shape == (0, 14)
    table = zero_shot.evaluate(found, nothing, resamples=5)  # nothing to choose thresholds on
    assert table.query("metric == 'f1'")["value"].isna().all()


def test_classes_asked_for_in_words_keep_rows_and_labels(model, corpus):
    torch.manual_seed(2)
    by_name = zero_shot.predict_split(model, corpus, "test")
    words, sentences = {"Mass": "a lump", "Edema": "wet lungs"}, torch.randn(8, 16)  # two phrases in four templates
    found = zero_shot.predict_in_words(model, corpus, by_name, words, lambda texts: sentences[: len(texts)])
    assert found.classes == ("Mass", "Edema") and found.probabilities.shape == (8, 2)
    np.testing.assert_array_equal(found.labels[:, 1], by_name.labels[:, by_name.classes.index("Edema")])
    nothing = zero_shot.predict_split(model, corpus, "train")
    assert zero_shot.predict_in_words(model, corpus, nothing, words, None).probabilities.shape == (0, 2)
    with pytest.raises(ValueError, match="has no class \['Lump'\]"):
        zero_shot.predict_in_words(model, corpus, by_name, {"Lump": "a lump"}, None)


def test_evaluate_against_scikit_learn():
    test, validation = predictions(), predictions(first=1000, seed=1)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 1000}))
    table = zero_shot.evaluate(test, validation, resamples=100).set_index(["class", "metric"])
    assert len(table) == 3 * len(METRICS)
    expected = [roc_auc_score(test.labels[:, c], test.probabilities[:, c]) for c in range(2)]
    assert table.loc[("Mass", "auroc"), "value"] == pytest.approx(expected[0])
    assert table.loc[("macro", "auroc"), "value"] == pytest.approx(np.mean(expected))
    row = table.loc[("Nodule", "f1")]
    assert row["value"] == pytest.approx(f1_score(test.labels[:, 1], test.probabilities[:, 1] >= row["threshold"]))
    ends = table.drop("ece", level="metric")
    assert (ends["low"] <= ends["value"]).all() and (ends["value"] <= ends["high"]).all()
    without = table.xs("ece", level="metric")
    assert without["value"].notna().all() and without[["low", "high"]].isna().all(axis=None), "resampling biases it"
    assert table.loc[("Mass", "auroc"), "n"] == 120
    assert table.loc[("Mass", "auroc"), "positives"] == test.labels[:, 0].sum()


def test_thresholds_do_not_see_the_test_set():
    validation = predictions(first=1000, seed=1)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 1000}))
    tables = [zero_shot.evaluate(predictions(seed=seed), validation, resamples=5) for seed in (0, 2)]
    pd.testing.assert_series_equal(tables[0]["threshold"], tables[1]["threshold"])
    assert (tables[0]["value"] != tables[1]["value"]).any()


def test_evaluate_does_not_depend_on_order():
    test, validation = predictions(), predictions(first=1000, seed=1)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 1000}))
    order = np.random.default_rng(0).permutation(len(test.rows))
    shuffled = ClassPredictions(test.dataset, test.classes, test.rows[order], test.patients[order],
                                test.labels[order], test.probabilities[order])  # fmt: skip
    tables = [zero_shot.evaluate(one, validation, resamples=30) for one in (test, shuffled)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)


def test_overlap_of_test_and_validation_raises():
    test = predictions()
    with pytest.raises(ValueError, match="share 120 rows"):
        zero_shot.evaluate(test, test)
    with pytest.raises(ValueError, match="share 60 patients, e.g. 10000"):
        zero_shot.evaluate(test, ClassPredictions(**(vars(predictions(first=500)) | {"patients": test.patients})))
    with pytest.raises(ValueError, match="same classes"):
        zero_shot.evaluate(test, predictions(first=1000, classes=("Mass", "Hernia")))


def test_class_with_one_label_is_nan_with_reason_and_left_out_of_macro():
    test, validation = predictions(), predictions(first=2000)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 5000}))
    test.labels[:, 1] = 0
    test.labels[:10, 0] = np.nan
    table = zero_shot.evaluate(test, validation, resamples=20).set_index(["class", "metric"])
    assert np.isnan(table.loc[("Nodule", "auroc"), "value"]) and table.loc[("Nodule", "auroc"), "note"] == ONE_LABEL
    assert table.loc[("macro", "auroc"), "value"] == table.loc[("Mass", "auroc"), "value"]
    assert table.loc[("macro", "auroc"), "note"] == "mean of 1 of 2 classes"
    assert table.loc[("Mass", "auroc"), "n"] == 110


def test_n_and_positives_are_images_of_a_mean_too():
    test, validation = predictions(), predictions(first=2000)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 5000}))
    test.labels[:] = 0
    test.labels[:20], test.labels[:30, 1] = 1, 1  # 20 images show both
    test.labels[-10:], test.labels[-15:, 0] = np.nan, np.nan
    table = zero_shot.evaluate(test, validation, resamples=5).set_index(["class", "metric"])
    told = table.xs("auroc", level="metric")[["n", "positives"]]
    assert told.to_numpy().tolist() == [[105, 20], [110, 30], [110, 30]]


def test_a_class_of_few_patients_has_no_interval_nor_has_a_mean_that_it_is_in():
    test, validation = predictions(), predictions(first=2000)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 5000}))
    test.labels[:, 1] = np.arange(120) < 18  # two images of a patient: nine of them
    table = zero_shot.evaluate(test, validation, resamples=20).set_index(["class", "metric"])
    for name, note in (("Nodule", TOO_FEW), ("macro", f"mean of 2 of 2 classes; {TOO_FEW}")):
        row = table.loc[(name, "auroc")]
        assert row["note"] == note and row["value"] > 0 and np.isnan(row["low"]) and np.isnan(row["high"])
        assert table.loc[(name, "specificity"), "low"] > 0, "those who do not show it are many"
    assert table.loc[("Mass", "auroc"), "low"] > 0
    test.labels[:20, 1] = 1
    table = zero_shot.evaluate(test, validation, resamples=20).set_index(["class", "metric"])
    assert table.loc[(["Nodule", "macro"], "auroc"), "low"].notna().all()
    test.labels[:, 1] = 0
    table = zero_shot.evaluate(test, validation, resamples=20).set_index(["class", "metric"])
    assert table.loc[("macro", "auroc"), "low"] > 0, "a class without a value is not in the mean"


def test_draws_without_a_class_do_not_count_for_the_mean_that_it_is_in(monkeypatch):
    """The other class is told perfectly: without the rare one, a draw's mean would be 1."""
    monkeypatch.setattr("medslip_core.metrics.LEAST_PATIENTS", 1)
    test, validation = predictions(), predictions(first=2000)
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 5000}))
    test.labels[:, 0] = test.probabilities[:, 0] > 0.5
    test.labels[:, 1] = 0
    test.labels[np.argsort(test.probabilities[:, 1])[40], 1] = 1  # told badly, and in two draws of three only
    table = zero_shot.evaluate(test, validation, resamples=300).set_index(["class", "metric"])
    macro = table.loc[("macro", "auroc")]
    assert table.loc[("Mass", "auroc"), "value"] == 1 and macro["high"] < 0.8 and macro["low"] < macro["value"] < 0.8


def test_an_interval_needs_draws():
    with pytest.raises(ValueError, match="resamples: 0 draws give no interval"):
        zero_shot.evaluate(predictions(), predictions(first=2000, seed=1), resamples=0)


def test_a_single_class_has_no_macro():
    test, validation = predictions(classes=("Mass",)), predictions(first=2000, classes=("Mass",))
    validation = ClassPredictions(**(vars(validation) | {"patients": validation.patients + 5000}))
    assert set(zero_shot.evaluate(test, validation, resamples=5)["class"]) == {"Mass"}


def test_logits_passed_for_probabilities_raise():
    one = vars(predictions())
    with pytest.raises(ValueError, match="not logits"):
        ClassPredictions(**(one | {"probabilities": one["probabilities"] * 5 - 2}))
    with pytest.raises(ValueError, match="must be \\[rows, classes\\]"):
        ClassPredictions(**(one | {"labels": one["labels"][:5]}))
