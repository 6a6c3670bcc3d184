"""Tiny datasets written by hand, in the layouts of the real ones, for readers to read and for faults to be put into."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest
from faults.files import dicom

SIDE_PX = 64

hypothesis.settings.register_profile("no clock", deadline=None)  # a busy machine is no reason to fail
hypothesis.settings.load_profile("no clock")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs; tests that need it are skipped where it is absent."""
    shared = Path(os.environ.get("MEDSLIP_SHARED", Path(__file__).parents[2] / "shared"))
    if not (shared / "data").is_dir():
        pytest.skip(f"no real radiographs in {shared}/data (set MEDSLIP_SHARED to the folder that holds data/)")
    return shared / "data"


@pytest.fixture
def write_dicom() -> Callable[..., Path]:
    """Writes stored values [H, W] as an uncompressed DICOM file; further tags by keyword, None takes one out."""

    def write(path: Path, stored: np.ndarray, **tags: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(stored, **tags))
        return path

    return write


def picture(number: int, height_px: int = SIDE_PX, width_px: int = SIDE_PX) -> np.ndarray:
    """A smooth picture, another for every number: uint8 [height_px, width_px]."""
    coarse = np.random.default_rng(number).integers(0, 256, (5, 5), np.uint8)
    return cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def nih_layout(tmp_path: Path) -> Path:
    """Six patients, the first with two images; a box each for the first two images."""
    root = tmp_path / "nih"
    images = ["00000001_000", "00000001_001", *(f"{patient:08d}_000" for patient in range(2, 7))]
    findings = [
        "Effusion|Infiltration",
        "No Finding",
        "Pneumonia",
        "Hernia",
        "Pleural_Thickening",
        "Mass",
        "No Finding",
    ]
    for number, image in enumerate(images):
        _save(root / f"images_00{1 + number % 2}" / "images" / f"{image}.png", picture(number))
    rows = [
        f"{image}.png,{finding},{int(image[9:])},{int(image[:8])},{40 + number},{'MF'[number % 2]},"
        f"{('PA', 'AP')[number % 2]},2048,2048,0.143,0.143"
        for number, (image, finding) in enumerate(zip(images, findings, strict=True))
    ]
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    absent = "00000099_000.png,No Finding,0,99,30,M,PA,2048,2048,0.143,0.143"
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *rows, absent]) + "\n")
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,", f"{images[0]}.png,Infiltrate,256,512,128,64,,,"]
    boxes += [f"{images[0]}.png,Effusion,0,0,1024,512,,,", f"{images[2]}.png,Pneumonia,100.5,200.25,300,400,,,"]
    (root / "BBox_List_2017.csv").write_text("\n".join(boxes) + "\n")
    (root / "train_val_list.txt").write_text("".join(f"{image}.png\n" for image in images[:5]))
    (root / "test_list.txt").write_text("".join(f"{image}.png\n" for image in [*images[5:], "00000099_000"]))
    return root


@pytest.fixture
def rsna_layout(tmp_path: Path, write_dicom) -> Path:
    """Four images, one with two boxes; two of them are one NIH patient's."""
    root = tmp_path / "rsna"
    for number, image in enumerate("abcd"):
        tags = {"ViewPosition": ("PA", "AP")[number % 2], "PatientAge": "051Y", "PatientSex": "F", "PatientID": image}
        write_dicom(root / "stage_2_train_images" / f"{image}.dcm", picture(number), **tags)
    labels = ["patientId,x,y,width,height,Target", "a,,,,,0", "b,8.0,16.0,4.0,32.0,1", "b,40.0,16.0,20.0,48.0,1"]
    (root / "stage_2_train_labels.csv").write_text("\n".join([*labels, "c,,,,,0", "d,0,0,64,64,1"]) + "\n")
    classes = ["patientId,class", "a,Normal", "b,Lung Opacity", "b,Lung Opacity", "c,No Lung Opacity / Not Normal"]
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join([*classes, "d,Lung Opacity"]) + "\n")
    index = "patientId,image_index\na,00000007_000.png\nb,00000007_003.png\nc,00000008_000.png\nd,00000009_000.png\n"
    (root / "nih_image_index.csv").write_text(index)
    return root


@pytest.fixture
def siim_layout(tmp_path: Path, write_dicom) -> Path:
    """Three images: one without pneumothorax, one with one annotation, one with two; the last two are one patient's."""
    root = tmp_path / "siim"
    for number, image in enumerate(("1.2.1", "1.2.2", "1.2.3")):
        folder = root / "dicom-images-train" / f"9.{number}" / f"8.{number}"
        write_dicom(folder / f"{image}.dcm", picture(number), PatientID=("p", "q", "q")[number])
    rows = ["ImageId, EncodedPixels", "1.2.1, -1", "1.2.2,64 3 61 2", "1.2.3,0 64", "1.2.3,4032 64"]
    (root / "train-rle.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def mimic_layout(tmp_path: Path) -> Path:
    """Three patients; the first study has a PA, an AP and a lateral image. Reports lie below files/."""
    root = tmp_path / "mimic"
    rows = [
        ("a-1", 10000032, 50414267, "PA", "train"), ("a-2", 10000032, 50414267, "AP", "train"),
        ("a-3", 10000032, 50414267, "LATERAL", "train"), ("b-1", 10000764, 57375967, "AP", "validate"),
        ("c-1", 11000898, 50771383, "PA", "test"),
    ]  # fmt: skip
    texts = {
        50414267: "FINDINGS: There is no pleural effusion. Left lower lobe consolidation.\n",
        57375967: "IMPRESSION: Right pneumothorax.\n",
        50771383: "FINDINGS: Possible right pleural effusion.\n",
    }
    for number, (image, subject, study, _, _) in enumerate(rows):
        folder = root / "files" / f"p{str(subject)[:2]}" / f"p{subject}"
        _save(folder / f"s{study}" / f"{image}.jpg", picture(number, 80, 64))
        (folder / f"s{study}.txt").write_text(texts[study])
    metadata = ["dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate"]
    metadata += [
        f'{image},{subject},{study},"CHEST (PA, LAT)",{view},80,64,2180' for image, subject, study, view, _ in rows
    ]
    split = ["dicom_id,study_id,subject_id,split", *(f"{i},{study},{subject},{s}" for i, subject, study, _, s in rows)]
    labels = [
        "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,"
        "Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices",
        "10000032,50414267,,,1.0,,,,,,,0.0,,-1.0,,",
        "10000764,57375967,,,,,,,,,,,,,1.0,",
        "11000898,50771383,,,,,,,,,,-1.0,,,,",
    ]
    for name, lines in (("metadata", metadata), ("split", split), ("chexpert", labels)):
        (root / f"mimic-cxr-2.0.0-{name}.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def radgraph_file(tmp_path: Path) -> Path:
    """RadGraph's annotations of two of MIMIC's three studies, with other states than the reports have."""
    annotated = {
        "p10/p10000032/s50414267.txt": (
            "FINDINGS : There is no pleural effusion . Left lower lobe consolidation .",
            [("pleural", "ANAT-DP", 5, []), ("effusion", "OBS-DA", 6, [["located_at", "1"]]),
             ("Left", "ANAT-DP", 8, [["modify", "5"]]), ("lower", "ANAT-DP", 9, [["modify", "5"]]),
             ("lobe", "ANAT-DP", 10, []), ("consolidation", "OBS-U", 11, [["located_at", "5"]])],
        ),
        "p11/p11000898/s50771383.txt": (
            "FINDINGS : Possible right pleural effusion .",
            [("right", "ANAT-DP", 3, [["modify", "2"]]), ("pleural", "ANAT-DP", 4, []),
             ("effusion", "OBS-DP", 5, [["located_at", "2"]])],
        ),
    }  # fmt: skip
    names = ("tokens", "label", "start_ix", "relations")
    documents = {}
    for key, (text, rows) in annotated.items():
        entities = {
            str(number): {**dict(zip(names, row, strict=True)), "end_ix": row[2]} for number, row in enumerate(rows, 1)
        }
        documents[key] = {"text": text, "data_source": "MIMIC-CXR", "data_split": "inference", "entities": entities}
    (tmp_path / "MIMIC-CXR_graphs.json").write_text(json.dumps(documents))
    return tmp_path / "MIMIC-CXR_graphs.json"


@pytest.fixture
def covid_layout(tmp_path: Path) -> Path:
    """Three patients, five images, one lateral, one CT, one with masks of both lungs and two tubes."""
    root = tmp_path / "covid"
    header = "patientid,offset,sex,age,finding,survival,view,modality,folder,filename,license,clinical_notes"
    rows = [
        '2,0,M,65.0,"COVID-19, ARDS",Y,PA,X-ray,images,a.jpg,CC BY,"Bilateral opacities, ""patchy""\nand effusion."',
        "2,3,M,65.0,COVID-19,Y,L,X-ray,images,b.jpg,CC BY,Lateral view.",
        "4,,,,todo,,,X-ray,images,c.jpg,,",
        "5,0,F,40,No Finding,Y,AP Supine,X-ray,images,d.png,,Clear lungs.",
        "5,0,F,40,COVID-19,Y,Axial,CT,images,e.jpg,,",
    ]
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "d.png")):
        _save(root / "images" / name, picture(number, 48, 64))
    (root / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    masks = ["filename,class,mask"]
    for name, corner in (("Right_Lung", 0), ("Left_Lung", 32), ("Tubings", 8), ("Endotracheal_Tube", 40)):
        mask = np.zeros((48, 64), np.uint8)
        mask[8:40, corner : corner + 16] = 255
        _save(root / "masks" / f"a__{name}.png", mask)
        masks.append(f"a.jpg,{name},a__{name}.png")
    (root / "masks.csv").write_text("\n".join(masks) + "\n")
    return root
