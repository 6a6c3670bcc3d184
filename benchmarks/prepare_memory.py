"""Peak memory of preparing a corpus, as the number of images grows, extrapolated to all of MIMIC-CXR.

    python benchmarks/prepare_memory.py [--largest 12000] [--json FILE]

Writes MIMIC's layout with as many small images and reports as asked for (links to some phantom studies, each with names
and rows of its own), and measures one process that only reads the tables and one that prepares, both with the reader's
tables in memory. Pixels and reports pass through; what grows is what is known of each image.
Exits with 1 if the extrapolation is over 2 GiB, or if preparing adds more than 512 bytes an image to the reading.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from contenders import Contender

from medslip_core.provenance import write_results

MIMIC_IMAGES = 377_110
LIMIT_MIB = 2048
LIMIT_ADDED_BYTES = 512
DISTINCT = 64
SIZE_PX = 64


def reading(root: Path, out: Path) -> Callable[[], None]:
    """Goes through all studies, as any preparation has to."""
    from data_prep import READERS

    def work() -> None:
        for _ in READERS["mimic"](root):
            pass

    return work


def preparing(root: Path, out: Path) -> Callable[[], None]:
    """Prepares in the process that is measured."""
    from data_prep.corpus import prepare

    return lambda: prepare("mimic", root, out, SIZE_PX, processes=1)


def write_originals(folder: Path) -> list[tuple[Path, Path]]:
    """A JPEG and a report each of some phantom studies."""
    import cv2

    from data_prep.phantom import POPULATIONS, draw_study
    from data_prep.phantom.report import write_report

    paths = []
    for number in range(DISTINCT):
        study = draw_study(POPULATIONS["mimic"], 0, number, size_px=SIZE_PX, with_masks=False)
        image, report = folder / f"{number}.jpg", folder / f"{number}.txt"
        cv2.imwrite(str(image), study.image)
        report.write_text(write_report(study).text)
        paths.append((image, report))
    return paths


def write_layout(root: Path, images: int, originals: list[tuple[Path, Path]]) -> None:
    """MIMIC's folders and tables with one image a study and one study a patient."""
    from data_prep.mimic import CLASSES

    metadata, split = ["dicom_id,subject_id,study_id,ViewPosition"], ["dicom_id,subject_id,study_id,split"]
    labels = [",".join(["subject_id", "study_id", *CLASSES])]
    for number in range(images):
        subject, study = 10_000_000 + number, 50_000_000 + number
        dicom = "-".join(hashlib.sha1(str(number).encode()).hexdigest()[place : place + 8] for place in range(0, 40, 8))
        folder = root / "files" / f"p{subject // 10**6}" / f"p{subject}"
        (folder / f"s{study}").mkdir(parents=True)
        image, report = originals[number % len(originals)]
        os.link(image, folder / f"s{study}" / f"{dicom}.jpg")
        os.link(report, folder / f"s{study}.txt")
        metadata.append(f"{dicom},{subject},{study},PA")
        split.append(f"{dicom},{subject},{study},train")
        labels.append(f"{subject},{study}" + ",1.0" * len(CLASSES))
    for name, lines in (("metadata", metadata), ("split", split), ("chexpert", labels)):
        (root / f"mimic-cxr-2.0.0-{name}.csv").write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=12_000, help="images of the largest of the three sizes")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    sizes = [given.largest // 3, 2 * given.largest // 3, given.largest]
    peaks: dict[str, list[float]] = {"reading": [], "preparing": []}
    print(f"{'images':>10s}{'reading':>12s}{'preparing':>12s}  MiB at the peak")
    with tempfile.TemporaryDirectory() as folder:
        originals = write_originals(Path(folder))
        for size in sizes:
            root = Path(folder, str(size))
            write_layout(root, size, originals)
            for work in (reading, preparing):
                contender = Contender(work.__name__, work, {"root": root, "out": Path(folder, "corpus")}, threads=1)
                peaks[work.__name__].append(contender.turn().peak_mib)
                contender.close()
            print(f"{size:10,}{peaks['reading'][-1]:12.0f}{peaks['preparing'][-1]:12.0f}")
    lines = {name: np.polyfit(sizes, values, 1) for name, values in peaks.items()}
    grown = {name: float(slope * 2**20) for name, (slope, _) in lines.items()}
    whole = {name: float(np.polyval(line, MIMIC_IMAGES)) for name, line in lines.items()}
    added = grown["preparing"] - grown["reading"]
    print(f"{MIMIC_IMAGES:10,}{whole['reading']:12.0f}{whole['preparing']:12.0f}  extrapolated (limit {LIMIT_MIB})")
    print(f"{grown['reading']:.0f} bytes an image for reading, {added:.0f} more to prepare (limit {LIMIT_ADDED_BYTES})")
    if given.json:
        figures = {"images": sizes, "peak_mib": peaks, "bytes_per_image": grown, "extrapolated_mib": whole}
        write_results(given.json, figures)
    return int(whole["preparing"] > LIMIT_MIB or added > LIMIT_ADDED_BYTES)


if __name__ == "__main__":
    raise SystemExit(main())
