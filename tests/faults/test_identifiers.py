"""What identifies a patient in a DICOM header reaches no log, manifest or figure.

Canary names stand in every tag that may hold one, in nested and private ones too, in good files and in damaged ones.
Nor does a plain hash of a patient id: hospital numbers have few digits, and whoever tries them all finds the patient.
"""

import hashlib
import io
import logging
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from faults.damaged_cases import NOISE
from faults.files import dicom

from data_prep.check.dataset import check
from data_prep.corpus import prepare
from data_prep.errors import DataError
from medslip_core.corpus import PreparedCorpus
from medslip_core.finetune.fractions import corpus_split

TEXT = (
    "PatientName PatientID OtherPatientNames PatientBirthName PatientMotherBirthName PatientAddress PatientComments "
    "PatientTelephoneNumbers MilitaryRank EthnicGroup Occupation ReferringPhysicianName ReferringPhysicianAddress "
    "PerformingPhysicianName NameOfPhysiciansReadingStudy OperatorsName RequestingPhysician PhysiciansOfRecord "
    "InstitutionName InstitutionAddress InstitutionalDepartmentName StationName AccessionNumber StudyID AdmissionID "
    "StudyDescription SeriesDescription ProtocolName RequestedProcedureDescription DeviceSerialNumber ImageComments "
    "AdditionalPatientHistory IssuerOfPatientID InsurancePlanIdentification ViewPosition BodyPartExamined"
).split()
NUMBERS = {  # tags that hold no text: values that would be recognised
    "PatientBirthDate": "19870613", "StudyDate": "19870613", "StudyTime": "061387", "PatientBirthTime": "061387",
    "StudyInstanceUID": "1.2.19870613.1", "SeriesInstanceUID": "1.2.19870613.2",
}  # fmt: skip
HOSPITAL_NUMBERS = [str(4711 + 613 * patient) for patient in range(8)]
CANARIES = re.compile(rb"canar|0?61387|19870613", re.IGNORECASE)


def named(**tags: object) -> bytes:
    """A DICOM file with canaries everywhere."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(NOISE, **tags)))
    for number, name in enumerate(TEXT):
        setattr(dataset, name, f"CANARY{number}")
    for name, value in NUMBERS.items():
        setattr(dataset, name, value)
    item = pydicom.Dataset()
    item.PatientID, item.PatientName = "CANARY-NESTED", "CANARY^NESTED"
    dataset.OtherPatientIDsSequence = [item]
    dataset.RequestAttributesSequence = [item]
    dataset.private_block(0x0019, "CANARY BLOCK", create=True).add_new(0x01, "LO", "CANARY PRIVATE")
    dataset.file_meta.SourceApplicationEntityTitle = "CANARY"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path) -> Path:
    """A good file, and files that are damaged in every way that makes the reader speak of them."""
    good = named()
    files = {
        "good": good,
        "cut": good[: int(len(good) * 0.9)],
        "cut in the header": good[: int(len(good) * 0.25)],
        "no pixels": named(PixelData=None),
        "two frames": named(NumberOfFrames=2, Rows=20),
        "photometric": named(PhotometricInterpretation="HSV"),
        "wrong depth": named(BitsAllocated=13),
        "name for a number": good.replace(b"(\x00\x10\x00US\x02\x00", b"(\x00\x10\x00DS\x02\x00"),
        "shifted": good.replace(b"LO\x08\x00CANARY", b"LO\x06\x00CANARY", 1),
    }
    root = tmp_path / "dataset"
    root.mkdir()
    for name, content in files.items():
        (root / f"{name}.dcm").write_bytes(content)
    rows = ["ImageId,EncodedPixels", *(f"{name},{'1 3' if name == 'good' else '-1'}" for name in files)]
    (root / "train-rle.csv").write_text("\n".join(rows) + "\n")
    return root


def contents(folder: Path) -> bytes:
    """All that can be read out of a prepared corpus, tables unpacked."""
    tables = [pq.read_table(path).to_pandas().to_csv() for path in folder.glob("*.parquet")]
    return b"\n".join([path.read_bytes() for path in folder.iterdir()] + [table.encode() for table in tables])


def hashes(patient_id: str) -> list[bytes]:
    """The first half of every unsalted hash of a patient id, as hexadecimal digits and as bytes."""
    fixed = sorted(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))
    found = [hashlib.new(name, patient_id.encode()).digest() for name in fixed]
    return [form for digest in found for form in (digest[:8].hex().encode(), digest[:8])]


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Eight patients with hospital numbers, two images each."""
    root = tmp_path / "hospital"
    root.mkdir()
    rows = ["path"]
    for number in [*HOSPITAL_NUMBERS, *HOSPITAL_NUMBERS]:
        rows.append(f"{len(rows)}.dcm")
        (root / rows[-1]).write_bytes(dicom(NOISE, PatientID=number))
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_at_least_thirty_tags_hold_a_canary():
    dataset = pydicom.dcmread(io.BytesIO(named()))
    assert len(TEXT) >= 30 and all("CANARY" in str(dataset[name].value) for name in TEXT)


def test_preparation(root, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    out = prepare("siim", root, tmp_path / "corpus", 16, processes=1, max_set_aside=1.0)
    set_aside = pd.read_csv(out / "set_aside.csv")
    assert "good" in set(PreparedCorpus.open(out).manifest["image_id"]) and len(set_aside) >= 5
    said = caplog.text.encode() + "".join(capfd.readouterr()).encode()
    assert not CANARIES.search(contents(out)) and not CANARIES.search(said)


def test_check(root, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    report = check("siim", root, processes=1)
    assert report.findings
    said = repr(report.findings) + report.counts.to_csv() + caplog.text + "".join(capfd.readouterr())
    assert not CANARIES.search(said.encode()) and b"CANAR" not in repr(report).encode().upper()


def test_no_hash_of_a_patient_id_can_be_tried_out(hospital, tmp_path):
    corpus = PreparedCorpus.open(
        prepare("manifest", hospital, tmp_path / "corpus", 16, processes=1, shares=(0.4, 0.3, 0.3))
    )
    corpus_split(corpus).write(tmp_path / "splits" / "pneumothorax-0.1-seed0.csv")
    written = contents(corpus.folder) + contents(tmp_path / "splits")
    assert corpus.manifest["patient_id"].nunique() == len(HOSPITAL_NUMBERS)
    for number in HOSPITAL_NUMBERS:
        assert not [one for one in hashes(number) if one in written]


def test_errors_about_splits_name_no_hash_of_a_patient_id(hospital, tmp_path):
    table = hospital / "manifest.csv"
    rows = [f"{path},{'train' if number < 8 else 'test'}" for number, path in enumerate(table.read_text().split()[1:])]
    table.write_text("\n".join(["path,split", *rows]) + "\n")
    with pytest.raises(DataError, match="patient dicom-000001 stands in two splits: 1.dcm in train") as leak:
        prepare("manifest", hospital, tmp_path / "corpus", 16, processes=1)
    assert not [one for number in HOSPITAL_NUMBERS for one in hashes(number) if one in str(leak.value).encode()]
