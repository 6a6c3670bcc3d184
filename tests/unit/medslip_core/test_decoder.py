import math

import pytest
import torch

from medslip_core.decoder import Attention, QueryDecoder, sincos_positions


def test_attention_is_torchs_attention() -> None:
    torch.manual_seed(0)
    ours = Attention(width=16, heads=4, dropout=0.0)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    projections = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in projections]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in projections]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    queries, memory = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    expected, expected_weights = theirs(queries, memory, memory)
    explicit, weights = ours(queries, memory, return_weights=True)
    fused, none = ours(queries, memory)
    torch.testing.assert_close(explicit, expected)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(weights, expected_weights)
    assert none is None


def test_decoder_stacks_weights_by_layer() -> None:
    decoder = QueryDecoder(layers=3, width=16, heads=4, feed_forward=32, dropout=0.1).eval()
    features, weights = decoder(torch.randn(2, 5, 16), torch.randn(2, 9, 16), return_weights=True)
    assert features.shape == (2, 5, 16) and weights.shape == (3, 2, 5, 9)


def test_positions_tell_row_and_column() -> None:
    codes = sincos_positions(3, 5, 16).view(3, 5, 16)
    assert codes.abs().max() <= 1
    assert torch.equal(codes[0, :, :8], codes[0, :1, :8].expand(5, 8)), "first half: the row alone"
    assert torch.equal(codes[:, 0, 8:], codes[:1, 0, 8:].expand(3, 8)), "second half: the column alone"
    distances = torch.cdist(codes.flatten(0, 1), codes.flatten(0, 1)) + torch.eye(15) * 9
    assert distances.min() > 0.1, "no two cells share a code"


def test_positions_by_hand() -> None:
    """Eight channels: sine and cosine of the row at the frequencies 1 and 100^(-1/2), then of the column."""
    expected = [*(f(2 * w) for f in (math.sin, math.cos) for w in (1, 0.1)),
                *(f(3 * w) for f in (math.sin, math.cos) for w in (1, 0.1))]  # fmt: skip
    assert sincos_positions(4, 5, 8).view(4, 5, 8)[2, 3].tolist() == pytest.approx(expected)


def test_widths_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="hidden_dim=10"):
        Attention(10, 4, 0.0)
    with pytest.raises(ValueError, match="hidden_dim=10"):
        sincos_positions(2, 2, 10)
