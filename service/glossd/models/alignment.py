"""Where a decoder looked for each token: attention weights of a whole pair at once, and the one matrix made of them.

A pair is decoded again with its tokens given, so this costs about one encoder run. Nothing here decodes for a caller.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from glossd.models.layers import CrossAttention, SelfAttention

SHALLOW_LAYERS = 3


@runtime_checkable
class AligningModel(Protocol):
    """A model that can tell where it looked. As thread-safe as its weights: it writes to no cache."""

    def cross_weights(self, source_ids: Tensor, token_ids: Tensor) -> Tensor:
        """Cross-attention weights (layers, heads, T, S) float32 of one pair.

        ``source_ids`` (1, S) int64 and ``token_ids`` (1, T) int64, the decoder's inputs from its start token on: row t
        is where the decoder looks while it writes the token after input t.
        """
        ...


def look_at(weights: Tensor) -> Tensor:
    """(T, S): where the decoder looks for each token, of (layers, heads, T, S) weights.

    The mean of the heads of one layer: the last one of a shallow decoder, else the one before it, whose attention is
    nearest to an alignment (Garg et al. 2019).
    """
    layers = weights.shape[0]
    return weights[layers - 1 if layers <= SHALLOW_LAYERS else layers - 2].mean(0)


def over_past(attention: SelfAttention, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
    """Decoder self-attention of all positions at once: ``hidden`` (1, T, E), ``bias`` additive (1, H, T, T)."""
    batch, time, _ = hidden.shape
    queries, keys, values = attention.qkv(hidden).view(batch, time, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
    later = torch.ones(time, time, dtype=torch.bool, device=hidden.device).triu(1)
    scores = _scores(queries, keys, attention.scale)
    scores = (scores if bias is None else scores + bias).masked_fill(later, -torch.inf)
    context = scores.softmax(-1).to(values.dtype) @ values
    return attention.output(context.transpose(1, 2).reshape(batch, time, -1))


def over_source(attention: CrossAttention, hidden: Tensor, encoded: Tensor, seen: list[Tensor]) -> Tensor:
    """Cross-attention of all positions at once; its weights (H, T, S) are added to ``seen``."""
    batch, time, _ = hidden.shape
    queries = attention.query(hidden).view(batch, time, attention.heads, -1).transpose(1, 2)
    keys, values = attention.project(encoded)
    weights = _scores(queries, keys, attention.scale).softmax(-1)
    seen.append(weights[0])
    context = weights.to(values.dtype) @ values
    return attention.output(context.transpose(1, 2).reshape(batch, time, -1))


def _scores(queries: Tensor, keys: Tensor, scale: float | None) -> Tensor:
    factor = queries.shape[-1] ** -0.5 if scale is None else scale
    return (queries.float() @ keys.float().transpose(-1, -2)) * factor
