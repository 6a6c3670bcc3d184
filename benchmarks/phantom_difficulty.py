"""Is the phantom a toy? Logistic regression on 32 x 32 thumbnails must not solve it.

    python benchmarks/phantom_difficulty.py [--train 2000] [--test 1000] [--json FILE]

Draws studies of the NIH population (training and test patients differ), shrinks each to 32 x 32, and fits one
logistic regression per NIH class. Prints AUROC by class and the macro mean, and exits with 1 if it is above the limit.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from data_prep.phantom import POPULATIONS, draw_study
from medslip_core.provenance import write_results
from medslip_core.vocabulary import DATASET_CLASSES

LIMIT_MACRO_AUROC = 0.75
THUMBNAIL_PX = 32


def thumbnail_and_labels(patient_number: int, seed: int, size_px: int) -> tuple[np.ndarray, list[int]]:
    """One study as a float32 [1024] thumbnail in 0..1 and its 14 NIH labels."""
    study = draw_study(POPULATIONS["nih"], seed, patient_number, size_px=size_px, with_masks=False)
    present = {pathology for _, pathology, state in study.triplets if state == 1}
    small = cv2.resize(study.image, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).ravel() / 255, [int(p in present) for p in DATASET_CLASSES["nih"].values()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=2000, help="training studies")
    parser.add_argument("--test", type=int, default=1000, help="test studies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size-px", type=int, default=320, help="size at which studies are drawn")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    draw = partial(thumbnail_and_labels, seed=given.seed, size_px=given.size_px)
    count = given.train + given.test
    with ProcessPoolExecutor(given.processes) as pool:
        drawn = list(tqdm(pool.map(draw, range(count), chunksize=32), total=count, unit="study"))
    pixels, labels = np.stack([d[0] for d in drawn]), np.array([d[1] for d in drawn])
    mean, spread = pixels[: given.train].mean(0), pixels[: given.train].std(0) + 1e-3
    pixels = (pixels - mean) / spread
    rows = {}
    for column, name in enumerate(DATASET_CLASSES["nih"]):
        best = LogisticRegression(C=3e-4, max_iter=300).fit(pixels[: given.train], labels[: given.train, column])
        auroc = roc_auc_score(labels[given.train :, column], best.decision_function(pixels[given.train :]))
        rows[name] = {"auroc": round(float(auroc), 4), "prevalence": round(float(labels[:, column].mean()), 4)}
    macro = float(np.mean([row["auroc"] for row in rows.values()]))
    print(f"{'class':20s} prevalence  AUROC")
    for name, row in rows.items():
        print(f"{name:20s} {row['prevalence']:10.3f} {row['auroc']:6.3f}")
    print(f"{'macro':20s} {'':10s} {macro:6.3f}  (limit {LIMIT_MACRO_AUROC})")
    if given.json:
        settings = {key: value for key, value in vars(given).items() if key != "json"}
        report = {"settings": settings, "classes": rows, "macro_auroc": macro, "limit": LIMIT_MACRO_AUROC}
        write_results(given.json, report)
    return int(macro > LIMIT_MACRO_AUROC)


if __name__ == "__main__":
    raise SystemExit(main())
