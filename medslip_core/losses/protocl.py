"""ProtoCL, Prototypical Contrastive Learning: inside a stream, a query's feature should point at its text prototype.

A present pathology is contrasted against anatomies (where is it?), a present anatomy against pathologies (what is
there?). Source: paper, L_ProtoCL. The published code loops over B * 126 queries; here everything is one product.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medslip_core.vocabulary import PRESENT

NO_NEGATIVE = -1
"""Stands in `Negatives` where fewer candidates exist than were asked for; such a slot is left out of the loss."""


@dataclass(frozen=True)
class Negatives:
    """Indices of negative prototypes: anatomies for each pathology query, pathologies for each anatomy query.

    Attributes:
        pathology: [B, P, K] int64, anatomies (rows of `anatomy_book`).
        anatomy: [B, A, K] int64, pathologies (rows of `pathology_book`).
    """

    pathology: Tensor
    anatomy: Tensor


def sample_negatives(matrix: Tensor, count: int = 7, generator: torch.Generator | None = None) -> Negatives:
    """Draw negatives for every query, without replacement, from the entries with M != 1.

    Args:
        matrix: [B, A, P] integer; 1 present, 0 absent, below 0 unknown.
        count: negatives per query, K (a smaller vocabulary gives fewer).
        generator: source of randomness. The draw happens on its device (CPU by default): with a CPU generator the same
            seed gives the same negatives on every machine, with one on the matrix's device nothing waits for the host.

    Returns:
        Negatives on the matrix's device; `NO_NEGATIVE` where a query has fewer than K candidates.
    """
    device = generator.device if generator is not None else torch.device("cpu")
    # Ranking uniform keys is a draw without replacement; unusable entries get a key below all others.
    unusable = (matrix == PRESENT).to(device)
    keys = torch.rand(matrix.shape, generator=generator, device=device)  # [B, A, P]

    def draw(candidates_dim: int) -> Tensor:
        usable_keys = keys.masked_fill(unusable, -1.0).transpose(candidates_dim, 2)  # [B, queries, candidates]
        drawn, indices = usable_keys.topk(min(count, usable_keys.shape[2]), dim=2)  # [B, queries, K]
        return indices.masked_fill(drawn < 0, NO_NEGATIVE).to(matrix.device)

    return Negatives(pathology=draw(1), anatomy=draw(2))


def protocl_loss(
    prototypes: Tensor,
    matrix: Tensor,
    book: Tensor,
    negatives: Tensor,
    temperature: float | None = None,
) -> Tensor:
    """Cross entropy of each present query's true prototype against its negatives, for one stream.

    The true prototype is the mean of the book's rows that the query occurs with:
    c_0 = mean{book[k] : M[b, k, q] = 1}; logit_k = <c_k, prototypes[b, q]>.

    Args:
        prototypes: [B, Q, T] float; the queries' features, projected into the text space.
        matrix: [B, K, Q] integer, the books' entries first (the anatomy stream passes its transpose).
        book: [K, T] float, text embeddings of the *other* vocabulary.
        negatives: [B, Q, n] integer, rows of the book; `NO_NEGATIVE` is left out.
        temperature: None for raw dot products (published); else cosine similarity divided by this.

    Returns:
        Scalar float32, the mean over all (b, q) with a 1; zero when there is none.
    """
    prototypes, book = prototypes.float(), book.float()
    if temperature is not None:
        prototypes, book = F.normalize(prototypes, dim=-1), F.normalize(book, dim=-1)
    present = (matrix == PRESENT).transpose(1, 2).float()  # [B, Q, K]
    partners = present.sum(dim=2)  # [B, Q]
    positive = present @ book / partners.clamp(min=1).unsqueeze(2)  # [B, Q, T]
    if temperature is not None:
        positive = F.normalize(positive, dim=-1)
    positive_logits = (prototypes * positive).sum(dim=2, keepdim=True)  # [B, Q, 1]
    negative_logits = (prototypes @ book.T).gather(2, negatives.long().clamp(min=0))  # [B, Q, n]
    negative_logits = negative_logits.masked_fill(negatives == NO_NEGATIVE, float("-inf"))
    logits = torch.cat([positive_logits, negative_logits], dim=2) / (temperature or 1.0)  # [B, Q, 1 + n]
    losses = -logits.log_softmax(dim=2)[..., 0]  # [B, Q]; the true prototype stands first
    is_present = (partners > 0).float()
    return (losses * is_present).sum() / is_present.sum().clamp(min=1)
