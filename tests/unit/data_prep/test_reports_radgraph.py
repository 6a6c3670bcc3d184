"""RadGraph files of both forms, written by hand here."""

import json

import pytest

from data_prep.errors import DataError, RecordError
from data_prep.reports import Triplet, json_members
from data_prep.reports.json_members import JsonMembers
from data_prep.reports.radgraph import RadGraph, annotated_triplets

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


def only(folder, documents) -> tuple[str, list[Triplet]]:
    """Name and triplets of the only document of a file."""
    (folder / "graphs.json").write_text(json.dumps(documents), "utf-8")
    annotations = RadGraph(folder / "graphs.json")
    (name,) = annotations.keys
    return name, annotations.triplets(name, TEXT)()


@pytest.mark.parametrize("form, name", zip(FORMS, ["s588", "1", "0", "0"], strict=True))
def test_forms_give_the_same_triplets(tmp_path, form, name):
    found, triplets = only(tmp_path, FORMS[form])
    assert found == name
    assert {(t.anatomy, t.pathology, t.state, TEXT[t.start : t.end]) for t in triplets} == EXPECTED


def test_circular_modifiers_end(tmp_path):
    graph = {"0": {"text": TEXT, "entities": entities({})}}
    graph["0"]["entities"]["9"]["relations"] = [["modify", "8"]]
    _, triplets = only(tmp_path, graph)
    assert {t.anatomy for t in triplets if t.pathology == "nodule"} == {"unspecified"}


REPORT = """ FINDINGS:
 Small left pleural effusion.  No pneumothorax.

 The heart is enlarged. Calcified
 nodule in right lower lobe."""


@pytest.mark.parametrize("report, lost", [
    (REPORT, set()), (f"INDICATION: Nodule? Effusion?\n\n{REPORT} No effusion.", set()),
    (REPORT.replace("No pneumothorax.", ""), {"pneumothorax"}), (None, {words for *_, words in EXPECTED}),
])  # fmt: skip
def test_spans_are_those_of_the_report_that_was_annotated(report, lost):
    content = json.dumps({"text": TEXT, "entities": entities({})}).encode()
    triplets = annotated_triplets(content, report, "graphs.json document '0'")
    assert len(triplets) == len(EXPECTED)
    told = {words for *_, words in EXPECTED}
    assert {report[t.start : t.end] for t in triplets if t.start >= 0} == told - lost
    assert len([t for t in triplets if t.start == t.end == -1]) == len(lost)
    effusion = [t.start for t in triplets if t.pathology == "effusion"]
    assert report is None or effusion == [report.index("effusion")]


@pytest.mark.parametrize(
    "content", [b'{"text": "x"}', b'{"text": "x", "entities": {"1": {}}}', b"7", b'{"text": "\xff']
)
def test_documents_of_another_form_are_named(content):
    with pytest.raises(RecordError, match="graphs.json document '0': no RadGraph annotation"):
        annotated_triplets(content, TEXT, "graphs.json document '0'")


def test_two_documents_of_one_report_are_refused(tmp_path):
    (tmp_path / "graphs.json").write_text('{"p10/p1/s5.txt": {}, "files/s5": {}}')
    with pytest.raises(DataError, match="graphs.json: 'p10/p1/s5.txt' and 'files/s5' are both called s5. Keep one"):
        RadGraph(tmp_path / "graphs.json")


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_members_are_found_whatever_is_read_at_a_time(tmp_path, monkeypatch, block):
    monkeypatch.setattr(json_members, "BLOCK_BYTES", block)
    members = {"a": {"text": 'Größe "1" {'}, "ü\n": [1, {}], "": -12.5e3, "d": "", "e": None, "f": 70}
    for indent, ascii_only, mark in ((None, True, ""), (2, False, "\ufeff")):
        path = tmp_path / "members.json"
        path.write_text(mark + json.dumps(members, indent=indent, ensure_ascii=ascii_only) + "\n", "utf-8")
        found = JsonMembers(path)
        assert {name: json.loads(found.read(name)) for name in found.places} == members
    path.write_text(" {\n} ")
    assert JsonMembers(path).places == {}


@pytest.mark.parametrize("content, said", [
    ("", "it does not begin with {"), ("[]", "it does not begin with {"), ('{"a": 1', "neither a comma nor the end"),
    ('{"a": {"b": 1}, "c": {"d', "Unterminated string starting at at byte 22"), ('{"a": 1, }', "Expecting value at"),
    ('{"a" 1}', "no name and colon before byte 6"), ("{1: 2}", "no name and colon"), ('{"a": 1}{', "more behind"),
    ('{"a": 1 "b": 2}', "neither a comma nor the end of the object before byte 9"), ('{"a": 1,', "Expecting value at"),
    ('{"a": ' + "[" * 100_000, "recursion"), ('{"a": 1, "a": 2}', "'a' is there twice. Keep one"),
    (b'{"\xff": 1}', "can't decode byte 0xff"),
])  # fmt: skip
def test_other_files_are_refused_by_name(tmp_path, content, said):
    path = tmp_path / "graphs.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        JsonMembers(path)
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_a_member_without_end_is_not_read_to_the_end_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_members, "BLOCK_BYTES", 16)
    monkeypatch.setattr(json_members, "MAX_MEMBER_BYTES", 64)
    (tmp_path / "graphs.json").write_text('{"a": "' + "x" * 1000)
    with pytest.raises(DataError, match="no end of what begins at byte 6 within 64 bytes"):
        JsonMembers(tmp_path / "graphs.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="graphs.json: no such file"):
        JsonMembers(tmp_path / "graphs.json")
