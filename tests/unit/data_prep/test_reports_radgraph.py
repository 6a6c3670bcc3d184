"""RadGraph files of both forms, written by hand here."""

import json

import pytest

from data_prep.reports.radgraph import RadGraphError, load_radgraph

TEXT = "Small left pleural effusion . No pneumothorax . The heart is enlarged . Calcified nodule in right lower lobe ."


def entities(labels: dict[str, str]) -> dict:
    """Entities of TEXT: number -> tokens, label, token index and relations, as RadGraph writes them."""
    rows = [
        ("Small", "OBS-DP", 0, [["modify", "4"]]),
        ("left", "ANAT-DP", 1, [["modify", "3"]]),
        ("pleural", "ANAT-DP", 2, []),
        ("effusion", "OBS-DP", 3, [["located_at", "3"]]),
        ("pneumothorax", "OBS-DA", 6, []),
        ("heart", "ANAT-DP", 9, []),
        ("enlarged", "OBS-DP", 11, [["located_at", "6"]]),
        ("Calcified", "OBS-U", 13, [["modify", "9"]]),
        ("nodule", "OBS-U", 14, [["located_at", "12"]]),
        ("right", "ANAT-DP", 16, [["modify", "12"]]),
        ("lower", "ANAT-DP", 17, [["modify", "12"]]),
        ("lobe", "ANAT-DP", 18, []),
    ]
    return {
        str(number): {
            "tokens": tokens,
            "label": labels.get(label, label),
            "start_ix": index,
            "end_ix": index,
            "relations": relations,
        }
        for number, (tokens, label, index, relations) in enumerate(rows, 1)
    }


EXPECTED = {
    ("left_pleural", "effusion", 1, "effusion"),
    ("unspecified", "pneumothorax", 0, "pneumothorax"),
    ("heart_size", "cardiomegaly", 1, "enlarged"),
    ("lower_right_lobe", "calcification", -1, "Calcified"),
    ("lower_right_lobe", "nodule", -1, "nodule"),
}
XL = {
    "OBS-DP": "Observation::definitely present",
    "OBS-DA": "Observation::definitely absent",
    "OBS-U": "Observation::uncertain",
    "ANAT-DP": "Anatomy::definitely present",
}
FORMS = {
    "physionet": {"p18/p18004941/s588.txt": {"text": TEXT, "data_source": "MIMIC-CXR", "entities": entities({})}},
    "annotators": {"1.txt": {"text": TEXT, "labeler_1": {"entities": entities({})}, "labeler_2": {"entities": {}}}},
    "package": {"0": {"text": TEXT, "entities": entities({}), "data_source": None, "data_split": "inference"}},
    "package, RadGraph-XL": {"0": {"text": TEXT, "entities": entities(XL), "data_split": "inference"}},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_give_the_same_triplets(tmp_path, form):
    file = tmp_path / "graphs.json"
    file.write_text(json.dumps(FORMS[form]), "utf-8")
    ((key, triplets),) = load_radgraph(file)
    assert key == next(iter(FORMS[form]))
    assert {(t.anatomy, t.pathology, t.state, TEXT[t.start : t.end]) for t in triplets} == EXPECTED


def test_circular_modifiers_end(tmp_path):
    file = tmp_path / "graphs.json"
    graph = {"0": {"text": TEXT, "entities": entities({})}}
    graph["0"]["entities"]["9"]["relations"] = [["modify", "8"]]
    file.write_text(json.dumps(graph), "utf-8")
    ((_, triplets),) = load_radgraph(file)
    assert {t.anatomy for t in triplets if t.pathology == "nodule"} == {"unspecified"}


@pytest.mark.parametrize("content", ["", "[]", '{"a": {"text": "x"}}', '{"a": {"text": "x", "entities": {"1": {}}}}'])
def test_other_files_are_refused_by_name(tmp_path, content):
    file = tmp_path / "graphs.json"
    file.write_text(content, "utf-8")
    with pytest.raises(RadGraphError, match="graphs.json"):
        list(load_radgraph(file))
