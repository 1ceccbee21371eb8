"""The model's parameters as one flat vector: layout, names as in `transformers`, initial values. No arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a Marian-shaped model. Sizes are in units (width, feed-forward) or counts (layers, heads, ids)."""

    vocabulary: int
    target_vocabulary: int
    width: int = 256
    feed_forward: int = 1024
    heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 2


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the flat vector."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """Whether Muon updates it: a layer's weight matrix, not the embedding."""
        return len(self.shape) == 2 and self.name != EMBEDDING


EMBEDDING = "model.shared.weight"
OUTPUT_BIAS = "final_logits_bias"


class Layout:
    """Order of all tensors. Matrices that are multiplied with the same input lie side by side: q, k, v of
    self-attention and k, v of cross-attention, so that one view serves as the fused matrix.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.slots: dict[str, Slot] = {}
        self.size = 0
        self._add(EMBEDDING, shape.vocabulary, shape.width)
        self._add(OUTPUT_BIAS, shape.target_vocabulary)
        for i in range(shape.encoder_layers):
            self._add_layer(f"model.encoder.layers.{i}", cross=False)
        for i in range(shape.decoder_layers):
            self._add_layer(f"model.decoder.layers.{i}", cross=True)

    def _add(self, name: str, *shape: int) -> None:
        slot = Slot(name, shape, self.size)
        self.slots[name] = slot
        self.size += slot.size

    def _add_layer(self, prefix: str, *, cross: bool) -> None:
        width, inner = self.shape.width, self.shape.feed_forward
        for block in ("self_attn", "encoder_attn") if cross else ("self_attn",):
            for part, shape in (("weight", (width, width)), ("bias", (width,))):
                for projection in "qkv":
                    self._add(f"{prefix}.{block}.{projection}_proj.{part}", *shape)
            self._add(f"{prefix}.{block}.out_proj.weight", width, width)
            self._add(f"{prefix}.{block}.out_proj.bias", width)
            self._add_norm(f"{prefix}.{block}_layer_norm")
        self._add(f"{prefix}.fc1.weight", inner, width)
        self._add(f"{prefix}.fc1.bias", inner)
        self._add(f"{prefix}.fc2.weight", width, inner)
        self._add(f"{prefix}.fc2.bias", width)
        self._add_norm(f"{prefix}.final_layer_norm")

    def _add_norm(self, name: str) -> None:
        self._add(f"{name}.weight", self.shape.width)
        self._add(f"{name}.bias", self.shape.width)

    def view(self, flat: torch.Tensor, name: str) -> torch.Tensor:
        """The tensor `name` inside a flat vector of this layout."""
        slot = self.slots[name]
        return flat[slot.offset : slot.offset + slot.size].view(slot.shape)

    def fused(self, flat: torch.Tensor, first: str, count: int) -> torch.Tensor:
        """`count` equal neighbours starting at `first`, stacked along their first axis, as one view."""
        slot = self.slots[first]
        stacked = (slot.shape[0] * count, *slot.shape[1:])
        return flat[slot.offset : slot.offset + slot.size * count].view(stacked)

    def tensors(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """All tensors by name, as views."""
        return {name: self.view(flat, name) for name in self.slots}


def initial_parameters(
    layout: Layout,
    generator: torch.Generator,
    *,
    translations: torch.Tensor | None = None,
    compact: torch.Tensor | None = None,
    target_counts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Random initial values, float32 [layout.size].

    With alignment tables (`translations` [source piece, target piece] and `compact` [joint id] -> source piece), a
    target piece starts as the weighted mean of the source pieces it translates; with `target_counts` [target piece] the
    output bias starts at log frequency.
    """
    flat = torch.zeros(layout.size)
    shape = layout.shape
    for name, slot in layout.slots.items():
        view = layout.view(flat, name)
        if name == EMBEDDING:
            view.normal_(0, shape.width**-0.5, generator=generator)
        elif slot.is_matrix:
            view.normal_(0, slot.shape[1] ** -0.5 * 0.7, generator=generator)
        elif name.endswith("layer_norm.weight"):
            view.fill_(1.0)
    embedding = layout.view(flat, EMBEDDING)
    if translations is not None and compact is not None:
        _embed_translations(embedding, translations, compact, shape)
    embedding[-1].zero_()
    if target_counts is not None:
        share = (target_counts.float() + 0.5) / (target_counts.sum() + 0.5 * len(target_counts))
        layout.view(flat, OUTPUT_BIAS).copy_(share.log() - share.log().mean())
    return flat


def _embed_translations(
    embedding: torch.Tensor, translations: torch.Tensor, compact: torch.Tensor, shape: Shape
) -> None:
    source_ids = torch.zeros(len(translations), dtype=torch.long)
    joint = compact.nonzero().squeeze(1)
    source_ids[compact[joint]] = joint
    weights = translations / translations.sum(0, keepdim=True).clamp_min(1e-9)
    evidence = translations.sum(0).clamp(0, 1)[:, None]
    mean = weights.t() @ embedding[source_ids]
    mean = mean / mean.norm(dim=1, keepdim=True).clamp_min(1e-6)
    own = torch.zeros(shape.target_vocabulary, dtype=torch.bool)
    own[joint[joint < shape.target_vocabulary]] = True  # shared pieces (Latin, digits) keep their own vector
    mixed = 0.8 * mean + 0.6 * embedding[: shape.target_vocabulary]
    use = (evidence > 0.02) & ~own[:, None]
    embedding[: shape.target_vocabulary] = torch.where(use, mixed, embedding[: shape.target_vocabulary])
