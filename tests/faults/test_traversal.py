"""Names in tables and archives that lead elsewhere: nothing outside the dataset's folder is read or written.

Beside the dataset lies a secret image and a secret report; no byte of them may be in what is prepared.
"""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from faults.files import picture

from data_prep.corpus import prepare
from data_prep.errors import DataError
from data_prep.texts import TextFiles
from medslip_core.corpus import PreparedCorpus

SECRET = np.full((64, 64), 201, np.uint8)
WORDS = "FINDINGS: Secret cardiomegaly."

NIH, RSNA, RLE = "Data_Entry_2017_v2020.csv", "stage_2_train_labels.csv", "train-rle.csv"
META, OWN = "mimic-cxr-2.0.0-metadata.csv", "manifest.csv"

TABLES = {  # name -> (dataset, table, what stands there, what is put there)
    "covid: up": ("covid", "metadata.csv", "d.png", "../../secret.png"),
    "covid: up and down": ("covid", "metadata.csv", "d.png", "../images/../../secret.png"),
    "covid: absolute": ("covid", "metadata.csv", "d.png", "{outside}/secret.png"),
    "covid: backslashes": ("covid", "metadata.csv", "d.png", "..\\..\\secret.png"),
    "covid: parent": ("covid", "metadata.csv", "d.png", ".."),
    "covid: zero byte": ("covid", "metadata.csv", "d.png", "secret.png\0.png"),
    "covid: long name": ("covid", "metadata.csv", "d.png", "d" * 5000 + ".png"),
    "covid: mask up": ("covid", "masks.csv", "a__Tubings.png", "../../secret.png"),
    "covid: mask absolute": ("covid", "masks.csv", "a__Tubings.png", "{outside}/secret.png"),
    "mimic: image up": ("mimic", META, "b-1", "../../../../../secret"),
    "mimic: image absolute": ("mimic", META, "b-1", "{outside}/secret"),
    "mimic: study up": ("mimic", META, "57375967", "1/../../../.."),
    "mimic: subject up": ("mimic", META, "10000764", "../.."),
    "mimic: long name": ("mimic", META, "b-1", "b" * 5000),
    "nih: up": ("nih", NIH, "00000003_000.png", "../../secret.png"),
    "rsna: up": ("rsna", RSNA, "\nc,", "\n../../secret,"),
    "siim: absolute": ("siim", RLE, "1.2.1", "{outside}/secret"),
    "own table: up": ("manifest", OWN, "b.png", "../secret.png"),
    "own table: absolute": ("manifest", OWN, "b.png", "{outside}/secret.png"),
    "own table: backslashes": ("manifest", OWN, "b.png", "..\\secret.png"),
    "own table: drive": ("manifest", OWN, "b.png", "C:/secret.png"),
    "own table: long name": ("manifest", OWN, "b.png", "b" * 5000 + ".png"),
}


@pytest.fixture
def manifest_layout(tmp_path) -> Path:
    root = tmp_path / "manifest"
    root.mkdir()
    for name in "abc":
        (root / f"{name}.png").write_bytes(picture(np.full((64, 64), ord(name), np.uint8)))
    (root / OWN).write_text("path,patient\na.png,1\nb.png,2\nc.png,3\n")
    return root


@pytest.fixture
def outside(tmp_path) -> Path:
    """The dataset's parent folder, where the secrets lie."""
    (tmp_path / "secret.png").write_bytes(picture(SECRET))
    (tmp_path / "secret.jpg").write_bytes(picture(SECRET, "JPEG"))
    (tmp_path / "secret.dcm").write_bytes(picture(SECRET))
    (tmp_path / "secret.txt").write_text(WORDS)
    return tmp_path


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "corpus" not in path.parts[len(folder.parts) :]}


@pytest.mark.parametrize("name", TABLES)
def test_a_path_in_a_table(request, outside, name):
    dataset, table, old, new = TABLES[name]
    root = request.getfixturevalue(f"{dataset}_layout")
    path = root / table
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new.format(outside=outside), 1))
    before = everything(outside)
    try:
        corpus = PreparedCorpus.open(prepare(dataset, root, outside / "corpus", 16, processes=1, max_set_aside=0.5))
    except DataError as error:
        assert error.remedy
    else:
        assert not (corpus.images == 201).all(axis=(1, 2)).any()
        assert not corpus.manifest["source_path"].str.contains("secret").any()
        assert not any((mask.all()) for row in range(len(corpus)) for mask in corpus.masks(row, "pathology").values())
    assert everything(outside) == before


def _tar(path: Path, name: str, kind: bytes, target: str = "") -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        content = WORDS.encode() if kind == tarfile.REGTYPE else b""
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _zip(path: Path, name: str, link: bool = False) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (0o120777 if link else 0o100644) << 16
        archive.writestr(member, "../secret.txt" if link else WORDS)


ARCHIVES = {
    "zip: up": lambda path, outside: _zip(path, "../planted.txt"),
    "zip: absolute": lambda path, outside: _zip(path, f"{outside}/planted.txt"),
    "zip: link": lambda path, outside: _zip(path, "planted.txt", link=True),
    "tar: up": lambda path, outside: _tar(path, "../planted.txt", tarfile.REGTYPE),
    "tar: absolute": lambda path, outside: _tar(path, f"{outside}/planted.txt", tarfile.REGTYPE),
    "tar: link up": lambda path, outside: _tar(path, "planted.txt", tarfile.SYMTYPE, "../secret.txt"),
    "tar: link absolute": lambda path, outside: _tar(path, "planted.txt", tarfile.SYMTYPE, f"{outside}/secret.txt"),
    "tar: hard link": lambda path, outside: _tar(path, "planted.txt", tarfile.LNKTYPE, "../secret.txt"),
    "tar: pipe": lambda path, outside: _tar(path, "planted.txt", tarfile.FIFOTYPE),
    "tar: device": lambda path, outside: _tar(path, "planted.txt", tarfile.CHRTYPE),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_path_in_an_archive(outside, name):
    (outside / "dataset").mkdir()
    path = outside / "dataset" / ("reports.zip" if name.startswith("zip") else "reports.tgz")
    ARCHIVES[name](path, outside)
    before = everything(outside)
    texts = TextFiles(path)
    found = [texts.read(member) for member in texts.names()]
    assert everything(outside) == before
    assert WORDS not in found or name.split(": ")[1] in ("up", "absolute")  # those are the archive's own words


def test_the_name_of_a_table_in_an_archive(nih_layout, outside):
    table = nih_layout / NIH
    with zipfile.ZipFile(nih_layout / f"{NIH}.zip", "w") as archive:
        archive.write(table, "../../planted.csv")
    table.unlink()
    before = everything(outside)
    prepare("nih", nih_layout, outside / "corpus", 16, processes=1)
    assert everything(outside) == before


def test_loops_of_folders_end(nih_layout, tmp_path):
    (nih_layout / "images_001" / "again").symlink_to(nih_layout, target_is_directory=True)
    (nih_layout / "loop").symlink_to(nih_layout / "loop")
    whole = PreparedCorpus.open(prepare("nih", nih_layout, tmp_path / "corpus", 16, processes=1))
    assert len(whole) == 7


def test_a_link_to_nothing_is_set_aside(nih_layout, tmp_path):
    image = nih_layout / "images_001" / "images" / "00000002_000.png"
    image.unlink()
    image.symlink_to(tmp_path / "gone.png")
    out = prepare("nih", nih_layout, tmp_path / "corpus", 16, processes=1, max_set_aside=0.5)
    assert pd.read_csv(out / "set_aside.csv", dtype=str)["study_id"].tolist() == ["00000002_000"]
