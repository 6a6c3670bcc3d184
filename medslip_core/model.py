"""The MeDSLIP model: one image, two streams (anatomy: where; pathology: what), queried by text.

One class for training, zero-shot classification, grounding and fine-tuning. It computes no loss (see
`medslip_core.losses`).

Source: paper arXiv 2403.10635, section "Method", and the published implementation's PreTrain_MeDSLIP/models.
Differences on purpose: the text books are buffers, saved with the weights; loading is always strict.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medslip_core.decoder import Attention, QueryDecoder, sincos_positions
from medslip_core.model_card import model_card
from medslip_core.model_config import MedslipConfig
from medslip_core.text import usual_pooling
from medslip_core.trunk_model import TrunkModel


@dataclass(frozen=True)
class MedslipOutput:
    """What the model says about a batch of B images; A anatomies, P pathologies, N = h * w image patches.

    Attributes:
        pathology_logits: [B, P, 2], of absent and present; `pathology_prob` is what they say.
        anatomy_logits: [B, A, 2]; the same for "something is stated present there", `anatomy_prob`.
        pathology_features: [B, P, d]; anatomy_features: [B, A, d].
        pathology_prototypes: [B, P, T]; anatomy_prototypes: [B, A, T]: features projected into the text space.
        icl_logits: [B, A, P]; similarity of anatomy and pathology features.
        pathology_attention: [L, B, P, N]; anatomy_attention: [L, B, A, N]: cross-attention per layer, mean over heads,
            rows sum to 1; None unless asked for.
        grid: (h, w), so that attention[..., N] can be viewed as an image.
    """

    pathology_logits: Tensor | None = None
    anatomy_logits: Tensor | None = None
    pathology_features: Tensor | None = None
    anatomy_features: Tensor | None = None
    pathology_prototypes: Tensor | None = None
    anatomy_prototypes: Tensor | None = None
    icl_logits: Tensor | None = None
    pathology_attention: Tensor | None = None
    anatomy_attention: Tensor | None = None
    grid: tuple[int, int] | None = None

    @property
    def pathology_prob(self) -> Tensor:
        """Probability [B, P] float32 that each pathology is present."""
        return _present_prob(self.pathology_logits)

    @property
    def anatomy_prob(self) -> Tensor:
        """Probability [B, A] float32 that something is stated present at each anatomy."""
        return _present_prob(self.anatomy_logits)


def _present_prob(logits: Tensor) -> Tensor:
    """Of logits [B, Q, 2], of absent and present."""
    return logits.float().softmax(dim=-1)[..., 1]


class StreamProjection(nn.Module):
    """From gated image features [B, N, C] to one stream's memory [B, N, d]."""

    def __init__(self, channels: int, width: int, norm: bool) -> None:
        super().__init__()
        self.inner = nn.Linear(channels, channels)
        self.outer = nn.Linear(channels, width)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.outer(self.inner(features).relu()))


class MedslipModel(TrunkModel):
    """The dual-stream model.

    Parts, by name: `trunk`, `gate`, `pathology_projection`, `anatomy_projection`, `query_projection`,
    `pathology_decoder`, `anatomy_decoder`, `final_norm`, `pathology_existence`, `anatomy_existence`,
    `pathology_prototype`, `anatomy_prototype`; buffers `anatomy_book` [A, T] and `pathology_book` [P, T].
    """

    config_class = MedslipConfig

    def __init__(self, config: MedslipConfig) -> None:
        super().__init__(config)
        width, text_dim = config.hidden_dim, config.text_dim
        anatomies, pathologies = len(config.anatomies), len(config.pathologies)
        if config.gated:
            self.gate = nn.Linear(self.trunk.channels, self.trunk.channels)
        self.pathology_projection = StreamProjection(self.trunk.channels, width, config.memory_norm)
        self.anatomy_projection = StreamProjection(self.trunk.channels, width, config.memory_norm)

        self.register_buffer("anatomy_book", torch.zeros(anatomies, text_dim))
        self.register_buffer("pathology_book", torch.zeros(pathologies, text_dim))
        self.query_projection = nn.Linear(text_dim, width)
        if config.query_residual:
            self.anatomy_residual = nn.Parameter(torch.zeros(anatomies, width))
            self.pathology_residual = nn.Parameter(torch.zeros(pathologies, width))

        decoder = (config.decoder_layers, width, config.decoder_heads, config.feed_forward_dim, config.dropout)
        self.pathology_decoder = QueryDecoder(*decoder)
        self.anatomy_decoder = QueryDecoder(*decoder)
        # [0] serves the pathology stream and [-1] the anatomy stream, so that a shared norm is saved once.
        self.final_norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(1 + (config.final_norm == "separate")))

        self.head_dropout = nn.Dropout(config.dropout)
        self.pathology_existence = nn.Linear(width, 2)
        self.anatomy_existence = nn.Linear(width, 2)
        self.pathology_prototype = nn.Linear(width, text_dim)
        self.anatomy_prototype = nn.Linear(width, text_dim)

        for name, part in self.named_children():
            if name != "trunk":
                part.apply(partial(_draw_first_weights, wide_attention=config.wide_attention))

    def card(self, training: str) -> str:
        return model_card(self.config, training)

    def set_books(
        self,
        anatomy_book: Tensor,
        pathology_book: Tensor,
        encoder: str,
        pooling: str | None = None,
        separator: bool = True,
    ) -> None:
        """Store the text books, which travel with the weights from here on.

        Args:
            anatomy_book: [A, T] float32; pathology_book: [P, T] float32.
            encoder, pooling, separator: where they came from (`text.Books`), kept in the config: other texts that the
                model is asked with have to come from there too. pooling None: the one `embed_books` takes by itself.

        Raises:
            ValueError: a book has another shape than the config says, or values that are not finite.
        """
        for name, new in (("anatomy_book", anatomy_book), ("pathology_book", pathology_book)):
            stored = self.get_buffer(name)
            if new.shape != stored.shape:
                raise ValueError(
                    f"{name} from {encoder!r} has shape {tuple(new.shape)}, the model expects "
                    f"{tuple(stored.shape)}; set text_dim and the names in MedslipConfig"
                )
            if not new.isfinite().all():
                raise ValueError(f"{name} from {encoder!r} has values that are not finite")
            stored.copy_(new)
        origin = dict(text_encoder=encoder, text_pooling=pooling or usual_pooling(encoder), text_separator=separator)
        self.config = replace(self.config, **origin)

    def text_books(self) -> tuple[Tensor, Tensor]:
        """The anatomy book [A, T] and the pathology book [P, T] as the model uses them (centred if so configured).

        Raises:
            ValueError: no books were set.
        """
        if self.config.text_encoder is None:
            raise ValueError("the model has no text books yet: call set_books, with medslip_core.text.embed_books")
        return self._centred(self.anatomy_book, self.anatomy_book), self._centred(
            self.pathology_book, self.pathology_book
        )

    def forward(
        self,
        pixel_values: Tensor,
        more_pathologies: Tensor | None = None,
        output_attentions: bool = False,
    ) -> MedslipOutput:
        """Answer every query for every image.

        Args:
            pixel_values: [B, 3, S, S] float32, normalised (see `pixel_values`).
            more_pathologies: [n, T] text embeddings to query with after the pathologies, as further pathologies: of
                classes never seen in training, without a learned residual. Queries attend to each other, so that all
                pathologies' answers change a little with them; `zero_shot.classify_text` asks one at a time.
            output_attentions: also return where each query looked.
        """
        pathology_memory, anatomy_memory, grid = self.memories(pixel_values)
        pathology_features, pathology_attention = self.pathology_decoder(
            self._queries("pathology", len(pixel_values), more_pathologies),
            pathology_memory,
            output_attentions,
        )
        anatomy_features, anatomy_attention = self.anatomy_decoder(
            self._queries("anatomy", len(pixel_values)), anatomy_memory, output_attentions
        )
        pathology_features = self.final_norm[0](pathology_features)  # [B, P, d]
        anatomy_features = self.final_norm[-1](anatomy_features)  # [B, A, d]
        pathology_dropped, anatomy_dropped = self.head_dropout(pathology_features), self.head_dropout(anatomy_features)
        return MedslipOutput(
            pathology_logits=self.pathology_existence(pathology_dropped),
            anatomy_logits=self.anatomy_existence(anatomy_dropped),
            pathology_features=pathology_features,
            anatomy_features=anatomy_features,
            pathology_prototypes=self.pathology_prototype(pathology_dropped),
            anatomy_prototypes=self.anatomy_prototype(anatomy_dropped),
            icl_logits=self._icl_logits(anatomy_features, pathology_features),
            pathology_attention=pathology_attention,
            anatomy_attention=anatomy_attention,
            grid=grid,
        )

    def memories(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """The image seen by each stream, [B, N, d] twice, and the grid (h, w) of its N patches."""
        feature_map = self.trunk(pixel_values)  # [B, C, h, w]
        height, width = feature_map.shape[-2:]
        features = feature_map.flatten(2).transpose(1, 2)  # [B, C, h, w] -> [B, C, N] -> [B, N, C]
        of_pathology = of_anatomy = features
        if self.config.gated:
            gate = self.gate(features)
            if self.config.gate_activation == "sigmoid":
                gate = gate.sigmoid()
            of_pathology, of_anatomy = gate * features, (1 - gate) * features
        pathology, anatomy = self.pathology_projection(of_pathology), self.anatomy_projection(of_anatomy)
        if self.config.memory_position == "sincos2d":
            positions = sincos_positions(height, width, self.config.hidden_dim, features.device)  # [N, d]
            pathology, anatomy = pathology + positions.to(pathology), anatomy + positions.to(anatomy)
        return pathology, anatomy, (height, width)

    def _queries(self, stream: str, batch: int, more: Tensor | None = None) -> Tensor:
        """The text queries of a stream, [B, Q, d]."""
        anatomies, pathologies = self.text_books()
        queries = self.query_projection(anatomies if stream == "anatomy" else pathologies)
        if self.config.query_residual:
            queries = queries + self.get_parameter(f"{stream}_residual")
        if more is not None:
            book = self.get_buffer(f"{stream}_book")
            added = self.query_projection(self._centred(more.to(book), book))
            queries = torch.cat([queries, added])
        return queries.expand(batch, -1, -1)  # [Q, d] -> [B, Q, d]

    def _centred(self, book: Tensor, reference: Tensor) -> Tensor:
        """The book [n, T] about the reference book's mean, rows of norm sqrt(T), if the config centres books."""
        if not self.config.center_books:
            return book
        return F.normalize(book - reference.mean(dim=0), dim=1) * book.shape[1] ** 0.5

    def _icl_logits(self, anatomy: Tensor, pathology: Tensor) -> Tensor:
        """Similarities [B, A, P] of features [B, A, d] and [B, P, d], in float32 whatever the autocast."""
        with torch.autocast(anatomy.device.type, enabled=False):
            anatomy, pathology = anatomy.float(), pathology.float()
            if self.config.feature_norm:
                anatomy, pathology = F.normalize(anatomy, dim=-1), F.normalize(pathology, dim=-1)
            return self.config.icl_scale * anatomy @ pathology.transpose(1, 2)


def _draw_first_weights(module: nn.Module, wide_attention: bool) -> None:
    """Published initialisation: linear weights from N(0, 0.02), those of attention too, whose biases are 0.

    Other biases keep torch's defaults. `apply` reaches a module after its parts: the linear layers of an attention were
    drawn before.
    """
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, Attention):
        module.draw_wide() if wide_attention else module.clear_biases()
