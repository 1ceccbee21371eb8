"""Token tables and the output projection, which often share one weight: then it stands in memory once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from glossd.models.layers import LinearMap, MakeLinear, empty
from glossd.models.quantized import Int8Matrix
from glossd.native import Kernels


class Table(Protocol):
    """A row for every token."""

    @property
    def device(self) -> torch.device:
        """Where it stands."""
        ...

    def __call__(self, tokens: Tensor) -> Tensor:
        """(...) int64 to (..., E)."""
        ...

    def projection(self, outputs: int, bias: Tensor | None) -> LinearMap:
        """The map whose weight is the first ``outputs`` rows, with ``bias`` (outputs,)."""
        ...


class MakeTable(Protocol):
    """Turns a weight (V, E) into a table."""

    def __call__(self, weight: Tensor) -> Table:
        """Make the table."""
        ...


@dataclass(frozen=True, slots=True)
class PlainTable:
    """``weight`` (V, E) as activations are; ``make`` makes a projection of it."""

    weight: Tensor
    make: MakeLinear

    @classmethod
    def of(cls, weight: Tensor, *, make: MakeLinear, dtype: torch.dtype) -> PlainTable:
        """Take ``weight`` in ``dtype``."""
        return cls(weight.to(dtype), make)

    @property
    def device(self) -> torch.device:
        """See :class:`Table`."""
        return self.weight.device

    def __call__(self, tokens: Tensor) -> Tensor:
        """See :class:`Table`."""
        return functional.embedding(tokens, self.weight)

    def projection(self, outputs: int, bias: Tensor | None) -> LinearMap:
        """See :class:`Table`."""
        return self.make(self.weight[:outputs], bias)


@dataclass(frozen=True, slots=True)
class Int8Table:
    """The rows of a matrix that the C operators multiply with, in 8 bits with one scale for each row.

    In 8 bits alone a row is too coarse: the embedded model lost 0.3 BLEU. ``rest`` is what the rounding left, in
    8 bits of its own, and both are half of what the row takes in float32.
    """

    matrix: Int8Matrix
    rest: Int8Matrix

    @classmethod
    def of(cls, weight: Tensor, *, kernels: Kernels) -> Int8Table:
        """Round and pack ``weight`` (V, E)."""
        matrix = Int8Matrix.of(weight, None, kernels=kernels)
        return cls(matrix, matrix.remainder(weight))

    @property
    def device(self) -> torch.device:
        """See :class:`Table`."""
        return self.matrix.panels.device

    def __call__(self, tokens: Tensor) -> Tensor:
        """See :class:`Table`."""
        return self.matrix.rows(tokens) + self.rest.rows(tokens)

    def projection(self, outputs: int, bias: Tensor | None) -> Int8Matrix:
        """See :class:`Table`."""
        return self.matrix.first(outputs, bias)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A model's two token tables and its output projection to ``choices`` logits."""

    source: Table
    target: Table
    head: LinearMap
    choices: int

    @classmethod
    def of(cls, modules: Any, make_table: MakeTable, make_linear: MakeLinear, bias: Tensor | None = None) -> Vocabulary:
        """Take over a ``transformers`` model's, which is empty afterwards; the projection ends where ``bias`` does."""
        parts = modules.get_encoder().embed_tokens, modules.get_decoder().embed_tokens, modules.lm_head
        sources, targets, scores = (part.weight.detach() for part in parts)
        outputs = len(scores) if bias is None else len(bias)
        source = make_table(sources)
        target = source if _is_one(targets, sources) else make_table(targets)
        tied = _is_one(scores, targets)
        head = target.projection(outputs, bias) if tied else make_linear(scores[:outputs], bias)
        empty(*parts)
        return cls(source, target, head, outputs)


def _is_one(one: Tensor, other: Tensor) -> bool:
    """Whether two weights are the same memory."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape
