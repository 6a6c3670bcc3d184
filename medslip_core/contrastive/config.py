"""What shapes a model that contrasts images with reports."""

from __future__ import annotations

from dataclasses import dataclass

from medslip_core.model_config import TrunkConfig
from medslip_core.parameters import parameter

CONTRASTIVE_METHODS = ("convirt", "gloria", "biovil", "lovt", "mgca")


@dataclass(frozen=True)
class ContrastiveConfig(TrunkConfig):
    """Architecture of a `ContrastiveModel`.

    Raises:
        ParameterError: listing every value of the wrong type or out of range; `from_dict` also unknown names.
    """

    method: str = parameter("convirt", "objective", choices=CONTRASTIVE_METHODS)
    text_encoder: str = parameter("emilyalsentzer/Bio_ClinicalBERT", "Hugging Face name or folder")
    text_separator: bool = parameter(True, "end the sentences with [SEP] for the encoder")
    text_layers: int = parameter(0, "last layers of the text encoder that learn; 0: none, as in MeDSLIP", low=0)
    max_sentences: int = parameter(32, "read of a report: the longest one sets a batch's memory", low=1)
    embedding_dim: int = parameter(128, "width d of what is contrasted", low=1)
    prototypes: int = parameter(500, "clusters of MGCA", low=1)
