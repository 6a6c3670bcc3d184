"""Images with one bright patch each, and a model that looks there: what it should find is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

SIZE = 32


class LooksAtBrightest(torch.nn.Module):
    """Every query attends to the brightest patch, the last layer only; earlier layers look everywhere alike."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.config = SimpleNamespace(image_size=SIZE, anatomies=ANATOMIES, pathologies=PATHOLOGIES)
        self.device = torch.device("cpu")
        self.trunk = SimpleNamespace(stride=8, cell_offset=lambda image_size_px: (0, 0))

    def pixel_values(self, images):
        return images[:, None].float() / 128 - 1

    def forward(self, pixels, output_attentions=False):
        cells = torch.nn.functional.avg_pool2d(pixels[:, :1], 8).flatten(1)  # [B, 16]
        looked = (self.scale * 50 * cells).softmax(-1)
        stack = torch.stack([torch.full_like(looked, 1 / 16), looked])[:, :, None]  # [L, B, 1, N]
        return SimpleNamespace(
            pathology_attention=stack.expand(-1, -1, len(PATHOLOGIES), -1),
            anatomy_attention=stack.expand(-1, -1, len(ANATOMIES), -1),
            grid=(4, 4),
        )


def bright_corpus(n=6):
    """Image i is bright in patch (i % 4, 1); a box and a mask lie there; odd rows carry no truth."""
    images = np.full((n, SIZE, SIZE), 20, np.uint8)
    for i in range(n):
        images[i, 8 * (i % 4) : 8 * (i % 4) + 8, 8:16] = 200

    def boxes(row):
        empty = pd.DataFrame(columns=["label", "x", "y", "width", "height"])
        return (
            empty if row % 2 else pd.DataFrame([("Pneumonia", 8.0, 8.0 * (row % 4), 8.0, 8.0)], columns=empty.columns)
        )

    def masks(row, kind):
        return {} if row % 2 else {"pneumonia" if kind == "pathology" else "trachea": images[row] == 200}

    return SimpleNamespace(
        images=images, take=images.__getitem__, boxes=boxes, masks=masks,
        image_size_px=SIZE, header={"dataset": "rsna"}, classes=["Nodule", "Pneumonia"],
        manifest=pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)]}),
        rows=lambda split: np.arange(n // 2) + (n // 2 if split == "test" else 0),
    )  # fmt: skip
