"""The model card that lies beside every saved model: what it is, what it is for, what it is not for."""

from pathlib import Path

from medslip_core.model_config import MedslipConfig

HUB_METADATA = """\
---
library_name: medslip
pipeline_tag: zero-shot-image-classification
tags:
- chest-x-ray
- medical-imaging
- vision-language
---
"""

_CARD = """
# MeDSLIP

Two streams learned from chest radiographs and their reports: *pathology* (what is there) and *anatomy* (where). It says
for each of {pathologies} pathologies and {anatomies} anatomies whether it is present or affected, and where in the
image it looked. Method: arXiv 2403.10635.

| | |
| --- | --- |
| image trunk | {backbone}, {image_size} px, one grey channel repeated |
| text encoder of the queries | {text_encoder}, {text_dim} dimensions |
| decoders | {decoder_layers} layer(s), {decoder_heads} head(s), width {hidden_dim} |
| trained on | {training} |

{usage}
"""

_USAGE = """\
It needs the project "MeDSLIP, a book that runs" (Apache-2.0, see its LICENSE): `pip install ".[data,demo]"` in a copy
of it. In the folder of this model, beside a radiograph:

```python
from pathlib import Path

import torch

from data_prep.geometry import Geometry
from data_prep.image import read_grey
{imports}

model = {kind}.from_pretrained(".")  # this folder, or its name on the hub
grey = read_grey(Path("radiograph.png")).pixels  # or a DICOM file; [height, width] uint8, air black
frame = Geometry(grey.shape[1], grey.shape[0], model.config.image_size)
square = frame.image(grey)  # between black bars
pixels = model.pixel_values(square[None])  # of images [B, H, H], here one
with torch.inference_mode():
    present = model(pixels).pathology_prob  # [B, P], in the order of the names
print(sorted(zip(present[0].tolist(), {pathologies}), reverse=True)[:5]){more}
```"""

_MORE = """

# Where it looked for an effusion, over the radiograph: [height, width] float32 in [0, 1]
from medslip_core.grounding.maps import attention_maps, stretched
from medslip_core.inference import Images

maps = attention_maps(model, Images([square]), [0])
heat = frame.back(stretched(maps.pathology("effusion")[0], model.config.image_size))

# Whether it shows what words say: [B, C] in [0, 1], here one image and one question
from medslip_core import classify_text, encode_classes, encoder_of

asked = encode_classes(["fluid around the lung"], encoder_of(model.config))
found = classify_text(model, Images([square]), [0], asked)"""

USE_AND_LIMITS = """
## Intended use

Research on vision-language learning: zero-shot classification, grounding, fine-tuning, comparison of methods, on images
like those it was trained on (above): frontal chest radiographs of adults, or synthetic ones.

## Limits

- **Not a medical device.** Nothing it says may guide the care of a patient.
- Its probabilities are not calibrated, and are worth what its training data are worth: labels read from reports carry
  the errors of reports and of the reading; other hospitals, machines, views and ages may be read worse.
- Models trained on synthetic images have seen no patient; their figures say that the method works on such images.
- A report does not state everything: what the model finds and the report does not mention may be there.
- Training data may carry biases of sex, age and origin; evaluate by group before drawing conclusions.
"""


def encoder_name(encoder: str | None) -> str:
    """A text encoder as a card names it: of a folder, which lies on the machine that trained, the last part."""
    if encoder is None:
        return "none yet"
    return f"{Path(encoder).name} (a folder)" if Path(encoder).is_absolute() else encoder


def usage(imports: str, kind: str, pathologies: str, more: str = "") -> str:
    """How to install, and code from an image file, prepared as `python -m data_prep prepare` does, to answers.

    Args:
        imports: what the code imports of the model.
        kind: the model's class.
        pathologies: where the names of the answers are.
        more: code that follows.
    """
    return _USAGE.format(imports=imports, kind=kind, pathologies=pathologies, more=more)


def model_card(config: MedslipConfig, training: str) -> str:
    """The card, Markdown with the hub's metadata.

    Args:
        config: of the model.
        training: what it was trained on, a sentence.
    """
    told = dict(
        anatomies=len(config.anatomies),
        pathologies=len(config.pathologies),
        text_encoder=encoder_name(config.text_encoder),
        training=training,
        usage=usage("from medslip_core import MedslipModel", "MedslipModel", "model.config.pathologies", _MORE),
    )
    return HUB_METADATA + _CARD.format(**{**config.to_dict(), **told}) + USE_AND_LIMITS
