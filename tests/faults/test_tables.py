"""Tables that came through spreadsheets, mail programs and broken downloads: read right, or named by row.

Faults of what a table says, per dataset, are in test_bad_input.py.
"""

import gzip
import io
import re
import zipfile

import pytest

from data_prep.corpus import prepare
from data_prep.errors import DataError
from data_prep.tables import read_table

PLAIN = b"id,label,note\n001,Mass,a\n002,Edema,b\n"
ROWS = [["001", "Mass", "a", 2], ["002", "Edema", "b", 3]]


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.csv", content)
    return buffer.getvalue()


def encrypted() -> bytes:
    """A zip whose headers say that a password is needed."""
    content = bytearray(zipped(table=PLAIN))
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(start) + offset] |= 1
    return bytes(content)


READ = {  # name -> (file name, content, rows: id, label, note, row)
    "plain, zeros in front": ("t.csv", PLAIN, ROWS),
    "byte order mark": ("t.csv", b"\xef\xbb\xbf" + PLAIN, ROWS),
    "line ends of Windows": ("t.csv", PLAIN.replace(b"\n", b"\r\n"), ROWS),
    "every cell quoted": ("t.csv", re.sub(rb"([^,\n]+)", rb'"\1"', PLAIN), ROWS),
    "blanks around the columns' names": ("t.csv", PLAIN.replace(b"id,label,note", b" id, label ,note "), ROWS),
    "columns in another order": ("t.csv", b"note,id,label\na,001,Mass\nb,002,Edema\n", ROWS),
    "quotes, commas and line breaks in a cell": (
        "t.csv", PLAIN.replace(b",a\n", b',"one, ""two""\nthree"\n'), [["001", "Mass", 'one, "two"\nthree', 2], ROWS[1]]
    ),
    "a blank line between": ("t.csv", PLAIN.replace(b"002", b"\n002"), [ROWS[0], ["002", "Edema", "b", 4]]),
    "empty rows at the end": ("t.csv", PLAIN + b",,\n,,\n\n", ROWS),
    "words that pandas takes for no value": (
        "t.csv", PLAIN.replace(b"Mass", b"NA").replace(b"Edema", b"None"),
        [["001", "NA", "a", 2], ["002", "None", "b", 3]],
    ),
    "gzipped": ("t.csv.gz", gzip.compress(PLAIN), ROWS),
    "zipped": ("t.csv.zip", zipped(t=PLAIN), ROWS),
}  # fmt: skip

REFUSED = {  # name -> (file name, content, said)
    "empty": ("t.csv", b"", "t.csv: is empty. Download it again."),
    "blank lines only": ("t.csv", b"\n\n\n", "t.csv: is empty"),
    "no header": ("t.csv", PLAIN.split(b"\n", 1)[1], "column 'id', 'label' missing; it has '001', 'Mass', 'a'"),
    "a column renamed": (
        "t.csv",
        PLAIN.replace(b"label", b"Label"),
        "'label' missing.*Is 'Label' meant\\? Then name it 'label'",
    ),
    "a column twice": ("t.csv", PLAIN.replace(b"note", b"label"), "column 'label' is there twice"),
    "a column twice but for a blank": ("t.csv", PLAIN.replace(b"note", b" label"), "column 'label' is there twice"),
    "semicolons": ("t.csv", PLAIN.replace(b",", b";"), "semicolons between its columns. Save it with commas"),
    "semicolons, and commas in a cell": (
        "t.csv",
        PLAIN.replace(b",", b";").replace(b";a", b";a, b, c"),
        "semicolons between its columns. Save it",
    ),
    "tabs": ("t.csv", PLAIN.replace(b",", b"\t"), "tabs between its columns. Save it with commas"),
    "more cells than the header": ("t.csv", re.sub(rb"(00\d.*)", rb"\1,more", PLAIN), "more cells than its header"),
    "one row with more cells": (
        "t.csv",
        PLAIN + b"003,Mass,c,d,e\n",
        "not a readable CSV table.*line 4.*Put .* in quotes",
    ),
    "a quote that is not closed": ("t.csv", PLAIN.replace(b"Edema", b'"Edema'), "not a readable CSV table.*row 2"),
    "an empty id": ("t.csv", PLAIN.replace(b"002", b""), r"t\.csv row 3: id is empty"),
    "an empty id after a blank line": ("t.csv", PLAIN.replace(b"002", b"\n"), r"t\.csv row 4: id is empty"),
    "Latin-1": ("t.csv", PLAIN.replace(b"Edema", "Ödem".encode("latin-1")), "not UTF-8 at byte 29"),
    "UTF-16": ("t.csv", PLAIN.decode().encode("utf-16"), "not UTF-8 at byte 0"),
    "a spreadsheet": ("t.csv", zipped(t=PLAIN), "not UTF-8|not a readable CSV table|missing"),
    "a web page": ("t.csv", b"<!DOCTYPE html>\n<title>Log in</title>\n", "column 'id', 'label' missing"),
    "an LFS pointer": ("t.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "column 'id'.* missing"),
    "gzip that is none": ("t.csv.gz", PLAIN, "not a readable CSV table.*[Gg]zip"),
    "gzip cut off": ("t.csv.gz", gzip.compress(PLAIN * 100)[:-20], "not a readable CSV table"),
    "gzip with a wrong checksum": ("t.csv.gz", gzip.compress(PLAIN)[:-8] + bytes(8), "not a readable CSV table"),
    "zip that is none": ("t.csv.zip", PLAIN, "not a readable CSV table.*zip"),
    "zip cut off": ("t.csv.zip", zipped(t=PLAIN)[:-30], "not a readable CSV table"),
    "zip of two tables": ("t.csv.zip", zipped(a=PLAIN, b=PLAIN), "2 files in the archive"),
    "zip of nothing": ("t.csv.zip", zipped(), "0 files in the archive"),
    "zip with a password": ("t.csv.zip", encrypted(), "not a readable CSV table.*(encrypted|password)"),
    "a million columns": ("t.csv", b"a," * 1_000_000 + b"a\n", "more than 2000 columns"),
}


@pytest.mark.parametrize("name", READ)
def test_a_table_that_is_only_unusual_is_read(tmp_path, name):
    file, content, rows = READ[name]
    (tmp_path / file).write_bytes(content)
    table = read_table(tmp_path / file, ["id", "label", "note"], filled=["id"])
    assert table[["id", "label", "note", "row"]].values.tolist() == rows


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_is_broken_is_refused(tmp_path, name):
    file, content, said = REFUSED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=re.compile(said, re.DOTALL)) as caught:
        read_table(tmp_path / file, ["id", "label"], filled=["id"])
    assert caught.value.where.startswith(str(tmp_path / file)) and caught.value.remedy.endswith(".")


def test_a_table_that_may_be_cut_off_is_said_so(tmp_path, caplog):
    (tmp_path / "t.csv").write_bytes(PLAIN[:-1])
    assert len(read_table(tmp_path / "t.csv", ["id"])) == 2
    assert "t.csv: does not end with a line break and may have been cut off" in caplog.text


SPREADSHEET = {  # name -> (dataset, table, what stands there, what a spreadsheet makes of it, said)
    "ids in scientific notation": (
        "mimic", "mimic-cxr-2.0.0-metadata.csv", "57375967", "5.74E+07", "row 5: study_id is '5.74E\\+07'"
    ),
    "ids with decimals": (
        "mimic", "mimic-cxr-2.0.0-metadata.csv", "10000764", "10000764.0", "row 5: subject_id is '10000764.0'"
    ),
    "a column sorted alone": (
        "nih", "Data_Entry_2017_v2020.csv", "Hernia,0,3,", "Hernia,0,4,", "row 5: Patient ID '4' does not belong"
    ),
    "a number with a comma": (
        "rsna", "stage_2_train_labels.csv", "b,8.0,", 'b,"8,0",', r"row 3: box .* is not four numbers"
    ),
    "a number that has become a date": (
        "rsna", "stage_2_train_labels.csv", "b,8.0,", "b,08-Jan,", r"row 3: box .* is not four numbers"
    ),
    "a file name with a path": (
        "covid", "metadata.csv", "d.png", "images/d.png", "row 5: filename is 'images/d.png', not a plain"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPREADSHEET)
def test_what_a_spreadsheet_does_to_ids_and_numbers_is_named_by_row(request, tmp_path, name):
    dataset, table, old, new, said = SPREADSHEET[name]
    root = request.getfixturevalue(f"{dataset}_layout")
    content = (root / table).read_text()
    assert old in content
    (root / table).write_text(content.replace(old, new, 1))
    with pytest.raises(DataError, match=re.compile(said, re.DOTALL)):
        prepare(dataset, root, tmp_path / "out", 16, processes=1, max_set_aside=1.0)


def test_images_whose_names_lost_their_zeros_are_named(nih_layout, tmp_path, caplog):
    path = nih_layout / "Data_Entry_2017_v2020.csv"
    path.write_text(path.read_text().replace("00000003_000.png", "3_000.png"))
    prepare("nih", nih_layout, tmp_path / "out", 16, processes=1)
    assert re.search(r"2 of its 8 images are not below .*, the first is 3_000\.png", caplog.text)
