"""Images/s per core from file to prepared pixels: ours against torchxrayvision's reader, centre crop and resize.

    python benchmarks/prepare_throughput.py [--images 24] [--rounds 5] [--json FILE]

The files are phantom radiographs of 1024 px, as PNG and as DICOM with JPEG inside. All contenders take turns on the
same files, each in a process of its own with one thread; the figures are processor time, medians over the rounds.
torchxrayvision resizes by scikit-image unless told to use OpenCV; both are timed. The pixels are compared with those of
its OpenCV resize (area average, as ours); scikit-image's smoothing and sampling is defined otherwise.
Exits with 1 below twice the speed of its default, or where a pixel differs by more than one grey level.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from contenders import Contender, in_turn

from medslip_core.provenance import write_results

TARGET_RATIO = 2.0
TARGET_GREY_LEVELS = 1.0


def ours(paths: Sequence[Path], size_px: int) -> Callable[[], np.ndarray]:
    """Reads, and resizes with the aspect kept: uint8 [N, S, S]."""
    import cv2

    from data_prep.geometry import Geometry
    from data_prep.image import read_grey

    cv2.setNumThreads(1)

    def work() -> np.ndarray:
        greys = [read_grey(path).pixels for path in paths]
        return np.stack([Geometry(grey.shape[1], grey.shape[0], size_px).image(grey) for grey in greys])

    return work


def theirs(paths: Sequence[Path], size_px: int, engine: str) -> Callable[[], np.ndarray]:
    """torchxrayvision's way: float32 [N, S, S], -1024 … 1024."""
    import cv2
    import torchxrayvision

    cv2.setNumThreads(1)
    crop = torchxrayvision.datasets.XRayCenterCrop()
    resize = torchxrayvision.datasets.XRayResizer(size_px, engine=engine)

    def work() -> np.ndarray:
        return np.concatenate([resize(crop(torchxrayvision.utils.load_image(str(path)))) for path in paths])

    return work


def write_images(folder: Path, count: int, source_size_px: int) -> dict[str, list[Path]]:
    """The same phantom radiographs in both formats."""
    import cv2

    from data_prep.phantom import POPULATIONS, draw_study
    from data_prep.phantom.layouts.dicom import dicom_bytes

    paths: dict[str, list[Path]] = {"PNG": [], "JPEG-DICOM": []}
    for number in range(count):
        study = draw_study(POPULATIONS["mimic"], 0, number, size_px=source_size_px, with_masks=False)
        png, dicom = folder / f"{number}.png", folder / f"{number}.dcm"
        cv2.imwrite(str(png), study.image)
        uids = {name: f"2.25.{number + 1}" for name in ("study_uid", "series_uid", "sop_uid")}
        facts = {"view": study.view, "age_years": study.age_years, "sex": study.sex, "pixel_spacing_mm": 0.3}
        dicom.write_bytes(dicom_bytes(study.image, patient_id=str(number), **uids, **facts))
        paths["PNG"].append(png)
        paths["JPEG-DICOM"].append(dicom)
    return paths


def largest_difference(paths: Sequence[Path], size_px: int) -> float:
    """In grey levels, between our pixels and torchxrayvision's by OpenCV."""
    grey_levels = (theirs(paths, size_px, "cv2")() / 1024 + 1) / 2 * 255
    return float(np.abs(ours(paths, size_px)() - grey_levels).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source-size-px", type=int, default=1024)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        formats = write_images(Path(folder), given.images, given.source_size_px)
        for name, paths in formats.items():
            task = {"paths": paths, "size_px": given.size_px}
            contenders = [
                Contender("ours", ours, task, threads=1),
                Contender("torchxrayvision", theirs, task | {"engine": "skimage"}, threads=1),
                Contender("torchxrayvision, cv2", theirs, task | {"engine": "cv2"}, threads=1),
            ]
            rates = {one["name"]: given.images / one["processor_s"] for one in in_turn(contenders, given.rounds)}
            figures[name] = {
                "images_per_s_per_core": rates,
                "ratio": rates["ours"] / rates["torchxrayvision"],
                "ratio_cv2": rates["ours"] / rates["torchxrayvision, cv2"],
                "largest_difference_grey_levels": largest_difference(paths, given.size_px),
            }
            for contender, rate in rates.items():
                print(f"{name:12s}{contender:24s}{rate:8.1f} images/s per core")
            ratio, ratio_cv2 = (figures[name][key] for key in ("ratio", "ratio_cv2"))
            print(f"{name:12s}{ratio:.2f} times torchxrayvision, {ratio_cv2:.2f} times with its cv2 engine")
            print(f"{name:12s}pixels within {figures[name]['largest_difference_grey_levels']:.2f} grey levels")
    if given.json:
        write_results(given.json, {"images": given.images, "rounds": given.rounds, "formats": figures})
    slow = any(figure["ratio"] < TARGET_RATIO for figure in figures.values())
    other = any(figure["largest_difference_grey_levels"] > TARGET_GREY_LEVELS for figure in figures.values())
    return int(slow or other)


if __name__ == "__main__":
    raise SystemExit(main())
