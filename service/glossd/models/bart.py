"""The BART-like shape: BART, mBART, Marian, PEGASUS and M2M100/NLLB. What differs is a class attribute.

Sources: Lewis et al. 2019 (BART), Junczys-Dowmunt et al. 2018 (Marian), Zhang et al. 2019 (PEGASUS), Fan et al. 2020
(M2M100); weights and exact arithmetic follow the ``transformers`` classes of the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from glossd.models.alignment import over_past, over_source
from glossd.models.cache import CacheShape, KVCache
from glossd.models.compute import Compute
from glossd.models.facts import model_info
from glossd.models.graphed import StaticCache
from glossd.models.layers import (
    Activation,
    CrossAttention,
    LayerNorm,
    LinearMap,
    MakeLinear,
    SelfAttention,
    fuse,
    padding_mask,
)
from glossd.models.program import CONTEXT, HIDDEN, WIDE, Program, ProgramCache, Programs
from glossd.models.step import DecodeStep
from glossd.models.vocabulary import Table, Vocabulary
from glossd.native import Kernels

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_BARRED = -9.9e3  # above -1e4, which half precision does not keep to the digit


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Weights of one encoder layer."""

    attention: SelfAttention
    attention_norm: LayerNorm
    expand: LinearMap
    contract: LinearMap
    final_norm: LayerNorm


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Weights of one decoder layer."""

    attention: SelfAttention
    attention_norm: LayerNorm
    cross: CrossAttention
    cross_norm: LayerNorm
    expand: LinearMap
    contract: LinearMap
    final_norm: LayerNorm


@dataclass(frozen=True, slots=True)
class Embedding:
    """Scaled token embedding plus position table (P, E), with an optional norm over the sum."""

    tokens: Table
    positions: Tensor
    scale: float
    norm: LayerNorm | None


class BartModel:
    """BART: post-norm, learned positions that start at row 2 of their table, a norm on the embeddings."""

    family: ClassVar[str] = "bart"
    pre_norm: ClassVar[bool] = False
    position_offset: ClassVar[int] = 2
    padding_stands_apart: ClassVar[bool] = False

    def __init__(self, model: PreTrainedModel, compute: Compute) -> None:
        self.info = model_info(model, self.family)
        modules: Any = model
        encoder, decoder = modules.get_encoder(), modules.get_decoder()
        activation = modules.config.activation_function
        self._compute, self._kernels = compute, compute.kernels
        vocabulary = Vocabulary.of(modules, compute.make_table, compute.make_linear, _head_bias(modules))
        self._source_embedding = self._embedding(encoder, modules.config, vocabulary.source)
        self._target_embedding = self._embedding(decoder, modules.config, vocabulary.target)
        self._head, self._choices = vocabulary.head, vocabulary.choices
        self._encoder = [_encoder_layer(layer, compute.make_linear, activation) for layer in encoder.layers]
        self._decoder = [_decoder_layer(layer, compute.make_linear, activation) for layer in decoder.layers]
        self._encoder_norm = _optional_norm(encoder, "layer_norm")
        self._decoder_norm = _optional_norm(decoder, "layer_norm")
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
        activation = module.config.activation_function
        compute = Compute.choose(dtype=dtype, device=device, int8=int8, graphs=graphs, activation=activation)
        return cls(module.to(device=device, dtype=None if int8 else dtype).eval(), compute)

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        """An empty cache with room for that many live rows and sources."""
        shape = CacheShape(self.info.layers, self.info.heads, self.info.head_width, rows, sources)
        if self._programs is not None:
            return ProgramCache(shape, self._programs)
        device = self._target_embedding.positions.device
        return self._compute.new_cache(shape, device=device, vocabulary=self._choices)

    @torch.inference_mode()
    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        """See :class:`glossd.models.base.Seq2SeqModel`."""
        if self._programs is not None:
            self._programs.encode(source_ids, lengths, slots, cache)
            return
        hidden = self._encoded(source_ids, padding_mask(lengths, source_ids.shape[1]))
        for index, decoder in enumerate(self._decoder):
            cache.write_cross(index, slots, *decoder.cross.project(hidden))

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
        hidden = self._embed(self._target_embedding, token_ids, positions)
        for index, layer in enumerate(self._decoder):
            hidden = self._decode_layer(hidden, layer, step, index)
        if self._decoder_norm is not None:
            hidden = self._decoder_norm(hidden)
        return self._head(hidden)

    @torch.inference_mode()
    def cross_weights(self, source_ids: Tensor, token_ids: Tensor) -> Tensor:
        """See :class:`glossd.models.alignment.AligningModel`."""
        encoded = self._encoded(source_ids, None)
        hidden = self._embed(self._target_embedding, token_ids, torch.arange(token_ids.shape[1], device=encoded.device))
        seen: list[Tensor] = []
        for layer in self._decoder:
            hidden = self._taught_layer(hidden, layer, encoded, seen)
        return torch.stack(seen)

    def _taught_layer(self, hidden: Tensor, layer: DecoderLayer, encoded: Tensor, seen: list[Tensor]) -> Tensor:
        hidden = self._around(hidden, layer.attention_norm, lambda x: over_past(layer.attention, x))
        hidden = self._around(hidden, layer.cross_norm, lambda x: over_source(layer.cross, x, encoded, seen))
        return self._feed_forward(hidden, layer)

    def _encoded(self, source_ids: Tensor, mask: Tensor | None) -> Tensor:
        hidden = self._embed(
            self._source_embedding, source_ids, torch.arange(source_ids.shape[1], device=source_ids.device)
        )
        for layer in self._encoder:
            hidden = self._encode_layer(hidden, layer, mask)
        return hidden if self._encoder_norm is None else self._encoder_norm(hidden)

    def _encode_layer(self, hidden: Tensor, layer: EncoderLayer, mask: Tensor | None) -> Tensor:
        """One encoder layer over (B, L, E)."""
        hidden = self._around(hidden, layer.attention_norm, lambda x: layer.attention.over_batch(x, mask))
        return self._feed_forward(hidden, layer)

    def _decode_layer(self, hidden: Tensor, layer: DecoderLayer, step: DecodeStep, index: int) -> Tensor:
        """One decoder layer over (R, E)."""
        hidden = self._around(hidden, layer.attention_norm, lambda x: layer.attention.over_cache(x, step, index))
        hidden = self._around(hidden, layer.cross_norm, lambda x: layer.cross.over_cache(x, step, index))
        return self._feed_forward(hidden, layer)

    def _around(self, hidden: Tensor, norm: LayerNorm, block: Activation) -> Tensor:
        """The residual around a block, with the norm before or after it as the family has it."""
        if self.pre_norm:
            return hidden + block(norm(hidden))
        return norm.after_sum(block(hidden), hidden, self._kernels)

    def _feed_forward(self, hidden: Tensor, layer: EncoderLayer | DecoderLayer) -> Tensor:
        return self._around(hidden, layer.final_norm, lambda x: layer.contract(layer.expand(x)))

    def _embed(self, embedding: Embedding, token_ids: Tensor, positions: Tensor) -> Tensor:
        """Token plus position embedding; ``positions`` broadcasts to ``token_ids``."""
        hidden = embedding.tokens(token_ids) * embedding.scale
        hidden = hidden + functional.embedding(self._position_rows(token_ids, positions), embedding.positions)
        return hidden if embedding.norm is None else embedding.norm(hidden)

    def _position_rows(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """Which rows of the position table are read."""
        return positions + self.position_offset

    def _embedding(self, stack: Any, config: Any, tokens: Table) -> Embedding:
        scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        positions = stack.embed_positions
        table = positions.weights if hasattr(positions, "weights") else positions.weight
        return Embedding(tokens, table.detach(), scale, _optional_norm(stack, "layernorm_embedding"))

    def _list_programs(self, kernels: Kernels) -> Programs:
        """The same as whole programs of the C operators."""
        encoder, decoder = Program(kernels), Program(kernels)
        self._list_embedding(encoder, self._source_embedding)
        for part in self._encoder:
            self._list_self_attention(encoder, part, None)
            self._list_feed_forward(encoder, part)
        if self._encoder_norm is not None:
            encoder.norm(HIDDEN, HIDDEN, self._encoder_norm)
        self._list_embedding(decoder, self._target_embedding)
        for index, layer in enumerate(self._decoder):
            encoder.remember(index, layer.cross.key_value)
            self._list_self_attention(decoder, layer, index)
            self._list_cross_attention(decoder, layer, index)
            self._list_feed_forward(decoder, layer)
        if self._decoder_norm is not None:
            decoder.norm(HIDDEN, HIDDEN, self._decoder_norm)
        decoder.score(self._head)
        return Programs(encoder, decoder)

    def _list_embedding(self, program: Program, embedding: Embedding) -> None:
        own = self.info.pad_token_id if self.padding_stands_apart else -1
        program.embed(
            embedding.tokens, embedding.positions, scale=embedding.scale, offset=self.position_offset, own=own
        )
        if embedding.norm is not None:
            program.norm(HIDDEN, HIDDEN, embedding.norm)

    def _list_self_attention(self, program: Program, layer: EncoderLayer | DecoderLayer, index: int | None) -> None:
        """Over the past of each row in decoder layer ``index``, or in an encoder (None) over each source."""
        heads = layer.attention.heads
        program.linear(program.enter(layer.attention_norm, first=self.pre_norm), WIDE, layer.attention.qkv)
        if index is None:
            program.attend_batch(heads, (program.widths[WIDE] // 3 // heads) ** -0.5)
        else:
            program.attend_self(index, self.info.head_width**-0.5)
        program.linear(CONTEXT, WIDE, layer.attention.output)
        program.leave(layer.attention_norm, first=self.pre_norm)

    def _list_cross_attention(self, program: Program, layer: DecoderLayer, index: int) -> None:
        program.linear(program.enter(layer.cross_norm, first=self.pre_norm), WIDE, layer.cross.query)
        program.attend_cross(index, self.info.head_width**-0.5)
        program.linear(CONTEXT, WIDE, layer.cross.output)
        program.leave(layer.cross_norm, first=self.pre_norm)

    def _list_feed_forward(self, program: Program, layer: EncoderLayer | DecoderLayer) -> None:
        program.feed(
            program.enter(layer.final_norm, first=self.pre_norm), WIDE, layer.expand, layer.contract, gate=None
        )
        program.leave(layer.final_norm, first=self.pre_norm)


class MBartModel(BartModel):
    """mBART and mBART-50: BART with the norm before each block and a last norm on each stack."""

    family = "mbart"
    pre_norm = True


class MarianModel(BartModel):
    """Marian (OPUS-MT): post-norm, sinusoidal positions, no norm on the embeddings."""

    family = "marian"
    position_offset = 0


class PegasusModel(BartModel):
    """PEGASUS: pre-norm, sinusoidal positions."""

    family = "pegasus"
    pre_norm = True
    position_offset = 0


class M2M100Model(BartModel):
    """M2M100 and NLLB: pre-norm, sinusoidal positions; a padding token stands at no position."""

    family = "m2m_100"
    pre_norm = True
    padding_stands_apart = True

    def _position_rows(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        pad = self.info.pad_token_id
        return torch.where(token_ids == pad, pad, positions + self.position_offset)


def _encoder_layer(layer: Any, make: MakeLinear, activation: str) -> EncoderLayer:
    return EncoderLayer(
        attention=_self_attention(layer.self_attn, make),
        attention_norm=LayerNorm.of(layer.self_attn_layer_norm),
        expand=fuse(make, layer.fc1, activation=activation),
        contract=fuse(make, layer.fc2),
        final_norm=LayerNorm.of(layer.final_layer_norm),
    )


def _decoder_layer(layer: Any, make: MakeLinear, activation: str) -> DecoderLayer:
    cross = layer.encoder_attn
    return DecoderLayer(
        attention=_self_attention(layer.self_attn, make),
        attention_norm=LayerNorm.of(layer.self_attn_layer_norm),
        cross=CrossAttention(
            query=fuse(make, cross.q_proj),
            key_value=fuse(make, cross.k_proj, cross.v_proj),
            output=fuse(make, cross.out_proj),
            heads=cross.num_heads,
        ),
        cross_norm=LayerNorm.of(layer.encoder_attn_layer_norm),
        expand=fuse(make, layer.fc1, activation=activation),
        contract=fuse(make, layer.fc2),
        final_norm=LayerNorm.of(layer.final_layer_norm),
    )


def _self_attention(attention: Any, make: MakeLinear) -> SelfAttention:
    qkv = fuse(make, attention.q_proj, attention.k_proj, attention.v_proj)
    return SelfAttention(qkv, fuse(make, attention.out_proj), heads=attention.num_heads)


def _head_bias(modules: Any) -> Tensor | None:
    """The bias of the output projection, without a tail that it rules out.

    A joint vocabulary with the target's pieces first bars the source's by a bias of -1e4: their probability is 0
    in float32, so the projection may end before them.
    """
    biases = getattr(modules, "final_logits_bias", None)
    if biases is None:
        return None
    bias: Tensor = biases.detach()[0]
    open_to_choice = (bias > _BARRED).nonzero()
    count = int(open_to_choice[-1]) + 1 if len(open_to_choice) else len(bias)
    return bias[:count]


def _optional_norm(stack: Any, name: str) -> LayerNorm | None:
    module = getattr(stack, name, None)
    return None if module is None else LayerNorm.of(module)
