"""The few pieces both family shapes are built from: linear maps, norms, attention over a batch and over the cache.

Weights are plain tensors taken from a ``transformers`` model; nothing here is trainable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossd.models.cache import KVCache

Activation = Callable[[Tensor], Tensor]


class LinearMap(Protocol):
    """An affine map of the last dimension; the output of a row depends on that row alone."""

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """``x @ weight.T + bias``; ``weight`` (out, in), ``bias`` (out,) or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, hidden: Tensor) -> Tensor:
        """See :class:`LinearMap`."""
        return functional.linear(hidden, self.weight, self.bias)


MakeLinear = Callable[[Tensor, Tensor | None], LinearMap]
"""Turns a weight (out, in) and a bias (out,) into a map: :class:`Linear`, or its int8 form."""


def fuse(make: MakeLinear, *parts: nn.Linear) -> LinearMap:
    """One map whose output is the parts' outputs side by side."""
    weight = torch.cat([part.weight.detach() for part in parts])
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    return make(weight, torch.cat(biases) if biases else None)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Layer normalisation with weight and bias (width,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    @classmethod
    def of(cls, module: nn.LayerNorm) -> LayerNorm:
        """Take over a module's weights."""
        return cls(module.weight.detach(), module.bias.detach(), module.eps)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        return functional.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class SelfAttention:
    """Fused query, key and value projection, and the output projection. ``scale`` None means head_width ** -0.5."""

    qkv: LinearMap
    output: LinearMap
    heads: int
    scale: float | None = None

    def over_batch(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Encoder self-attention: ``hidden`` (B, L, E); ``mask`` bool or additive, broadcast to (B, H, L, L)."""
        batch, time, _ = hidden.shape
        queries, keys, values = self.qkv(hidden).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=self.scale)
        return self.output(context.transpose(1, 2).reshape(batch, time, -1))

    def over_cache(self, hidden: Tensor, step: DecodeStep, layer: int, bias: Tensor | None = None) -> Tensor:
        """Decoder self-attention of one step: ``hidden`` (R, E); writes this step's keys and values.

        ``bias``: additive (R, H, 1, T) that already holds the causal mask; None uses ``step.mask``.
        """
        rows = hidden.shape[0]
        queries, keys, values = self.qkv(hidden).view(rows, 3, self.heads, -1).unbind(1)
        past_keys, past_values = step.cache.append(layer, keys, values, step.positions, step.time)
        mask = step.mask if bias is None else bias
        context = functional.scaled_dot_product_attention(
            queries.unsqueeze(2), past_keys, past_values, attn_mask=mask, scale=self.scale
        )
        return self.output(context.reshape(rows, -1))


@dataclass(frozen=True, slots=True)
class CrossAttention:
    """Attention of decoder rows over their source; keys and values are projected once per source."""

    query: LinearMap
    key_value: LinearMap
    output: LinearMap
    heads: int
    scale: float | None = None

    def project(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, L, D) of ``encoded`` (B, L, E)."""
        batch, time, _ = encoded.shape
        keys, values = self.key_value(encoded).view(batch, time, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return keys, values

    def over_cache(self, hidden: Tensor, step: DecodeStep, layer: int) -> Tensor:
        """One step: ``hidden`` (R, E). The beams of one source go through as its queries, so nothing is copied."""
        cache = step.cache
        rows = hidden.shape[0]
        queries = self.query(hidden).view(rows, self.heads, -1)
        keys, values = cache.cross(layer)
        if cache.regular:
            grid = queries.view(cache.sources, cache.lanes, self.heads, -1)
        else:
            grid = queries.new_zeros(cache.sources, cache.lanes, self.heads, queries.shape[-1])
            grid[cache.row_sources, cache.row_lanes] = queries
        context = functional.scaled_dot_product_attention(
            grid.transpose(1, 2), keys, values, attn_mask=cache.cross_mask, scale=self.scale
        ).transpose(1, 2)
        if not cache.regular:
            context = context[cache.row_sources, cache.row_lanes]
        return self.output(context.reshape(rows, -1))


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """What every layer of one decode step needs: each row's position (R,), the longest row's length, the mask."""

    cache: KVCache
    positions: Tensor
    time: int
    mask: Tensor

    @classmethod
    def begin(cls, positions: Tensor, cache: KVCache) -> DecodeStep:
        """Reserve room for this step and mask what lies after each row's own position: (R, 1, 1, T), True is seen."""
        time = int(positions.max()) + 1
        cache.reserve_time(time)
        mask = (torch.arange(time, device=positions.device) <= positions[:, None])[:, None, None, :]
        return cls(cache, positions, time, mask)


def padding_mask(lengths: Tensor, time: int) -> Tensor | None:
    """(B, 1, 1, L) bool, True where ``lengths`` (B,) has a token; None where nothing is padded."""
    if bool((lengths == time).all()):
        return None
    return (torch.arange(time, device=lengths.device) < lengths[:, None])[:, None, None, :]
