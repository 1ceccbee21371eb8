"""The T5-like shape: T5, T5 1.1, Flan-T5, mT5 and UMT5. What differs is a class attribute or read from the weights.

Sources: Raffel et al. 2019 (T5), Xue et al. 2020 (mT5), Chung et al. 2023 (UMT5); weights and exact arithmetic are
those of the ``transformers`` classes. Position is a bias on attention scores by distance, so it has no last row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from glossd.models.alignment import over_past, over_source
from glossd.models.cache import CacheShape, KVCache
from glossd.models.compute import Compute
from glossd.models.distance import DistanceBias
from glossd.models.facts import model_info
from glossd.models.graphed import StaticCache
from glossd.models.layers import (
    Activation,
    CrossAttention,
    LinearMap,
    MakeLinear,
    SelfAttention,
    fuse,
    padding_mask,
)
from glossd.models.program import CONTEXT, HIDDEN, NORMED, WIDE, Distances, Program, ProgramCache, Programs
from glossd.models.quantized import Int8Matrix
from glossd.models.step import DecodeStep
from glossd.models.vocabulary import Vocabulary
from glossd.native import Kernels

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """Division by the root of the mean square, with a weight (width,) and no bias; computed in float32."""

    weight: Tensor
    epsilon: float

    @classmethod
    def of(cls, module: Any) -> RMSNorm:
        """Take over a module's weight."""
        return cls(module.weight.detach(), module.variance_epsilon)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        wide = hidden.float()
        scaled = hidden * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return self.weight * scaled.to(self.weight.dtype)


@dataclass(frozen=True, slots=True)
class FeedForward:
    """``contract(activation(gate(x)) * expand(x))``; without a gate, ``contract(activation(expand(x)))``.

    ``expand`` gives the gate's output and its own side by side where ``gated``, else it applies the activation itself.
    """

    expand: LinearMap
    contract: LinearMap
    activation: Activation
    gated: bool

    @classmethod
    def of(cls, module: Any, make: MakeLinear, activation: str) -> FeedForward:
        """Take over a ``transformers`` feed-forward module, gated or not, and its activation by name."""
        gated = hasattr(module, "wi_0")
        expand = fuse(make, module.wi_0, module.wi_1) if gated else fuse(make, module.wi, activation=activation)
        return cls(expand, fuse(make, module.wo), module.act, gated)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., E) to (..., E)."""
        inner = self.expand(hidden)
        if not self.gated:
            return self.contract(inner)
        gate, linear = inner.chunk(2, dim=-1)
        return self.contract(self.activation(gate) * linear)


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Weights of one encoder layer; ``bias`` None takes the bias of the layer before."""

    attention: SelfAttention
    attention_norm: RMSNorm
    feed_forward: FeedForward
    feed_forward_norm: RMSNorm
    bias: DistanceBias | None


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Weights of one decoder layer; ``bias`` None takes the bias of the layer before."""

    attention: SelfAttention
    attention_norm: RMSNorm
    cross: CrossAttention
    cross_norm: RMSNorm
    feed_forward: FeedForward
    feed_forward_norm: RMSNorm
    bias: DistanceBias | None


class T5Model:
    """T5: pre-norm without biases, scores not scaled, one table of distances for each stack."""

    family: ClassVar[str] = "t5"

    def __init__(self, model: PreTrainedModel, compute: Compute) -> None:
        self.info = model_info(model, self.family)
        modules: Any = model
        encoder, decoder, config = modules.get_encoder(), modules.get_decoder(), modules.config
        vocabulary = Vocabulary.of(modules, compute.make_table, compute.make_linear)
        self._source_tokens, self._target_tokens = vocabulary.source, vocabulary.target
        self._head, self._choices = vocabulary.head, vocabulary.choices
        self._encoder = [_encoder_layer(block.layer, config, compute.make_linear) for block in encoder.block]
        self._decoder = [_decoder_layer(block.layer, config, compute.make_linear) for block in decoder.block]
        self._encoder_norm = RMSNorm.of(encoder.final_layer_norm)
        self._decoder_norm = RMSNorm.of(decoder.final_layer_norm)
        self._compute, self._kernels = compute, compute.kernels
        self._head_scale = config.d_model**-0.5 if self._scales_head(config) else 1.0
        self._gate = config.dense_act_fn
        self._programs = self._list_programs(compute.kernels) if compute.whole and compute.kernels else None

    @classmethod
    def from_transformers(
        cls,
        model: PreTrainedModel,
        *,
        dtype: torch.dtype,
        device: torch.device,
        int8: bool = False,
        graphs: bool = False,
    ) -> Self:
        """See :class:`glossd.models.registry.Adapter`."""
        module: Any = model
        activation = module.config.dense_act_fn
        compute = Compute.choose(dtype=dtype, device=device, int8=int8, graphs=graphs, activation=activation)
        return cls(module.to(device=device, dtype=None if int8 else dtype).eval(), compute)

    @staticmethod
    def _scales_head(config: Any) -> bool:
        """Whether the last hidden state is scaled before the output projection: where that shares the embedding."""
        return bool(config.scale_decoder_outputs)

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        """An empty cache with room for that many live rows and sources."""
        shape = CacheShape(self.info.layers, self.info.heads, self.info.head_width, rows, sources)
        if self._programs is not None:
            return ProgramCache(shape, self._programs)
        return self._compute.new_cache(shape, device=self._target_tokens.device, vocabulary=self._choices)

    @torch.inference_mode()
    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        """See :class:`glossd.models.base.Seq2SeqModel`."""
        if self._programs is not None:
            self._programs.encode(source_ids, lengths, slots, cache)
            return
        hidden = self._encoded(source_ids, padding_mask(lengths, source_ids.shape[1]))
        for index, decoder in enumerate(self._decoder):
            cache.write_cross(index, slots, *decoder.cross.project(hidden))

    def _encoded(self, source_ids: Tensor, mask: Tensor | None) -> Tensor:
        """The encoder's output (B, L, E)."""
        positions = torch.arange(source_ids.shape[1], device=source_ids.device)
        hidden = self._source_tokens(source_ids)
        bias: Tensor | None = None
        for layer in self._encoder:
            if layer.bias is not None:
                bias = _masked(layer.bias.between(positions, positions).unsqueeze(0), mask)
            hidden = hidden + layer.attention.over_batch(layer.attention_norm(hidden), bias)
            hidden = hidden + layer.feed_forward(layer.feed_forward_norm(hidden))
        return self._encoder_norm(hidden)

    @torch.inference_mode()
    def cross_weights(self, source_ids: Tensor, token_ids: Tensor) -> Tensor:
        """See :class:`glossd.models.alignment.AligningModel`."""
        encoded = self._encoded(source_ids, None)
        positions = torch.arange(token_ids.shape[1], device=encoded.device)
        hidden = self._target_tokens(token_ids)
        bias: Tensor | None = None
        seen: list[Tensor] = []
        for layer in self._decoder:
            if layer.bias is not None:
                bias = layer.bias.between(positions, positions).unsqueeze(0)
            hidden = hidden + over_past(layer.attention, layer.attention_norm(hidden), bias)
            hidden = hidden + over_source(layer.cross, layer.cross_norm(hidden), encoded, seen)
            hidden = hidden + layer.feed_forward(layer.feed_forward_norm(hidden))
        return torch.stack(seen)

    @torch.inference_mode()
    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """See :class:`glossd.models.base.Seq2SeqModel`."""
        if self._programs is not None:
            return self._programs.decode(token_ids, positions, cache)
        if isinstance(cache, StaticCache):
            return cache.decode(self._next_scores, token_ids, positions)
        return self._next_scores(token_ids, positions, DecodeStep.begin(positions, cache, self._kernels)).float()

    def _next_scores(self, token_ids: Tensor, positions: Tensor, step: DecodeStep) -> Tensor:
        """All decoder layers over one step: logits (R, V)."""
        keys = torch.arange(step.time, device=positions.device)
        hidden = self._target_tokens(token_ids)
        bias: Tensor | None = None
        for index, layer in enumerate(self._decoder):
            if layer.bias is not None:
                bias = _masked(layer.bias.between(positions[:, None], keys), step.seen)
            hidden = hidden + layer.attention.over_cache(layer.attention_norm(hidden), step, index, bias)
            hidden = hidden + layer.cross.over_cache(layer.cross_norm(hidden), step, index)
            hidden = hidden + layer.feed_forward(layer.feed_forward_norm(hidden))
        hidden = self._decoder_norm(hidden)
        return self._head(hidden * self._head_scale)

    def _list_programs(self, kernels: Kernels) -> Programs:
        """The same as whole programs of the C operators."""
        encoder, decoder = Program(kernels), Program(kernels)
        encoder.embed(self._source_tokens, None, scale=1.0)
        distances: Distances | None = None
        for part in self._encoder:
            distances = distances if part.bias is None else part.bias.spelled()
            encoder.norm(HIDDEN, NORMED, part.attention_norm)
            encoder.linear(NORMED, WIDE, part.attention.qkv)
            encoder.attend_batch(part.attention.heads, 1.0, distances)
            _list_output(encoder, part.attention.output)
            self._list_feed_forward(encoder, part)
        encoder.norm(HIDDEN, HIDDEN, self._encoder_norm)
        decoder.embed(self._target_tokens, None, scale=1.0)
        for index, layer in enumerate(self._decoder):
            encoder.remember(index, layer.cross.key_value)
            distances = distances if layer.bias is None else layer.bias.spelled()
            decoder.norm(HIDDEN, NORMED, layer.attention_norm)
            decoder.linear(NORMED, WIDE, layer.attention.qkv)
            decoder.attend_self(index, 1.0, distances)
            _list_output(decoder, layer.attention.output)
            decoder.norm(HIDDEN, NORMED, layer.cross_norm)
            decoder.linear(NORMED, WIDE, layer.cross.query)
            decoder.attend_cross(index, 1.0)
            _list_output(decoder, layer.cross.output)
            self._list_feed_forward(decoder, layer)
        decoder.norm(HIDDEN, HIDDEN, self._decoder_norm)
        assert isinstance(self._head, Int8Matrix)
        decoder.score(self._head.times(self._head_scale))
        return Programs(encoder, decoder)

    def _list_feed_forward(self, program: Program, layer: EncoderLayer | DecoderLayer) -> None:
        block = layer.feed_forward
        program.norm(HIDDEN, NORMED, layer.feed_forward_norm)
        program.feed(NORMED, WIDE, block.expand, block.contract, gate=self._gate if block.gated else None)
        program.add(HIDDEN, HIDDEN, WIDE)


class MT5Model(T5Model):
    """mT5: as T5 1.1, never scaled before the output projection."""

    family = "mt5"

    @staticmethod
    def _scales_head(config: Any) -> bool:
        return False


class UMT5Model(T5Model):
    """UMT5: every layer has a table of distances of its own."""

    family = "umt5"

    @staticmethod
    def _scales_head(config: Any) -> bool:
        return bool(config.tie_word_embeddings)


def _list_output(program: Program, output: LinearMap) -> None:
    """HIDDEN after attention whose result is in CONTEXT."""
    program.linear(CONTEXT, WIDE, output)
    program.add(HIDDEN, HIDDEN, WIDE)


def _masked(bias: Tensor, mask: Tensor | None) -> Tensor:
    """``bias`` with minus infinity where ``mask`` is False."""
    return bias if mask is None else bias.masked_fill(~mask, -math.inf)


def _encoder_layer(layer: Any, config: Any, make: MakeLinear) -> EncoderLayer:
    attention, feed_forward = layer[0], layer[1]
    return EncoderLayer(
        attention=_self_attention(attention.SelfAttention, make),
        attention_norm=RMSNorm.of(attention.layer_norm),
        feed_forward=FeedForward.of(feed_forward.DenseReluDense, make, config.dense_act_fn),
        feed_forward_norm=RMSNorm.of(feed_forward.layer_norm),
        bias=_distance_bias(attention.SelfAttention, config, both_ways=True),
    )


def _decoder_layer(layer: Any, config: Any, make: MakeLinear) -> DecoderLayer:
    attention, cross, feed_forward = layer[0], layer[1], layer[2]
    source = cross.EncDecAttention
    return DecoderLayer(
        attention=_self_attention(attention.SelfAttention, make),
        attention_norm=RMSNorm.of(attention.layer_norm),
        cross=CrossAttention(
            query=fuse(make, source.q),
            key_value=fuse(make, source.k, source.v),
            output=fuse(make, source.o),
            heads=source.n_heads,
            scale=1.0,
        ),
        cross_norm=RMSNorm.of(cross.layer_norm),
        feed_forward=FeedForward.of(feed_forward.DenseReluDense, make, config.dense_act_fn),
        feed_forward_norm=RMSNorm.of(feed_forward.layer_norm),
        bias=_distance_bias(attention.SelfAttention, config, both_ways=False),
    )


def _self_attention(attention: Any, make: MakeLinear) -> SelfAttention:
    qkv = fuse(make, attention.q, attention.k, attention.v)
    return SelfAttention(qkv, fuse(make, attention.o), heads=attention.n_heads, scale=1.0)


def _distance_bias(attention: Any, config: Any, *, both_ways: bool) -> DistanceBias | None:
    if not attention.has_relative_attention_bias:
        return None
    return DistanceBias.of(attention, config, both_ways=both_ways)
