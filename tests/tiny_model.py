"""A model of 32 px that learns in a second."""

import torch

from medslip_core.model import MedslipModel
from medslip_core.model_config import MedslipConfig
from medslip_core.vocabulary import ANATOMIES, PATHOLOGIES

MODEL = dict(backbone="test_resnet", image_size=32, hidden_dim=16, decoder_layers=1, decoder_heads=2,
             feed_forward_dim=16, text_dim=8)  # fmt: skip
"""Options of `MedslipConfig`."""


def tiny_model(dropout: float = 0.1) -> MedslipModel:
    """Drawn anew, with drawn books, always the same."""
    torch.manual_seed(0)
    model = MedslipModel(MedslipConfig(**MODEL, dropout=dropout))
    model.set_books(torch.randn(len(ANATOMIES), 8), torch.randn(len(PATHOLOGIES), 8), "random")
    return model
