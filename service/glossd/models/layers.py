"""The few pieces both family shapes are built from: linear maps, norms, attention over a batch and over the cache.

Weights are plain tensors taken from a ``transformers`` model; nothing here is trainable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from glossd.models.step import DecodeStep
from glossd.native import Kernels

Activation = Callable[[Tensor], Tensor]
Weight = Tensor | Sequence[Tensor]
"""A weight (out, in), or several of the same inputs whose outputs stand side by side."""


class LinearMap(Protocol):
    """An affine map of the last dimension; the output of a row depends on that row alone.

    ``integer`` says that it depends on it bit for bit.
    """

    integer: ClassVar[bool]

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """``x @ weight.T + bias``; ``weight`` (out, in), ``bias`` (out,) or None."""

    weight: Tensor
    bias: Tensor | None
    activation: Activation | None = None
    integer: ClassVar[bool] = False

    @classmethod
    def of(cls, weight: Weight, bias: Tensor | None, activation: str = "") -> Linear:
        """A map, and what follows it, by the activation's name in model configurations."""
        whole = weight if isinstance(weight, Tensor) else torch.cat(list(weight))
        return cls(whole, bias, named_activation(activation))

    def __call__(self, hidden: Tensor) -> Tensor:
        """See :class:`LinearMap`."""
        output = functional.linear(hidden, self.weight, self.bias)
        return output if self.activation is None else self.activation(output)


class MakeLinear(Protocol):
    """Turns a weight (out, in), a bias (out,) and an activation's name into a map."""

    def __call__(self, weight: Weight, bias: Tensor | None, activation: str = "") -> LinearMap:
        """Make the map."""
        ...


def weight_shape(weight: Weight) -> tuple[int, int]:
    """Outputs and inputs."""
    parts = [weight] if isinstance(weight, Tensor) else weight
    return sum(len(part) for part in parts), parts[0].shape[1]


def named_activation(name: str) -> Activation | None:
    """The activation that ``transformers`` knows by this name; None for ""."""
    if not name:
        return None
    from transformers.activations import ACT2FN

    function: Activation = ACT2FN[name]
    return function


def fuse(make: MakeLinear, *parts: nn.Linear, activation: str = "") -> LinearMap:
    """One map whose output is the parts' outputs side by side, then the activation.

    The parts are empty afterwards, so that a model does not stand in memory twice while it is taken over.
    """
    weights = [part.weight.detach() for part in parts]
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    fused = make(weights[0] if len(weights) == 1 else weights, torch.cat(biases) if biases else None, activation)
    empty(*parts)
    return fused


def empty(*parts: nn.Module) -> None:
    """Let go of the parts' weights, which have been taken over: what keeps none of them frees their memory."""
    for part in parts:
        weight = part.weight
        assert isinstance(weight, Tensor)
        weight.data = weight.new_empty(0)


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

    def after_sum(self, hidden: Tensor, residual: Tensor, kernels: Kernels | None) -> Tensor:
        """The norm of ``hidden + residual``, both (..., width)."""
        if kernels is None:
            return self(hidden + residual)
        hidden, residual = hidden.contiguous(), residual.contiguous()
        output = torch.empty_like(hidden)
        width = hidden.shape[-1]
        addresses = (hidden.data_ptr(), residual.data_ptr(), self.weight.data_ptr(), self.bias.data_ptr())
        kernels.add_norm(*addresses, self.epsilon, None, output.data_ptr(), hidden.numel() // width, width)
        return output


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
        if self.qkv.integer and mask is not None:
            context = self._apart(queries, keys, values, mask)
        else:
            context = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=self.scale)
        return self.output(context.transpose(1, 2).reshape(batch, time, -1))

    def _apart(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attention (B, H, L, D) of each source over its own tokens only.

        Sums over padding are rounded as no lone segment's are, and 8-bit rounding behind them would show it.
        """
        context = torch.zeros_like(queries)
        for number, length in enumerate(_lengths(mask, len(queries))):
            own = (slice(number, number + 1), slice(None), slice(length))
            one = mask[min(number, len(mask) - 1)]
            bias = None if mask.dtype == torch.bool else one[None, :, :length, :length]
            context[own] = functional.scaled_dot_product_attention(
                queries[own], keys[own], values[own], attn_mask=bias, scale=self.scale
            )
        return context

    def over_cache(self, hidden: Tensor, step: DecodeStep, layer: int, bias: Tensor | None = None) -> Tensor:
        """Decoder self-attention of one step: ``hidden`` (R, E); writes this step's keys and values.

        ``bias``: additive (R, H, 1, T) that already holds the causal mask; None uses ``step.mask``.
        """
        rows = hidden.shape[0]
        projected = self.qkv(hidden)
        if step.kernels is not None:
            return self.output(_attend_self(step.kernels, projected, step, layer, self, bias))
        queries, keys, values = projected.view(rows, 3, self.heads, -1).unbind(1)
        past_keys, past_values = step.append(layer, keys, values)
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
        layout = step.layout
        rows = hidden.shape[0]
        projected = self.query(hidden)
        if step.kernels is not None:
            return self.output(_attend_cross(step.kernels, projected, step, layer, self))
        queries = projected.view(rows, self.heads, -1)
        keys, values = step.cross(layer)
        if layout.regular:
            grid = queries.view(layout.sources, layout.lanes, self.heads, -1)
        else:
            grid = queries.new_zeros(layout.sources, layout.lanes, self.heads, queries.shape[-1])
            grid[layout.row_sources, layout.row_lanes] = queries
        context = functional.scaled_dot_product_attention(
            grid.transpose(1, 2), keys, values, attn_mask=layout.mask, scale=self.scale
        ).transpose(1, 2)
        if not layout.regular:
            context = context[layout.row_sources, layout.row_lanes]
        return self.output(context.reshape(rows, -1))


def _attend_self(
    kernels: Kernels, projected: Tensor, step: DecodeStep, layer: int, attention: SelfAttention, bias: Tensor | None
) -> Tensor:
    """Write this step's keys and values and attend over each row's own past: ``projected`` (R, 3 E) to (R, E)."""
    rows, total = projected.shape
    keys, values = step.cache.self_store(layer)
    heads, capacity, width = keys.shape[1:]
    start, span = projected.data_ptr(), 4 * total // 3
    positions = step.positions.data_ptr()
    store = (keys.data_ptr(), values.data_ptr())
    ancestors = step.cache.ancestors.data_ptr()
    kernels.append(start + span, start + 2 * span, total, *store, positions, ancestors, rows, heads, capacity, width)
    offsets = None if bias is None else bias.expand(rows, heads, 1, step.time).contiguous()
    return _attend(kernels, projected, step, (keys, values), None, step.counts, attention.scale, offsets)


def _attend_cross(
    kernels: Kernels, projected: Tensor, step: DecodeStep, layer: int, attention: CrossAttention
) -> Tensor:
    """Attend over each row's source: ``projected`` (R, E) to (R, E)."""
    cache = step.cache
    store = cache.cross_store(layer)
    return _attend(kernels, projected, step, store, cache.row_sources, cache.row_counts, attention.scale, None)


def _attend(
    kernels: Kernels,
    queries: Tensor,
    step: DecodeStep,
    store: tuple[Tensor, Tensor],
    entries: Tensor | None,
    counts: Tensor,
    scale: float | None,
    bias: Tensor | None,
) -> Tensor:
    """One query a row, at the start of each row of ``queries``, over its own entry of a store or its ancestors."""
    keys, values = store
    heads, capacity, width = keys.shape[1:]
    rows = queries.shape[0]
    context = torch.empty(rows, heads * width)
    kernels.attend(
        queries.data_ptr(),
        queries.shape[1],
        keys.data_ptr(),
        values.data_ptr(),
        None if entries is None else entries.data_ptr(),
        step.cache.ancestors.data_ptr(),
        step.cache.ancestors.shape[1],
        counts.data_ptr(),
        None if bias is None else bias.data_ptr(),
        0 if bias is None else bias.shape[-1],
        context.data_ptr(),
        step.scratch.data_ptr(),
        rows,
        heads,
        capacity,
        width,
        width**-0.5 if scale is None else scale,
    )
    return context


def _lengths(mask: Tensor, batch: int) -> list[int]:
    """How many tokens each source has, by its mask over (B or 1, 1 or H, 1 or L, L)."""
    seen = mask[:, 0, 0] if mask.dtype == torch.bool else mask[:, 0, 0] > -1e30
    lengths: list[int] = seen.sum(-1).tolist()
    return lengths if len(lengths) == batch else lengths * batch


def padding_mask(lengths: Tensor, time: int) -> Tensor | None:
    """(B, 1, 1, L) bool, True where ``lengths`` (B,) has a token; None where nothing is known to be padded."""
    if lengths.device.type == "cpu" and bool((lengths == time).all()):
        return None
    return (torch.arange(time, device=lengths.device) < lengths[:, None])[:, None, None, :]
