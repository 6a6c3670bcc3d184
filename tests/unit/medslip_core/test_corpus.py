"""Reading a prepared corpus: the label matrix against a naive loop, and files that are not what they should be."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest

from data_prep.corpus import prepare
from medslip_core.corpus import CorpusError, PreparedCorpus, header_digest
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES


@pytest.fixture
def corpus(mimic_layout, tmp_path) -> PreparedCorpus:
    return PreparedCorpus.open(prepare("mimic", mimic_layout, tmp_path / "corpus", image_size_px=16))


def with_triplets(corpus: PreparedCorpus, triplets: pd.DataFrame) -> PreparedCorpus:
    corpus.__dict__["triplets"] = triplets.sort_values("row", kind="stable").reset_index(drop=True)
    corpus.__dict__.pop("_sparse", None)
    return corpus


def random_triplets(count: int, rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "row": generator.integers(0, rows, count).astype(np.int32),
            "anatomy": generator.integers(0, 6, count).astype(np.int8),  # few cells, so that triplets meet in them
            "pathology": generator.integers(60, 66, count).astype(np.int8),
            "state": generator.integers(-1, 2, count).astype(np.int8),
            "source": generator.choice(["report", "truth"], count),
        }
    )


@pytest.mark.parametrize("uncertain", [-1, 0, 1])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [3, 0], [2, 2, 1], [1], []])
def test_matrix_agrees_with_a_naive_loop(corpus, uncertain, rows):
    triplets = random_triplets(150, rows=3, seed=len(rows))  # the last image has none
    expected = np.full((len(rows), len(ANATOMIES), len(PATHOLOGIES)), -2)
    for position, row in enumerate(rows):
        for line in triplets[(triplets["row"] == row) & (triplets["source"] == "report")].itertuples():
            state = uncertain if line.state == -1 else line.state
            cell = (position, line.anatomy, line.pathology)
            expected[cell] = max(expected[cell], state)  # present > absent > uncertain > not mentioned
    matrix = with_triplets(corpus, triplets).matrix(np.array(rows), uncertain=uncertain)
    assert matrix.dtype == np.int8
    np.testing.assert_array_equal(matrix, expected)


def test_rows_that_state_something(corpus):
    triplets = random_triplets(150, rows=1, seed=7)  # of the first image alone
    corpus = with_triplets(corpus, triplets[triplets["source"] == "report"])
    assert corpus.rows("train").tolist() == [0, 1] and corpus.stated("train").tolist() == [0]
    assert corpus.stated("test").tolist() == corpus.stated("train", "truth").tolist() == []


def test_sources_are_kept_apart(corpus):
    triplets = pd.DataFrame({"row": [0, 0], "anatomy": [0, 0], "pathology": [1, 1], "state": [0, 1]})
    corpus = with_triplets(corpus, triplets.assign(source=["report", "truth"]).astype({"state": np.int8}))
    assert corpus.matrix(np.array([0]))[0, 0, 1] == 0
    assert corpus.matrix(np.array([0]), source="truth")[0, 0, 1] == 1
    with pytest.raises(CorpusError, match=r"no triplets of source 'radgraph'. It has \['report', 'truth'\]"):
        corpus.matrix(np.array([0]), source="radgraph")


def test_rows_and_labels(corpus):
    np.testing.assert_array_equal(corpus.rows("train"), [0, 1])
    np.testing.assert_array_equal(corpus.rows("test"), [3])
    labels = corpus.labels(["Consolidation", "Pneumothorax"], rows=np.array([2, 0]))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[np.nan, 1], [1, np.nan]])
    with pytest.raises(CorpusError, match=r"no labels for \['Scoliosis'\]. Use some of \['Atelectasis'"):
        corpus.labels(["Scoliosis"])


def test_a_misspelt_name_is_no_empty_result(corpus):
    assert corpus.masks(0, "anatomy") == {}, "of a kind that there is, but not for this image"
    for ask in corpus.rows, corpus.stated:
        with pytest.raises(CorpusError, match="corpus: no split is called 'val'. Use one of train, validate, test"):
            ask("val")
    with pytest.raises(CorpusError, match="no source of triplets is called 'reports'. Use one of report, truth"):
        corpus.stated("train", "reports")
    with pytest.raises(CorpusError, match="no kind of masks is called 'anatomies'. Use one of pathology, anatomy"):
        corpus.masks(0, "anatomies")


@pytest.mark.parametrize("row", [-1, 4, 1000])
def test_a_row_that_is_not_there_is_named(corpus, row):
    for rows in [0, row], np.array([0, row]):
        with pytest.raises(IndexError, match=f"corpus: no row {row}; its 4 images are rows 0 to 3"):
            corpus.take(rows)


def test_images_cannot_be_written_and_a_pickled_corpus_holds_no_pixels(corpus):
    with pytest.raises(ValueError, match="read-only"):
        corpus.images[0, 0, 0] = 1
    copy = pickle.dumps(corpus)
    assert len(copy) < 500
    np.testing.assert_array_equal(pickle.loads(copy).images, corpus.images)


def test_taken_images_are_those_rows_in_memory_of_their_own(corpus):
    rows = np.array([3, 0, 3])
    taken = corpus.take(rows)
    np.testing.assert_array_equal(taken, np.stack([corpus.images[row] for row in rows]))
    taken[:] = 0
    assert corpus.images[0].any()


CHANGES = {
    "one more at the front": (lambda names: ["embolism", *names], "number 1: embolism, now normal"),
    "one more at the end": (lambda names: [*names, "embolism"], f"number {len(PATHOLOGIES) + 1}: embolism, now none"),
    "one less": (lambda names: names[:-1], f"number {len(PATHOLOGIES)}: none, now excluded_obs"),
    "another order": (lambda names: [names[1], names[0], *names[2:]], "number 1: clear, now normal"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_vocabulary(corpus, change):
    other, said = CHANGES[change]
    path = corpus.folder / "corpus.json"
    header = json.loads(path.read_text())
    assert header["vocabulary"] == {"anatomies": list(ANATOMIES), "pathologies": list(PATHOLOGIES)}
    header["vocabulary"]["pathologies"] = other(header["vocabulary"]["pathologies"])
    path.write_text(json.dumps(header | {"sha256": header_digest(header)}))
    with pytest.raises(
        CorpusError, match=rf"prepared with another vocabulary \(pathologies, {said}\). Prepare the corpus again"
    ):
        PreparedCorpus.open(corpus.folder)


def test_another_version_and_a_folder_without_corpus(corpus, tmp_path):
    path = corpus.folder / "corpus.json"
    header = json.loads(path.read_text()) | {"version": 99}
    path.write_text(json.dumps(header | {"sha256": header_digest(header)}))
    with pytest.raises(
        CorpusError, match="medslip-corpus version 99, this code reads medslip-corpus version 3. Prepare"
    ):
        PreparedCorpus.open(corpus.folder)
    with pytest.raises(CorpusError, match="no such file, so no prepared corpus. Run"):
        PreparedCorpus.open(tmp_path)
