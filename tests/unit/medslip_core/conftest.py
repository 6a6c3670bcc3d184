"""A tiny corpus to train on and to ask about."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.corpus import prepare

SIDE = 32


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """60 patients in NIH's layout; every other one has an effusion, a bright square with a box around it."""
    root = tmp_path_factory.mktemp("nih")
    (root / "images").mkdir()
    entries = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    generator = np.random.default_rng(0)
    for number in range(1, 61):
        image = generator.integers(0, 90, (SIDE, SIDE), np.uint8)
        name, shown = f"{number:08d}_000.png", number % 2
        if shown:
            left, top = generator.integers(0, 20, 2)
            image[top : top + 12, left : left + 12] += 160
            boxes.append(f"{name},Effusion,{left * 32},{top * 32},384,384,,,")
        assert cv2.imwrite(str(root / "images" / name), image)
        entries.append(f"{name},{'Effusion' if shown else 'No Finding'},0,{number},50,M,PA")
    (root / "Data_Entry_2017.csv").write_text("\n".join(entries) + "\n")
    (root / "BBox_List_2017.csv").write_text("\n".join(boxes) + "\n")
    out = tmp_path_factory.mktemp("corpora") / "nih"
    return prepare("nih", root, out, image_size_px=SIDE, processes=1, shares=(0.5, 0.2, 0.3))
