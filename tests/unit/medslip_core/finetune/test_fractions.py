"""Label fractions: nested, stratified, by patient, written and read back; splits that cannot be used."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from medslip_core.finetune.fractions import (
    Split,
    SplitError,
    corpus_split,
    empty_classes,
    read_split,
    take_fraction,
)


def corpus_of(patients: int, images_each: int = 2, test: int = 20, validate: int = 10) -> SimpleNamespace:
    """`patients` to train on and some to validate and test on, several images of each."""
    names = [f"p{i:04d}" for i in range(patients + validate + test)]
    parts = ["train"] * patients + ["validate"] * validate + ["test"] * test
    manifest = pd.DataFrame({"patient_id": np.repeat(names, images_each), "split": np.repeat(parts, images_each)})
    manifest["image_id"] = [f"{patient}_{i}" for i, patient in enumerate(manifest["patient_id"])]
    return SimpleNamespace(folder="a corpus", manifest=manifest)


@pytest.fixture
def corpus() -> SimpleNamespace:
    return corpus_of(400)


@pytest.fixture
def positives(corpus) -> np.ndarray:
    """Three classes, common to rare, per patient."""
    patients = corpus.manifest["patient_id"].nunique()
    draw = np.random.default_rng(0).random((patients, 3)) < [0.4, 0.1, 0.03]
    return np.repeat(draw, 2, axis=0)


def trained(split: Split) -> set[str]:
    return set(split.table.loc[split.table["split"] == "train", "patient_id"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fractions_are_nested_whole_patients_and_leave_the_rest_alone(corpus, positives, seed):
    whole = corpus_split(corpus)
    splits = [take_fraction(whole, positives, fraction, seed) for fraction in (0.01, 0.1, 0.5, 1.0)]
    assert [len(trained(split)) for split in splits] == [4, 40, 200, 400]
    for small, large in zip(splits, splits[1:], strict=False):
        assert trained(small) < trained(large)
    for split in splits:
        assert len(split.rows("train")) == 2 * len(trained(split)), "all images of a patient, or none"
        for part in ("validate", "test"):
            np.testing.assert_array_equal(split.rows(part), whole.rows(part))
    assert splits[-1].sha256 == whole.sha256


def test_every_stratum_has_its_share(corpus, positives):
    whole = corpus_split(corpus)
    of_patient = dict(zip(corpus.manifest["patient_id"], positives, strict=True))
    order = np.argsort(positives[whole.rows("train")].sum(axis=0))  # rarest first

    def strata(patients):
        shown = np.array([of_patient[patient][order] for patient in patients])
        stratum = np.where(shown.any(axis=1), shown.argmax(axis=1), 3)
        return np.bincount(stratum, minlength=4)

    in_all = strata(trained(whole))
    for seed in range(5):
        for fraction in (0.1, 0.3):
            held = strata(trained(take_fraction(whole, positives, fraction, seed)))
            assert (np.abs(held - fraction * in_all) <= 2).all()


def test_another_seed_takes_other_patients_and_the_same_seed_the_same(corpus, positives):
    whole = corpus_split(corpus)
    again = [take_fraction(whole, positives, 0.1, seed) for seed in (0, 0, 1)]
    assert again[0].sha256 == again[1].sha256 != again[2].sha256


def test_the_order_of_the_rows_does_not_matter(corpus, positives):
    shuffled = np.random.default_rng(1).permutation(len(corpus.manifest))
    other = SimpleNamespace(folder="a corpus", manifest=corpus.manifest.iloc[shuffled].reset_index(drop=True))
    one = take_fraction(corpus_split(corpus), positives, 0.1, 0)
    two = take_fraction(corpus_split(other), positives[shuffled], 0.1, 0)
    assert one.sha256 == two.sha256


def test_a_fraction_of_nobody_is_an_error_with_a_remedy(corpus, positives):
    with pytest.raises(SplitError, match=r"0.100% of 400 training patients is nobody: choose at least 0.1[23]%"):
        take_fraction(corpus_split(corpus), positives, 0.001, 0)


def test_classes_with_one_label_only_are_named():
    labels = np.array([[1, 0, np.nan, 1], [0, 0, np.nan, 1], [0, 0, 1, 1]], np.float32)
    assert empty_classes(labels, ["both", "negative", "one known", "positive"]) == ["negative", "one known", "positive"]


def test_a_written_split_reads_back_and_its_hash_is_that_of_the_file(corpus, positives, tmp_path):
    split = take_fraction(corpus_split(corpus), positives, 0.1, 0)
    path = tmp_path / "splits" / "one.csv"
    split.write(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == split.sha256
    again = read_split(path, corpus)
    assert again.sha256 == split.sha256
    np.testing.assert_array_equal(again.rows("train"), split.rows("train"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"split": "part"}), r"no column \['split'\]"),
        (lambda t: t.assign(image_id=["nowhere", *t["image_id"][1:]]), "1 images are not in a corpus, e.g. 'nowhere'"),
        (lambda t: pd.concat([t, t[:1]]), "stands there twice"),
        (lambda t: t.assign(split=["test", *t["split"][1:]]), "patient p0000 stands in two parts: .*Keep a patient's"),
        (lambda t: t.assign(split=["valid", *t["split"][1:]]), "'valid' is none of train, validate, test"),
        (lambda t: t[t["split"] != "validate"], "no image in the part 'validate'.*split file"),
    ],
)
def test_a_split_file_that_cannot_be_used(corpus, tmp_path, change, message):
    path = tmp_path / "split.csv"
    change(corpus.manifest[["image_id", "split"]]).to_csv(path, index=False)
    with pytest.raises(SplitError, match=message):
        read_split(path, corpus)
