"""The real radiographs beside the repository, where they are: every record is read, and none is set aside."""

import numpy as np
import pytest

from data_prep import READERS
from data_prep.corpus import prepare
from data_prep.splits import assign_split
from medslip_core.corpus import PreparedCorpus

SETS = {
    "nih": ("nih-cxr14", {"tables": "torchxrayvision"}, {"images": 715, "patients": 480, "boxes": 31, "reports": 0}),
    "rsna": ("rsna-pneumonia", {}, {"images": 238, "patients": 190, "boxes": 149, "reports": 0}),
    "covid": ("covid-chestxray-dataset", {}, {"images": 573, "patients": 347, "boxes": 0, "reports": 450}),
}


@pytest.mark.parametrize("dataset", SETS)
def test_readers_find_everything(shared_data, dataset):
    folder, options, expected = SETS[dataset]
    studies = list(READERS[dataset](shared_data / folder, **options))
    found = {
        "images": len(studies),
        "patients": len({study.patient_id for study in studies}),
        "boxes": sum(len(study.boxes) for study in studies),
        "reports": sum(study.report is not None for study in studies),
    }
    assert found == expected
    assert all(study.fault is None for study in studies)


@pytest.mark.parametrize("dataset", SETS)
def test_the_first_images_are_prepared(shared_data, tmp_path, dataset):
    folder, options, _ = SETS[dataset]
    out = prepare(dataset, shared_data / folder, tmp_path / "c", 64, limit=16, max_set_aside=0, processes=1, **options)
    corpus = PreparedCorpus.open(out)
    assert len(corpus) == 16
    assert all(60 < image[image > 0].mean() < 220 for image in corpus.images)  # neither black nor inverted to white


def test_a_patient_of_both_sets_falls_into_one_split(shared_data):
    sets = [READERS[name](shared_data / SETS[name][0], **SETS[name][1]) for name in ("nih", "rsna")]
    nih, rsna = ({study.patient_id: study.split for study in studies} for studies in sets)
    both = sorted(nih.keys() & rsna.keys())
    assert len(both) > 50
    drawn = [[assign_split(patient, splits[patient], seed=0) for patient in both] for splits in (nih, rsna)]
    np.testing.assert_array_equal(*drawn)
