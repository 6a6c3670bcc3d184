"""Words of reports as states of an encoder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medslip_core.contrastive import text_encoder
from medslip_core.contrastive.text_encoder import FrozenEncoder, LearningEncoder, Words, frozen_encoder, read_words
from medslip_core.parameters import ParameterError
from medslip_core.text import PACKAGED_MINILM, embed_texts

CPU = torch.device("cpu")
TEXTS = [["There is an effusion.", "No pneumothorax."], [], ["No pneumothorax."]]


@pytest.fixture(scope="module")
def frozen() -> FrozenEncoder:
    return FrozenEncoder(PACKAGED_MINILM, True)


def test_words_are_those_of_the_text(frozen: FrozenEncoder) -> None:
    words = read_words(frozen, TEXTS, CPU)
    count = [len(frozen.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in TEXTS[0]]
    assert words.mask.sum(dim=1).tolist() == [sum(count), 0, count[1]]
    assert words.sentence[0].tolist() == [0] * count[0] + [1] * count[1]
    assert not words.states[~words.mask].any() and words.states.dtype == torch.float32
    torch.testing.assert_close(words.states[0, count[0] : sum(count)], words.states[2, : count[1]])


def test_states_are_those_of_the_encoder(frozen: FrozenEncoder, tmp_path: Path) -> None:
    """The mean over all tokens, first and last included, is the sentence's embedding."""
    sentence = TEXTS[0][0]
    (state,) = frozen([sentence])
    tokens = frozen.tokenizer(sentence, return_tensors="pt")
    with torch.no_grad():
        everything = frozen.model(**tokens).last_hidden_state[0]
    torch.testing.assert_close(state, everything[1:-1])
    embedded = embed_texts([sentence], PACKAGED_MINILM, "mean", cache_folder=tmp_path)
    torch.testing.assert_close(everything.mean(dim=0), embedded[0])


def test_a_sentence_is_encoded_once(frozen: FrozenEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = text_encoder.token_states
    monkeypatch.setattr(
        text_encoder, "token_states", lambda texts, *rest: asked.extend(texts) or original(texts, *rest)
    )
    frozen(["A new one.", "Another new one."])
    frozen(["Another new one.", "A third."])
    assert asked == ["A new one.", "Another new one.", "A third."]
    monkeypatch.setattr(text_encoder, "KEPT_SENTENCES", 1)
    assert len(frozen(["A new one.", "A fourth."])) == 2, "what is kept has an end, what is asked for is answered"


def test_the_sentences_beside_it_change_no_bit_of_a_sentence() -> None:
    alone, beside = FrozenEncoder(PACKAGED_MINILM, True), FrozenEncoder(PACKAGED_MINILM, True)
    (first,) = alone(["Mild cardiomegaly."])
    _, second = beside(["There is a large left pleural effusion with atelectasis.", "Mild cardiomegaly."])
    assert torch.equal(first, second)
    assert frozen_encoder(PACKAGED_MINILM, True) is frozen_encoder(PACKAGED_MINILM, True)


def test_what_is_kept_can_be_trained_with(frozen: FrozenEncoder) -> None:
    with torch.inference_mode():
        (state,) = frozen(["First asked in an evaluation."])
    assert not state.is_inference() and not state.requires_grad
    layer = nn.Linear(frozen.dim, 1)
    layer(frozen(["First asked in an evaluation."])[0]).sum().backward()
    assert layer.weight.grad.any()


def test_means_by_hand() -> None:
    states, mask = torch.randn(2, 5, 3), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]).bool()
    words = Words(states * mask[..., None], mask, torch.tensor([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]))
    means, there = words.sentence_means()
    assert there.tolist() == [[True, True], [True, False]]
    torch.testing.assert_close(means[0], torch.stack([states[0, :2].mean(0), states[0, 2:4].mean(0)]))
    torch.testing.assert_close(words.mean(), torch.stack([states[0, :4].mean(0), states[1, :2].mean(0)]))


def gradients(encoder: LearningEncoder) -> dict[str, Tensor]:
    return {name: one.grad for name, one in encoder.named_parameters() if one.grad is not None}


def test_the_last_layers_learn(frozen: FrozenEncoder) -> None:
    learning = LearningEncoder(PACKAGED_MINILM, True, layers=2).eval()
    told = learning(TEXTS[0])
    torch.testing.assert_close([one.detach() for one in told], frozen(TEXTS[0]), atol=1e-5, rtol=1e-4)
    sum(one.square().sum() for one in told).backward()
    layers = {name.split(".layer.")[1].split(".")[0] for name in gradients(learning)}
    count = len(learning.model.encoder.layer)
    assert layers == {str(count - 2), str(count - 1)}


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(ParameterError, match="text_layers: 99 are to learn, 'packaged-minilm' has 6 layers"):
        LearningEncoder(PACKAGED_MINILM, True, layers=99)
