"""Training on images beside reports, as a run sees it (`training_task.Task`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from medslip_core.augment import Views
from medslip_core.contrastive.model import ContrastiveModel, ContrastiveOutput
from medslip_core.contrastive.reports import ReportSentences, mirrored, one_sentence, shuffled
from medslip_core.contrastive.towers import Read, Seen
from medslip_core.corpus import PreparedCorpus
from medslip_core.pretrain_params import PretrainParams
from medslip_core.training_batch import ImageSource


@dataclass(frozen=True)
class ReportBatch:
    """A batch without its pixels: corpus rows [B], views (None: not augmented), and per image the sentences read."""

    rows: np.ndarray
    views: Views | None
    texts: list[list[str]]

    def part(self, place: slice) -> ReportBatch:
        """Some of its images."""
        return ReportBatch(self.rows[place], self.views and self.views[place], self.texts[place])


class ContrastiveTask:
    """The objective of a contrasted model's towers.

    Args:
        params: of the run.
        corpus: with reports.
        model: to train.
        device: where images go.
    """

    divisible = False

    def __init__(self, params: PretrainParams, corpus: PreparedCorpus, model: ContrastiveModel, device: torch.device):
        self.params, self.model, self.reports = params, model, ReportSentences(corpus)
        self.terms = ("total", *model.towers.terms)
        self.weights = torch.tensor(model.towers.weights, device=device)
        self.source = ImageSource(params, corpus, device, "report")

    def batch(self, step: int) -> ReportBatch:
        rows, views = self.source.views(step)
        return ReportBatch(rows, views, self._texts(rows, views.flipped.tolist(), self.source.order.epoch_of(step)))

    def validation_batch(self, rows: np.ndarray, number: int) -> ReportBatch:
        return ReportBatch(rows, None, self._texts(rows, [False] * len(rows), epoch=0))

    def output(self, network: nn.Module, pixel_values: Tensor, batch: ReportBatch) -> ContrastiveOutput:
        return network(pixel_values, batch.texts)

    def losses(self, output: ContrastiveOutput, batch: ReportBatch) -> Tensor:
        told = [number for number, text in enumerate(batch.texts) if text]  # of some images nothing is said
        if not told:
            return output.seen.whole.sum() * torch.zeros_like(self.weights)
        seen = Seen(output.seen.whole[told].float(), output.seen.patches[told].float())
        read = Read(output.read.whole[told].float(), output.read.units[told].float(), output.read.mask[told])
        with torch.autocast(self.weights.device.type, enabled=False):
            return torch.stack(self.model.towers.losses(seen, read))

    def counts(self, batch: ReportBatch) -> Tensor:
        return torch.full_like(self.weights, sum(map(bool, batch.texts)))

    def probabilities(self, output: ContrastiveOutput) -> Tensor:
        return self.model.answers(output.seen, output.grid).pathology_prob

    def tensors(self, batch: ReportBatch) -> dict[str, Tensor]:
        return {}

    def _texts(self, rows: np.ndarray, flipped: list[bool], epoch: int) -> list[list[str]]:
        """What is read of each row's report in an epoch, of those flipped as of their mirror image."""
        texts = []
        for row, flip in zip(rows.tolist(), flipped, strict=True):
            text = mirrored(self.reports.of(row)) if flip else self.reports.of(row)
            if self.model.towers.text_view == "one sentence":
                text = one_sentence(text, self.params.seed, epoch, row)
            elif self.model.towers.text_view == "shuffled":
                text = shuffled(text, self.params.seed, epoch, row)
            texts.append(text[: self.model.config.max_sentences])
        return texts
