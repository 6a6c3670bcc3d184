"""Words of reports as states of a text encoder, which stays as it is or learns with the model.

Sentences are encoded one by one, so that those that many reports have in common are encoded once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medslip_core.parameters import ParameterError
from medslip_core.text import load_encoder, token_states

KEPT_SENTENCES = 20_000
"""How many a frozen encoder keeps the states of."""


@dataclass(frozen=True)
class Words:
    """The words (tokens) of R texts.

    Attributes:
        states: [R, W, T] float32, zero where there is no word.
        mask: [R, W] bool, where there is one.
        sentence: [R, W] int64, the number of its sentence in its text.
    """

    states: Tensor
    mask: Tensor
    sentence: Tensor

    def mean(self) -> Tensor:
        """[R, T] over the words of each text."""
        return self.states.sum(dim=1) / self.mask.sum(dim=1, keepdim=True).clamp(min=1)

    def sentence_means(self) -> tuple[Tensor, Tensor]:
        """[R, M, T] over the words of each sentence, and [R, M] bool, which sentences there are."""
        count = int(self.sentence.amax()) + 1 if self.sentence.numel() else 1
        belongs = nn.functional.one_hot(self.sentence, count) * self.mask[..., None]  # [R, W, M]
        sums = belongs.transpose(1, 2).to(self.states.dtype) @ self.states  # [R, M, T]
        words = belongs.sum(dim=1)  # [R, M]
        return sums / words.clamp(min=1)[..., None], words > 0


class FrozenEncoder:
    """An encoder that does not learn: a sentence is encoded once, on the CPU.

    And by itself: the last bits of its states would depend on the sentences beside it, and a resumed run has others.
    (Where most sentences are new, as in hundreds of thousands of reports, that is slow: let a layer learn.)

    Args:
        encoder, separator: as for `text.embed_texts`.

    Raises:
        ValueError, FileNotFoundError: see `text.embed_texts`.
    """

    def __init__(self, encoder: str, separator: bool) -> None:
        self.tokenizer, self.model = load_encoder(encoder)
        self.separator, self.dim = separator, self.model.config.hidden_size
        self._known: dict[str, Tensor] = {}

    def __call__(self, sentences: list[str]) -> list[Tensor]:
        """States [words, T] of each sentence."""
        if len(self._known) + len(sentences) > KEPT_SENTENCES:
            self._known = {}
        for sentence in sentences:
            if sentence not in self._known:
                self._known[sentence] = self._states(sentence)
        return [self._known[sentence] for sentence in sentences]

    def __deepcopy__(self, memo: dict) -> FrozenEncoder:
        return self  # as all models of a process share it

    @torch.inference_mode(False)  # what is kept may be trained with later
    @torch.no_grad()
    def _states(self, sentence: str) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # the same, whoever asks first
            states, _, is_word = token_states([sentence], self.tokenizer, self.model, self.separator)
        return _words(states, is_word)[0]


frozen_encoder = functools.lru_cache(maxsize=1)(FrozenEncoder)
"""The `FrozenEncoder` that all models of a process share, and with it the states of their sentences."""


class LearningEncoder(nn.Module):
    """An encoder whose last layers learn.

    Args:
        encoder, separator: as for `text.embed_texts`.
        layers: how many.

    Raises:
        ParameterError: it has fewer layers, or none that could be told apart.
        ValueError, FileNotFoundError: see `text.embed_texts`.
    """

    def __init__(self, encoder: str, separator: bool, layers: int) -> None:
        super().__init__()
        self.tokenizer, self.model = load_encoder(encoder)
        self.separator, self.dim = separator, self.model.config.hidden_size
        stack = getattr(getattr(self.model, "encoder", None), "layer", None)
        if stack is None or layers > len(stack):
            held = "no such list of layers" if stack is None else f"{len(stack)} layers"
            raise ParameterError(f"text_layers: {layers} are to learn, {encoder!r} has {held}")
        self.model.requires_grad_(False)
        stack[len(stack) - layers :].requires_grad_(True)

    def forward(self, sentences: list[str]) -> list[Tensor]:
        """States [words, T] of each sentence."""
        states, _, is_word = token_states(sentences, self.tokenizer, self.model, self.separator)
        return _words(states, is_word)


def read_words(encoder: FrozenEncoder | LearningEncoder, texts: Sequence[list[str]], device: torch.device) -> Words:
    """The words of texts, each a list of sentences."""
    distinct = list(dict.fromkeys(sentence for text in texts for sentence in text))
    states = dict(zip(distinct, encoder(distinct), strict=True)) if distinct else {}
    nothing = torch.zeros(1, encoder.dim)  # stands in a text without words, masked
    rows = [torch.cat([states[one] for one in text]) if text else nothing for text in texts]
    numbers = [
        torch.cat([torch.full((len(states[one]),), number) for number, one in enumerate(text)])
        if text else torch.zeros(1, dtype=torch.long) for text in texts
    ]  # fmt: skip
    counts = torch.tensor([sum(len(states[one]) for one in text) for text in texts], device=device)
    padded = nn.utils.rnn.pad_sequence([row.to(device) for row in rows], batch_first=True)  # [R, W, T]
    mask = torch.arange(padded.shape[1], device=device) < counts[:, None]
    return Words(padded, mask, nn.utils.rnn.pad_sequence(numbers, batch_first=True).to(device))


def _words(states: Tensor, is_word: Tensor) -> list[Tensor]:
    return [state[chosen] for state, chosen in zip(states, is_word, strict=True)]
