"""The query decoder: text queries look at the image, and say where they looked.

Source: paper section "Query network"; pre-norm layers of self-attention over the queries, cross-attention to the
image memory, and a feed-forward network, as in the published implementation.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention that returns its weights only when asked (they cost memory and the fused kernel)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"hidden_dim={width} is not divisible by decoder_heads={heads}")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def clear_biases(self) -> None:
        """Published first biases: all 0."""
        for projection in (self.query, self.key, self.value, self.output):
            nn.init.zeros_(projection.bias)

    def draw_wide(self) -> None:
        """Query, key and value as `torch.nn.MultiheadAttention` draws them: wide enough that attention is not flat."""
        bound = math.sqrt(6 / (4 * self.query.in_features))
        for projection in (self.query, self.key, self.value):
            nn.init.uniform_(projection.weight, -bound, bound)
            nn.init.zeros_(projection.bias)

    def forward(self, x: Tensor, memory: Tensor, return_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Attend from x [B, Q, d] to memory [B, N, d].

        Returns:
            Update [B, Q, d], and the weights averaged over heads [B, Q, N] (rows sum to 1) if `return_weights`.
        """
        query, key, value = self._split(self.query(x)), self._split(self.key(memory)), self._split(self.value(memory))
        dropout = self.dropout if self.training else 0.0
        if return_weights:
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [B, heads, Q, N]
            weights = scores.float().softmax(dim=-1)
            mixed = F.dropout(weights, dropout).to(value.dtype) @ value  # [B, heads, Q, d / heads]
            mean_weights = weights.mean(dim=1)  # [B, Q, N]
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)  # [B, heads, Q, d / heads]
            mean_weights = None
        return self.output(mixed.transpose(1, 2).flatten(2)), mean_weights  # [B, Q, d]

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, M, d] -> [B, heads, M, d / heads]


class DecoderLayer(nn.Module):
    """One pre-norm layer: queries among themselves, queries to the image, feed-forward."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, heads, dropout)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, heads, dropout)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, return_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Update queries x [B, Q, d] from memory [B, N, d]; weights [B, Q, N] of the cross-attention if asked."""
        normed = self.self_norm(x)
        x = x + self.dropout(self.self_attention(normed, normed)[0])
        update, weights = self.cross_attention(self.cross_norm(x), memory, return_weights)
        x = x + self.dropout(update)
        x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x, weights


class QueryDecoder(nn.Module):
    """A stack of decoder layers; its final norm belongs to the model, which may share it between two streams."""

    def __init__(self, layers: int, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, feed_forward, dropout) for _ in range(layers))

    def forward(self, queries: Tensor, memory: Tensor, return_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Decode queries [B, Q, d] against memory [B, N, d].

        Returns:
            Features [B, Q, d], and the cross-attention per layer [L, B, Q, N] if `return_weights`.
        """
        weights = []
        for layer in self.layers:
            queries, layer_weights = layer(queries, memory, return_weights)
            weights.append(layer_weights)
        return queries, torch.stack(weights) if return_weights else None


def sincos_positions(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Fixed 2-d position codes: half of the channels tell the row, half the column.

    Args:
        height, width: grid of the image memory.
        dim: channels, a multiple of 4.

    Returns:
        [height * width, dim] float32 in -1..1, row by row.
    """
    if dim % 4:
        raise ValueError(f"hidden_dim={dim} must be a multiple of 4 for sincos2d positions")
    frequencies = 100.0 ** (-torch.arange(dim // 4, device=device) / (dim // 4))  # [dim / 4], radians per cell

    def code(positions: int) -> Tensor:
        angles = torch.arange(positions, device=device)[:, None] * frequencies  # [positions, dim / 4]
        return torch.cat([angles.sin(), angles.cos()], dim=1)  # [positions, dim / 2]

    rows = code(height)[:, None].expand(height, width, dim // 2)
    columns = code(width)[None].expand(height, width, dim // 2)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)  # [height, width, dim] -> [height * width, dim]
