"""A preparation that was stopped anywhere is taken up there: nothing twice, nothing half, nothing of what changed."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from file_digests import file_digests

import medslip_core.corpus
import medslip_core.vocabulary
from data_prep import chunks, corpus, corpus_tables, record, writer
from data_prep.corpus import prepare
from data_prep.errors import DataError, UnreadableImage
from medslip_core.corpus import PreparedCorpus

SIZE_PX = 32


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    for module in (corpus, chunks):
        monkeypatch.setattr(module, "CHUNK", 2)


class Stop(Exception):
    """Not an error of the data: as good as a kill, but in this process."""


def stopping_at(count, monkeypatch):
    """Stops each preparation once so many images are written."""
    finish = writer.CorpusWriter.add

    def add(self, chunk, results):
        if self.count == count:
            raise Stop
        finish(self, chunk, results)

    monkeypatch.setattr(writer.CorpusWriter, "add", add)


@pytest.fixture
def seen(monkeypatch) -> list[str]:
    """The images that are read from here on."""
    images: list[str] = []
    read_grey = record.read_grey

    def noting(path, *options):
        images.append(path.stem)
        return read_grey(path, *options)

    monkeypatch.setattr(record, "read_grey", noting)
    return images


def stop(dataset, root, tmp_path, monkeypatch, count):
    """Prepare a dataset twice: whole, and until so many images are written."""
    clean = file_digests(prepare(dataset, root, tmp_path / "clean", SIZE_PX, processes=1))
    with monkeypatch.context() as patch:
        stopping_at(count, patch)
        with pytest.raises(Stop):
            prepare(dataset, root, tmp_path / "out", SIZE_PX, processes=1)
    assert not (tmp_path / "out").exists()
    return tmp_path / ".out.partial", clean


@pytest.fixture
def stopped(nih_layout, tmp_path, monkeypatch):
    """A work folder with two of four chunks, and the corpus that an undisturbed run gives."""
    return stop("nih", nih_layout, tmp_path, monkeypatch, 4)


def finished(root, tmp_path, dataset="nih", **options):
    out = prepare(dataset, root, tmp_path / "out", SIZE_PX, processes=1, **options)
    assert not (tmp_path / ".out.partial").exists()
    return file_digests(out)


def test_only_what_is_left_is_prepared(nih_layout, tmp_path, stopped, seen):
    assert finished(nih_layout, tmp_path) == stopped[1]
    assert seen == ["00000004_000", "00000005_000", "00000006_000"]


@pytest.mark.parametrize("count", [2, 4, 6])
def test_a_dicom_patient_keeps_its_number_over_a_stop_between_its_images(tmp_path, write_dicom, monkeypatch, count):
    root = tmp_path / "own"
    for number, patient in enumerate("abcacdbd"):  # a stop after 2, 4 and 6 images: patients are met on both sides
        write_dicom(root / f"{number}.dcm", np.full((8, 8), number, np.uint8), PatientID=patient)
    (root / "manifest.csv").write_text("path\n" + "".join(f"{number}.dcm\n" for number in range(8)))
    clean = prepare("manifest", root, tmp_path / "clean", SIZE_PX, processes=1)
    patients = PreparedCorpus.open(clean).manifest["patient_id"]
    assert patients.str.removeprefix("dicom-").astype(int).tolist() == [1, 2, 3, 1, 3, 4, 2, 4]
    with monkeypatch.context() as patch:
        stopping_at(count, patch)
        with pytest.raises(Stop):
            prepare("manifest", root, tmp_path / "out", SIZE_PX, processes=1)
    assert (tmp_path / ".out.partial" / "journal.jsonl").is_file()
    assert file_digests(prepare("manifest", root, tmp_path / "out", SIZE_PX, processes=2)) == file_digests(clean)


@pytest.mark.parametrize("dataset, count, name", [
    ("nih", 4, "journal.jsonl"), ("nih", 4, "corpus/images.u8"), ("siim", 2, "corpus/masks.bits"),
])  # fmt: skip
@pytest.mark.parametrize("fault", ["more", "less", "flipped", "empty"])
def test_whatever_became_of_the_work_folder(request, tmp_path, monkeypatch, dataset, count, name, fault):
    root = request.getfixturevalue(f"{dataset}_layout")
    folder, clean = stop(dataset, root, tmp_path, monkeypatch, count)
    content = bytearray((folder / name).read_bytes())
    assert len(content) > 10
    if fault == "more":
        content += b"half a rec"
    elif fault == "less":
        del content[-10:]
    elif fault == "empty":
        content.clear()
    else:
        content[len(content) * 2 // 3] ^= 4
    (folder / name).write_bytes(content)
    assert finished(root, tmp_path, dataset) == clean


def test_every_length_of_the_journal(nih_layout, tmp_path, stopped):
    folder, clean = stopped
    kept = tmp_path / "kept"
    shutil.move(folder, kept)
    length = (kept / "journal.jsonl").stat().st_size
    for end in range(0, length, length // 20):
        shutil.copytree(kept, folder)
        os.truncate(folder / "journal.jsonl", end)
        assert finished(nih_layout, tmp_path) == clean


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 63, 64, 65, -2, -1])  # both ends of the digest, the space, of the text, the end
@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_a_flipped_bit_in_a_line_of_the_journal(nih_layout, tmp_path, stopped, line, place, bit):
    folder, clean = stopped
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    flipped = bytearray(lines[line])
    flipped[place] ^= bit
    lines[line] = bytes(flipped)
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    assert finished(nih_layout, tmp_path) == clean


def test_an_image_that_changed_is_read_again(nih_layout, tmp_path, stopped, seen):
    path = nih_layout / "images_001" / "images" / "00000002_000.png"  # of the second chunk
    shutil.copy(nih_layout / "images_002" / "images" / "00000003_000.png", path)
    changed = finished(nih_layout, tmp_path)
    assert seen[:2] == ["00000002_000", "00000003_000"] and len(seen) == 5
    shutil.rmtree(tmp_path / "out")
    assert changed == finished(nih_layout, tmp_path) != stopped[1]


def test_a_label_that_changed_is_written(nih_layout, tmp_path, stopped, seen):
    table = nih_layout / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text().replace("Effusion|Infiltration", "Edema"))
    finished(nih_layout, tmp_path)
    assert len(seen) == 7
    labels = PreparedCorpus.open(tmp_path / "out").labels(["Edema", "Effusion"])
    assert labels[0].tolist() == [1, 0]


@pytest.mark.parametrize("options", [{"fit": "squash"}, {"seed": 1}, {"limit": 6}, {"shares": (0.5, 0.2, 0.3)}])
def test_another_question_starts_afresh(nih_layout, tmp_path, stopped, seen, options):
    finished(nih_layout, tmp_path, **options)
    assert len(seen) == options.get("limit", 7)


def test_other_code_starts_afresh(nih_layout, tmp_path, stopped, seen, monkeypatch):
    monkeypatch.setattr(corpus, "_code", lambda: "another")
    assert finished(nih_layout, tmp_path) == stopped[1] and len(seen) == 7


@pytest.mark.parametrize("module", [medslip_core.vocabulary, medslip_core.corpus])
def test_the_vocabulary_and_the_format_are_code_that_counts(tmp_path, monkeypatch, module):
    before = corpus._code()
    edited = tmp_path / Path(module.__file__).name
    edited.write_text(Path(module.__file__).read_text() + "# edited\n")
    monkeypatch.setattr(module, "__file__", str(edited))
    assert corpus._code() != before


def test_records_set_aside_before_the_stop_still_count(nih_layout, tmp_path, monkeypatch):
    for name in ("001/images/00000001_000", "002/images/00000005_000"):
        (nih_layout / f"images_{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 7 records cannot be used, more than the share of 0.1"):
        prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, max_set_aside=0.1, processes=1)
    with pytest.raises(DataError, match="2 of 7 records .* share of 0.2.*00000001_000.*00000005_000"):
        prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, max_set_aside=0.2, processes=1)
    out = prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, max_set_aside=0.3, processes=1)
    assert PreparedCorpus.open(out).header["set_aside"] == 2
    assert len((out / "set_aside.csv").read_text().splitlines()) == 3


def refusing(names, monkeypatch):
    """Each image of these names is refused, as by a decoder that is not installed."""
    read_grey = record.read_grey

    def reading(path, *options):
        grey = read_grey(path, *options)
        if path.stem in names:
            raise UnreadableImage(path, "no decoder", "Install it.")
        return grey

    monkeypatch.setattr(record, "read_grey", reading)


@pytest.mark.parametrize("processes", [1, 2])
def test_doing_what_the_error_says_helps_though_no_image_changed(nih_layout, tmp_path, monkeypatch, seen, processes):
    clean = file_digests(prepare("nih", nih_layout, tmp_path / "clean", SIZE_PX, processes=1))
    with monkeypatch.context() as patch:
        refusing(["00000002_000"], patch)  # of the second chunk
        with pytest.raises(DataError, match="1 of 7 records .*no decoder.*Mend them, .*what is done is kept"):
            prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, processes=1)
    seen.clear()
    out = prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, processes=processes)
    assert file_digests(out) == clean
    if processes == 1:  # others are seen elsewhere
        assert seen[0] == "00000002_000" and len(set(seen)) == 5, "what stands before it is kept"


def test_what_is_still_refused_is_all_that_is_tried_again(nih_layout, tmp_path, monkeypatch, seen):
    refusing(["00000001_001", "00000003_000"], monkeypatch)  # of the first two chunks
    options = {"max_set_aside": 0.3, "processes": 1}
    clean = file_digests(prepare("nih", nih_layout, tmp_path / "clean", SIZE_PX, **options))
    with monkeypatch.context() as patch:
        stopping_at(2, patch)
        with pytest.raises(Stop):
            prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, **options)
    seen.clear()
    assert file_digests(prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, **options)) == clean
    refused, left = ["00000001_001", "00000003_000"], ["00000004_000", "00000005_000", "00000006_000"]
    assert seen == refused + left


def test_two_runs_do_not_write_at_once(nih_layout, tmp_path):
    asked = {}
    with writer.CorpusWriter(tmp_path / ".out.partial", asked, 0, (1, 0, 0)):
        with pytest.raises(DataError, match="another run is writing here. Wait for it"):
            prepare("nih", nih_layout, tmp_path / "out", SIZE_PX)


def test_an_error_nobody_thought_of_sets_its_record_aside_without_quoting_it(nih_layout, tmp_path, monkeypatch):
    read_grey = record.read_grey

    def breaking(path, *options):
        if path.stem == "00000003_000":
            raise KeyError("SECRET^PATIENT")
        return read_grey(path, *options)

    monkeypatch.setattr(record, "read_grey", breaking)
    out = prepare("nih", nih_layout, tmp_path / "out", SIZE_PX, max_set_aside=0.2, processes=1)
    said = (out / "set_aside.csv").read_text()
    assert "00000003_000.png: KeyError in test_corpus_resume.py line" in said and "SECRET" not in said


def test_many_row_groups_are_one_table(nih_layout, tmp_path, monkeypatch):
    whole = PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "whole", SIZE_PX, processes=1))
    monkeypatch.setattr(corpus_tables, "ROWS_PER_GROUP", 3)
    parts = PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "parts", SIZE_PX, processes=1))
    assert parts.manifest.equals(whole.manifest) and parts.boxes(0).equals(whole.boxes(0))
