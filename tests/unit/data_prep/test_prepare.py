"""Preparing a corpus: what is written can be read back, in the same bytes however it was made."""

import hashlib
import json
import logging
import re

import cv2
import numpy as np
import pandas as pd
import pytest
from file_digests import file_digests

from data_prep import READERS, chunks, corpus
from data_prep.__main__ import main
from data_prep.check.dataset import check
from data_prep.corpus import prepare
from data_prep.errors import DataError
from data_prep.geometry import Geometry
from data_prep.image import read_grey
from data_prep.reports import read_report
from data_prep.splits import assign_split
from medslip_core.corpus import PreparedCorpus
from medslip_core.vocabulary import ANATOMIES, ANATOMY_INDEX, PATHOLOGIES, PATHOLOGY_INDEX


def test_nih_round_trip(nih_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "out", image_size_px=32))
    assert len(corpus) == 7 and corpus.images.shape == (7, 32, 32)
    for row, line in corpus.manifest.iterrows():
        pixels = read_grey(nih_layout / line.source_path).pixels
        np.testing.assert_array_equal(corpus.images[row], Geometry(64, 64, 32).image(pixels))
    boxes = corpus.boxes(0)
    assert boxes["label"].tolist() == ["Infiltration", "Effusion"]
    np.testing.assert_allclose(boxes[["x", "y", "width", "height"]], [[8, 16, 4, 2], [0, 0, 32, 16]])  # frame 1024
    assert corpus.boxes(1).empty
    labels = corpus.labels(["Effusion", "Hernia"])
    np.testing.assert_array_equal(labels[:4], [[1, 0], [0, 0], [0, 0], [0, 1]])
    assert corpus.manifest["split"].tolist()[5:] == ["test", "test"]
    assert corpus.manifest["split"].isin(["train", "validate"]).tolist()[:5] == [True] * 5
    assert json.loads(corpus.manifest["provenance"][1]) == {"table": "Data_Entry_2017_v2020.csv", "row": 3}


def test_mimic_round_trip_pads_and_reads_reports(mimic_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("mimic", mimic_layout, tmp_path / "out", image_size_px=40))
    assert corpus.manifest["split"].tolist() == ["train", "train", "validate", "test"]
    assert (corpus.images[:, :, :4] == 0).all() and corpus.images[:, :, 8:32].any()  # 64 x 80: bars left and right
    assert corpus.report(2) == "IMPRESSION: Right pneumothorax.\n"
    spans = corpus.triplets[(corpus.triplets["row"] == 2) & (corpus.triplets["start"] >= 0)]
    assert "pneumothorax" in {
        corpus.report(2)[start:end].lower() for start, end in zip(spans.start, spans.end, strict=True)
    }
    matrix = corpus.matrix(np.array([0, 2]))
    assert (matrix[0, :, PATHOLOGY_INDEX["effusion"]] == 0).any()
    assert matrix[1, ANATOMY_INDEX["right_pleural"], PATHOLOGY_INDEX["pneumothorax"]] == 1


def test_triplets_of_radgraph_stand_for_those_read_here(mimic_layout, radgraph_file, tmp_path, caplog):
    arguments = ["prepare", "mimic", str(mimic_layout), str(tmp_path / "out"), "--image-size-px", "16"]
    assert main([*arguments, "--option", f"radgraph={radgraph_file}"]) == 0
    said = "MIMIC-CXR_graphs.json: annotates 2 of 3 studies; the reports of the others are read as usual, the first is"
    assert f"{said} s57375967" in caplog.text
    corpus = PreparedCorpus.open(tmp_path / "out")
    stated = [
        (t.row, ANATOMIES[t.anatomy], PATHOLOGIES[t.pathology], t.state, corpus.report(t.row)[t.start : t.end])
        for t in corpus.triplets.itertuples()
    ]
    first = [("pleural_unspec", "effusion", 0, "effusion"), ("lower_left_lobe", "consolidation", -1, "consolidation")]
    as_usual = [(t.anatomy, t.pathology, t.state, "pneumothorax") for t in read_report(corpus.report(2))]
    by_row = [first, first, as_usual, [("right_pleural", "effusion", 1, "effusion")]]
    assert set(stated) == {(row, *triplet) for row, triplets in enumerate(by_row) for triplet in triplets}
    assert len(stated) == 6 and set(corpus.triplets["source"]) == {"report"}
    assert corpus.header["parameters"]["reader"] == {"radgraph": "MIMIC-CXR_graphs.json"}
    named = [json.loads(text).get("radgraph") for text in corpus.manifest["provenance"]]
    assert named == ["p10/p10000032/s50414267.txt"] * 2 + [None, "p11/p11000898/s50771383.txt"]


def test_a_document_that_radgraph_did_not_write_sets_its_study_aside(mimic_layout, radgraph_file, tmp_path):
    radgraph_file.write_text(radgraph_file.read_text().replace('"tokens": "Left"', '"words": "Left"'))
    out = prepare("mimic", mimic_layout, tmp_path / "out", 16, max_set_aside=0.5, radgraph=radgraph_file)
    lost = pd.read_csv(out / "set_aside.csv")
    assert lost["study_id"].tolist() == ["s50414267"] * 2
    said = "MIMIC-CXR_graphs.json document 'p10/p10000032/s50414267.txt': no RadGraph annotation (KeyError: 'tokens')"
    assert all(reason.startswith(said) for reason in lost["reason"])


def test_rsna_takes_view_age_and_sex_from_the_header(rsna_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("rsna", rsna_layout, tmp_path / "out", image_size_px=64))
    assert corpus.manifest["view"].tolist() == ["PA", "AP", "PA", "AP"]
    assert corpus.manifest["age_years"].tolist() == [51.0] * 4 and corpus.manifest["sex"].tolist() == ["F"] * 4
    assert corpus.manifest["split"][0] == corpus.manifest["split"][1]  # one NIH patient
    np.testing.assert_allclose(corpus.boxes(1)[["x", "y", "width", "height"]], [[8, 16, 4, 32], [40, 16, 20, 48]])


def test_siim_unites_annotations_and_splits_by_the_headers_patient(siim_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("siim", siim_layout, tmp_path / "out", image_size_px=64))
    mask = corpus.masks(2, "pathology")["pneumothorax"]
    np.testing.assert_array_equal(np.flatnonzero(mask.any(axis=0)), [0, 63])
    assert corpus.masks(0, "pathology") == {} and corpus.masks(2, "anatomy") == {}
    assert corpus.manifest["patient_id"].tolist() == ["dicom-000001", "dicom-000002", "dicom-000002"]


def test_dicom_patients_are_numbered_and_their_splits_still_drawn_from_the_digest(tmp_path, write_dicom):
    root, ids = tmp_path / "own", ["30", "7", "30", "", "7", "112", "9", "8"]
    for number, patient_id in enumerate(ids):
        write_dicom(root / f"{number}.dcm", np.full((8, 8), number, np.uint8), PatientID=patient_id)
    rows = [f"{number}.dcm,{'dicom-000002' if number == 6 else ''}" for number in range(len(ids))]
    (root / "manifest.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    manifest = PreparedCorpus.open(prepare("manifest", root, tmp_path / "out", 32, seed=0)).manifest
    first, second, third, fourth = (f"dicom-{number:06d}" for number in (1, 3, 4, 5))  # the table has a patient 2
    patients = [first, second, first, "3.dcm", second, third, "dicom-000002", fourth]
    assert manifest["patient_id"].tolist() == patients
    drawn_by = [hashlib.sha256(patient_id.encode()).hexdigest()[:16] for patient_id in ids]
    drawn_by[3], drawn_by[6] = patients[3], patients[6]
    assert manifest["split"].tolist() == [assign_split(patient, None, seed=0) for patient in drawn_by]
    # Figures fixed once: another digest would move patients between the splits of published corpora.
    assert manifest["split"].str[:2].tolist() == ["tr", "te", "tr", "te", "te", "tr", "tr", "tr"]


def test_covid_round_trip_with_masks_and_missing_values(covid_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("covid", covid_layout, tmp_path / "out", image_size_px=64, seed=5))
    assert corpus.header["synthetic"] is False
    assert corpus.report(1) is None and corpus.manifest["view"].isna().tolist() == [False, True, False]
    assert np.isnan(corpus.labels(["COVID-19"])[1, 0])
    anatomies, pathologies = corpus.masks(0, "anatomy"), corpus.masks(0, "pathology")
    assert set(anatomies) == {"right_lung_unspec", "left_lung_unspec"} and set(pathologies) == {"tube"}
    np.testing.assert_array_equal(np.flatnonzero(pathologies["tube"].any(axis=0)), [*range(8, 24), *range(40, 56)])
    without = PreparedCorpus.open(prepare("covid", covid_layout, tmp_path / "bare", image_size_px=64, masks=False))
    assert without.masks(0, "anatomy") == {}


@pytest.mark.parametrize("dataset", ["mimic", "nih", "rsna", "siim", "covid"])
def test_images_that_are_not_there_are_named_in_the_corpus(dataset, request, tmp_path):
    root = request.getfixturevalue(f"{dataset}_layout")
    before = READERS[dataset](root).absent
    next(READERS[dataset](root)).image_path.unlink()
    corpus = PreparedCorpus.open(prepare(dataset, root, tmp_path / "out", 32))
    absent = pd.read_csv(corpus.folder / "absent.csv", dtype=str)["image"].tolist()
    assert len(absent) == corpus.header["absent"] == len(before) + 1
    assert set(before) < set(absent)


def test_a_corpus_of_another_dataset_is_not_replaced(nih_layout, mimic_layout, tmp_path):
    out = prepare("nih", nih_layout, tmp_path / "out", 32)
    before = file_digests(out)
    with pytest.raises(DataError, match="out: holds a corpus of nih. Name another folder for mimic"):
        prepare("mimic", mimic_layout, out, 32)
    assert file_digests(out) == before
    (out / "corpus.json").write_text("{}")
    assert PreparedCorpus.open(prepare("mimic", mimic_layout, out, 32)).header["dataset"] == "mimic"


@pytest.mark.parametrize("limit", [None, 3])
def test_reports_that_are_not_in_english_are_warned_of(mimic_layout, tmp_path, caplog, limit):
    for path in (mimic_layout / "files").rglob("*.txt"):
        path.write_text("BEFUND: Keine Infiltrate in beiden Lungen. Kein Nachweis von Erguss. Kein Pneumothorax.")
    prepare("mimic", mimic_layout, tmp_path / "corpus", 16, processes=1, limit=limit)
    number = limit or 4
    said = f"p10/p10000032/s50414267.txt: {number} of {number} reports, this the first of them, do not look English"
    assert [record.levelname for record in caplog.records if record.getMessage().startswith(said)] == ["WARNING"]


def test_what_is_said_while_a_bar_is_shown_has_a_line_of_its_own(mimic_layout, tmp_path, capsys):
    for path in (mimic_layout / "files").rglob("*.txt"):
        path.write_text("See above.")
    logging.getLogger().addHandler(console := logging.StreamHandler())
    try:
        prepare("mimic", mimic_layout, tmp_path / "corpus", 16, processes=1)
    finally:
        logging.getLogger().removeHandler(console)
    (said,) = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "names a finding" in line]
    assert said.startswith("p10/p10000032/s50414267.txt: none of 4 reports")


def test_squash_and_limit(mimic_layout, tmp_path):
    corpus = PreparedCorpus.open(prepare("mimic", mimic_layout, tmp_path / "out", 32, fit="squash", limit=2))
    assert len(corpus) == 2 and corpus.images[:, :, 0].any()
    assert corpus.header["fit"] == "squash" and corpus.header["parameters"]["limit"] == 2


def test_one_s_own_images_mirrored_cropped_and_spread(tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    ramp = np.tile(np.linspace(40, 140, 96).astype(np.uint8), (64, 1))  # brighter to the right
    for name in ("straight.png", "mirrored.png"):
        cv2.imwrite(str(root / name), ramp)
    table = "path,patient,split,report,mirrored,label:Mass\nstraight.png,1,train,Right pleural effusion.,,1\n"
    (root / "manifest.csv").write_text(table + "mirrored.png,2,test,,1,-1\n")
    out = prepare("manifest", root, tmp_path / "out", 32, fit="crop", percentiles=(0, 100))
    corpus = PreparedCorpus.open(out)
    straight, mirrored = corpus.images
    np.testing.assert_array_equal(mirrored, straight[:, ::-1])
    left, right = straight[0, [0, -1]].astype(int)  # of the middle two thirds of 0 … 255
    assert abs(left - 255 / 6) < 8 and abs(right - 255 * 5 / 6) < 8
    assert corpus.manifest["split"].tolist() == ["train", "test"]
    np.testing.assert_array_equal(corpus.labels(["Mass"])[:, 0], [1, np.nan])
    assert corpus.matrix(np.array([0]))[0, ANATOMY_INDEX["right_pleural"], PATHOLOGY_INDEX["effusion"]] == 1
    assert corpus.header["parameters"]["percentiles"] == [0, 100]
    with pytest.raises(DataError, match=r"percentiles \(99, 1\): not two rising numbers"):
        prepare("manifest", root, tmp_path / "no", 32, percentiles=(99, 1))


def test_bytes_depend_on_neither_processes_nor_repetition(nih_layout, tmp_path, monkeypatch):
    for module in (corpus, chunks):
        monkeypatch.setattr(module, "CHUNK", 2)
    first = file_digests(prepare("nih", nih_layout, tmp_path / "a", 32, processes=1))
    assert file_digests(prepare("nih", nih_layout, tmp_path / "b", 32, processes=2)) == first
    assert file_digests(prepare("nih", nih_layout, tmp_path / "a", 32, processes=1)) == first  # replaces the old one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "nih"]


def test_a_run_that_stops_leaves_the_old_corpus_and_goes_on_where_more_is_allowed(nih_layout, tmp_path):
    before = file_digests(prepare("nih", nih_layout, tmp_path / "out", 32))
    (nih_layout / "images_001" / "images" / "00000001_000.png").write_bytes(b"")
    for _ in range(2):  # repeating it changes nothing
        with pytest.raises(DataError, match="1 of 7 records cannot be used.*what is done is kept"):
            prepare("nih", nih_layout, tmp_path / "out", 32)
    assert file_digests(tmp_path / "out") == before
    prepare("nih", nih_layout, tmp_path / "out", 32, max_set_aside=0.2)
    assert len(PreparedCorpus.open(tmp_path / "out")) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nih", "out"]


def test_a_truth_that_is_not_there_stops_the_run(nih_layout, tmp_path):
    with pytest.raises(DataError, match="nowhere: no truth table. Name the folder that the phantom wrote"):
        prepare("nih", nih_layout, tmp_path / "out", 32, truth=tmp_path / "nowhere", max_set_aside=1)


def test_leftovers_of_a_killed_run_are_swept_away(nih_layout, tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "images.u8").write_bytes(b"half")
    PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "out", 32))
    assert not (tmp_path / ".out.partial").exists()


def test_unusable_records_are_set_aside_with_their_reason(nih_layout, tmp_path):
    bad = nih_layout / "images_002" / "images" / "00000001_001.png"
    bad.write_bytes(bad.read_bytes()[:200])
    corpus = PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "out", 32, max_set_aside=0.2))
    assert len(corpus) == 6 and corpus.header["set_aside"] == 1
    set_aside = (corpus.folder / "set_aside.csv").read_text()
    assert "images_002/images/00000001_001.png,00000001_001," in set_aside and "truncated or damaged" in set_aside
    assert str(tmp_path) not in set_aside


def test_a_linked_folder_is_prepared_where_it_leads(nih_layout, tmp_path):
    for number in (1, 2):
        (tmp_path / "disk").mkdir(exist_ok=True)
        link = tmp_path / "link"
        link.exists() or link.symlink_to(tmp_path / "disk" / "corpus")
        prepare("nih", nih_layout, link, 16, seed=number)
        assert link.is_symlink() and PreparedCorpus.open(link).header["parameters"]["seed"] == number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link", "nih"]


def test_linked_folders_are_searched_and_what_macos_leaves_is_not(nih_layout, tmp_path):
    whole = prepare("nih", nih_layout, tmp_path / "whole", 16)
    (folder,) = [path for path in nih_layout.iterdir() if path.name == "images_002"]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    (nih_layout / "loop").symlink_to(nih_layout)
    for strange in (nih_layout / "__MACOSX" / "images", nih_layout / "images_001"):
        strange.mkdir(parents=True, exist_ok=True)
        (strange / "._00000001_000.png").write_bytes(b"fork")
    linked = prepare("nih", nih_layout, tmp_path / "linked", 16)
    assert (linked / "images.u8").read_bytes() == (whole / "images.u8").read_bytes()
    assert not (check("nih", nih_layout, processes=1).table()["finding"] == "extra image").any()


def test_what_the_disk_refuses_is_said_in_a_line(nih_layout, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    assert main(["prepare", "nih", str(nih_layout), out, "--image-size-px", "16"]) == 1
    assert "Not a directory" in caplog.text and "Mend that and say the same again" in caplog.text


def test_command_line(nih_layout, tmp_path, caplog):
    out = tmp_path / "out"
    arguments = ["prepare", "nih", str(nih_layout), str(out), "--image-size-px", "32", "--fit", "squash", "--no-masks"]
    assert main([*arguments, "--option", f"tables={nih_layout}"]) == 0
    assert PreparedCorpus.open(out).header["parameters"]["reader"] == {"tables": "nih"}
    assert main(["verify", str(out)]) == 0
    content = bytearray((out / "images.u8").read_bytes())
    content[100] ^= 1
    (out / "images.u8").write_bytes(content)
    assert main(["verify", str(out)]) == 1 and "images.u8: damaged" in caplog.text
    assert main(["prepare", "nih", str(tmp_path / "no"), str(out), "--image-size-px", "32"]) == 1


def test_help_names_the_options_of_every_reader(capsys):
    for command in ("prepare", "check"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert "covid views=PA,AP,FRONTAL" in said and "manifest table=manifest.csv tables= labels= views=" in said
        assert "prepare nih images corpora/nih --image-size-px 224 --option tables=torchxrayvision" in said


def test_command_line_takes_shares(siim_layout, tmp_path, caplog):
    arguments = ["prepare", "siim", str(siim_layout), str(tmp_path / "out"), "--image-size-px", "16", "--shares"]
    assert main([*arguments, "0", "0", "1"]) == 0
    assert PreparedCorpus.open(tmp_path / "out").manifest["split"].tolist() == ["test"] * 3
    assert main([*arguments, "1", "1", "0"]) == 1
    assert "shares [1.0, 1.0, 0.0]: not three shares that sum to 1" in caplog.text


@pytest.mark.parametrize("option", ["seed=3", "shares=1", "quick=1", "root=elsewhere", "frontal_only=False"])
def test_the_command_line_refuses_options_that_are_not_the_readers_own(covid_layout, tmp_path, caplog, option):
    prepared = ["prepare", "covid", str(covid_layout), str(tmp_path / "out"), "--image-size-px", "16"]
    for arguments in (prepared, ["check", "covid", str(covid_layout)]):
        caplog.clear()
        assert main([*arguments, "--option", option]) == 1
        name = option.partition("=")[0]
        assert f"dataset 'covid': no option '{name}'. Did you mean 'views'? Its options: views." in caplog.text
