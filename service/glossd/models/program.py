"""A whole decode step, or a whole encoder run, as one call of the C operators over int8 maps.

A model lists its operations once; here they become what ``program.c`` reads, with the memory they need. No arithmetic.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from glossd.models.cache import CacheShape, KVCache
from glossd.models.layers import LinearMap
from glossd.models.quantized import Int8Matrix
from glossd.models.vocabulary import Int8Table, Table
from glossd.native import ACTIVATIONS, Kernels, Operation, Run

HIDDEN, NORMED, WIDE, CONTEXT, SCORES = range(5)
"""The buffers, by what is in them; each holds one row for each row of the run."""

_PLACE, _EMBED, _LINEAR, _FEED, _NORM, _ADD, _ATTEND_SELF, _ATTEND_CROSS, _ATTEND_BATCH, _REMEMBER = range(10)
_FEED_ROWS = 64
_GROUP_TOKENS = 512
_FLOAT = 4


class Norm(Protocol):
    """A norm's weight (width,) and epsilon; its bias, where it has one, is looked for by name."""

    @property
    def weight(self) -> Tensor:
        """(width,)."""
        ...

    @property
    def epsilon(self) -> float:
        """What keeps the root from zero."""
        ...


@dataclass(frozen=True, slots=True)
class Distances:
    """What scores gain by distance: ``table`` (H, 2 * reach + 1) float32, contiguous, distance 0 in the middle."""

    table: Tensor
    reach: int


class Program:
    """Operations in the order in which they run. Fixed once it is used; may be shared by threads."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.widths = [0] * (SCORES + 1)
        self.parts: list[str] = []
        self._operations: list[Operation] = []
        self._kept: list[object] = []
        self._scratch = 0
        self._batch_width = 0

    def embed(self, tokens: Table, positions: Tensor | None, *, scale: float, offset: int = 0, own: int = -1) -> None:
        """HIDDEN from ``tokens`` times ``scale`` and ``positions`` (P, E) from row ``offset`` on.

        The token ``own`` stands at the row of its own number.
        """
        assert isinstance(tokens, Int8Table)
        width = tokens.matrix.matrix.inputs
        self._add("embedding", _PLACE, 0, HIDDEN, width, extra=offset, layer=own, tensors=(None, positions))
        for part in (tokens.matrix, tokens.rest):
            self._add("embedding", _EMBED, HIDDEN, HIDDEN, width, matrices=(part, None), value=scale)

    def linear(self, origin: int, target: int, linear: LinearMap, *, part: str = "projection") -> None:
        """``target`` from ``origin`` by a map."""
        matrix = self._matrix(linear)
        self._need(self.kernels.scratch(matrix.matrix.inputs))
        self._add(part, _LINEAR, origin, target, matrix.matrix.outputs, matrices=(matrix, None))

    def score(self, head: LinearMap) -> None:
        """SCORES from HIDDEN. Rows are filled up to whole blocks with minus infinity, which no search chooses."""
        self.linear(HIDDEN, SCORES, self._matrix(head).whole(), part="vocabulary")

    def feed(self, origin: int, target: int, expand: LinearMap, contract: LinearMap, *, gate: str | None) -> None:
        """``target`` from ``origin`` by two maps; ``gate``: the activation of a gate that comes beside its factor."""
        first, second = self._matrix(expand), self._matrix(contract)
        inner = _FEED_ROWS * _FLOAT * first.matrix.outputs
        self._need(inner + max(self.kernels.scratch(each.matrix.inputs) for each in (first, second)))
        extra = -1 if gate is None else ACTIVATIONS[gate]
        self._add("feed-forward", _FEED, origin, target, second.matrix.outputs, extra=extra, matrices=(first, second))

    def norm(self, origin: int, target: int, norm: Norm, *, other: int = -1) -> None:
        """``target``: the norm of ``origin``, plus ``other`` if one is named."""
        bias: Tensor | None = getattr(norm, "bias", None)
        tensors = (norm.weight, bias)
        self._add("norms", _NORM, origin, target, len(norm.weight), extra=other, tensors=tensors, value=norm.epsilon)

    def add(self, origin: int, target: int, other: int) -> None:
        """``target``: ``origin`` plus ``other``."""
        self._add("norms", _ADD, origin, target, self.widths[origin], extra=other)

    def enter(self, norm: Norm, *, first: bool) -> int:
        """The buffer that a block starts from: NORMED where its norm comes ``first``, else HIDDEN."""
        if not first:
            return HIDDEN
        self.norm(HIDDEN, NORMED, norm)
        return NORMED

    def leave(self, norm: Norm, *, first: bool) -> None:
        """HIDDEN after a block whose result is in WIDE."""
        if first:
            self.add(HIDDEN, HIDDEN, WIDE)
        else:
            self.norm(WIDE, HIDDEN, norm, other=HIDDEN)

    def attend_self(self, layer: int, scale: float, distances: Distances | None = None) -> None:
        """CONTEXT from the queries, keys and values in WIDE, over each row's own past."""
        self._attend(_ATTEND_SELF, self.widths[WIDE] // 3, layer, scale, distances)

    def attend_cross(self, layer: int, scale: float) -> None:
        """CONTEXT from the queries in WIDE, over each row's source."""
        self._attend(_ATTEND_CROSS, self.widths[CONTEXT], layer, scale, None)

    def attend_batch(self, heads: int, scale: float, distances: Distances | None = None) -> None:
        """CONTEXT from the queries, keys and values in WIDE, over all tokens of each source."""
        width = self.widths[WIDE] // 3
        self._batch_width = width // heads
        self._attend(_ATTEND_BATCH, width, heads, scale, distances)

    def remember(self, layer: int, key_value: LinearMap) -> None:
        """Keys and values of HIDDEN, into the cross store of ``layer``."""
        matrix = self._matrix(key_value)
        inner = _FEED_ROWS * _FLOAT * matrix.matrix.outputs
        self._need(inner + self.kernels.scratch(matrix.matrix.inputs))
        self._add("projection", _REMEMBER, HIDDEN, HIDDEN, 0, layer=layer, matrices=(matrix, None))

    def scratch_bytes(self, *, rows: int, time: int) -> int:
        """Scratch for runs of so many rows, none of which sees or is of more than ``time`` positions."""
        attention = self.kernels.attend_scratch(time, self._batch_width) * _FLOAT if self._batch_width else 0
        return max(self._scratch, attention, 8 * rows + (2 * 8 + _FLOAT) * (time + 64)) + 64

    def compiled(self) -> ctypes.Array[Operation]:
        """As the C operators read it."""
        return (Operation * len(self._operations))(*self._operations)

    def _attend(self, code: int, width: int, layer: int, scale: float, distances: Distances | None) -> None:
        table, reach = (None, 0) if distances is None else (distances.table, distances.reach)
        self._add("attention", code, WIDE, CONTEXT, width, extra=reach, layer=layer, tensors=(table, None), value=scale)

    def _matrix(self, linear: LinearMap) -> Int8Matrix:
        assert isinstance(linear, Int8Matrix)
        return linear

    def _need(self, scratch: int) -> None:
        self._scratch = max(self._scratch, scratch)

    def _add(
        self,
        part: str,
        code: int,
        origin: int,
        target: int,
        width: int,
        *,
        extra: int = 0,
        layer: int = 0,
        tensors: tuple[Tensor | None, Tensor | None] = (None, None),
        matrices: tuple[Int8Matrix | None, Int8Matrix | None] = (None, None),
        value: float = 0.0,
    ) -> None:
        for tensor in tensors:
            assert tensor is None or (tensor.dtype == torch.float32 and tensor.is_contiguous())
        addresses = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
        addresses = [each.address if each else address for each, address in zip(matrices, addresses, strict=True)]
        if code != _REMEMBER:
            self.widths[target] = max(self.widths[target], width)
        self.parts.append(part)
        self._kept += [*tensors, *matrices]
        self._operations.append(Operation(code, origin, target, extra, layer, width, *addresses, value))


class Worker:
    """A program with memory to run in. One thread only."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._operations = program.compiled()
        self.spent = (ctypes.c_int64 * len(self._operations))()
        self._rows = 0
        self._buffers: list[Tensor] = []
        self._numbers = torch.zeros(0, dtype=torch.int64)
        self._scratch = torch.zeros(0, dtype=torch.int8)
        self.run = Run(operations=ctypes.addressof(self._operations), length=len(self._operations))

    def measure(self) -> None:
        """From here on add up in ``spent`` the nanoseconds that each operation takes."""
        self.run.spent = ctypes.addressof(self.spent)

    def start(self, *, rows: int, time: int) -> Run:
        """Memory for ``rows`` rows of at most ``time`` positions; the caller fills in the rest."""
        if rows > self._rows:
            self._rows = rows
            self._buffers = [torch.empty(rows, width) for width in self.program.widths]
            self._numbers = torch.arange(rows)
            for number, buffer in enumerate(self._buffers):
                self.run.buffers[number] = buffer.data_ptr()
            self.run.numbers = self._numbers.data_ptr()
        needed = self.program.scratch_bytes(rows=rows, time=time)
        if needed > len(self._scratch):
            self._scratch = torch.empty(needed, dtype=torch.int8)
            self.run.scratch = self._scratch.data_ptr()
        self.run.rows = rows
        return self.run

    def go(self) -> None:
        """Run it."""
        self.program.kernels.run(ctypes.addressof(self.run))

    def output(self, rows: int) -> Tensor:
        """The first ``rows`` rows of SCORES; overwritten by the next run."""
        return self._buffers[SCORES][:rows]


class ProgramCache(KVCache):
    """Keys and values in bfloat16, and the workers that read and write them."""

    def __init__(self, shape: CacheShape, programs: Programs) -> None:
        kernels = programs.encoder.kernels
        super().__init__(shape, dtype=torch.bfloat16, device=torch.device("cpu"), kernels=kernels)
        self.encoder, self.decoder = Worker(programs.encoder), Worker(programs.decoder)

    def _lay_out(self, row_sources: Sequence[int], row_lanes: Sequence[int], lanes: int) -> None:
        """Nothing: the C operators read each row's source and how long that is."""

    def locate(self, run: Run) -> None:
        """Tell a run where the stores are now."""
        own, cross = self.stores()
        run.heads, run.width = self.shape.heads, self.shape.head_width
        run.self_keys, run.self_values = own[0].data_ptr(), own[1].data_ptr()
        run.cross_keys, run.cross_values = cross[0].data_ptr(), cross[1].data_ptr()
        run.self_entries, run.self_capacity = own[0].shape[1], own[0].shape[3]
        run.cross_entries, run.cross_capacity = cross[0].shape[1], cross[0].shape[3]
        run.ancestors = self.ancestors.data_ptr()


@dataclass(frozen=True, slots=True)
class Programs:
    """The two programs of a model, and :class:`glossd.models.base.Seq2SeqModel`'s two calls by them."""

    encoder: Program
    decoder: Program

    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        """Without padding: the sources' tokens one after another, some sources at a time."""
        assert isinstance(cache, ProgramCache)
        seen = torch.arange(source_ids.shape[1]) < lengths[:, None]
        tokens = source_ids[seen]
        positions = torch.arange(source_ids.shape[1]).expand_as(source_ids)[seen]
        entries = slots[:, None].expand_as(source_ids)[seen]
        numbers: list[int] = lengths.tolist()
        starts = [0, *accumulate(numbers)]
        for first, last in _groups(numbers):
            at, size = 8 * starts[first], starts[last] - starts[first]
            run = cache.encoder.start(rows=size, time=max(numbers[first:last]))
            cache.locate(run)
            run.tokens, run.positions = tokens.data_ptr() + at, positions.data_ptr() + at
            run.entries, run.lengths = entries.data_ptr() + at, lengths.data_ptr() + 8 * first
            run.sources = last - first
            cache.encoder.go()

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        """The scores are overwritten by the next step."""
        assert isinstance(cache, ProgramCache)
        time = cache.begin(positions)
        rows = len(token_ids)
        token_ids, positions = token_ids.contiguous(), positions.contiguous()
        run = cache.decoder.start(rows=rows, time=max(time, cache.cross_time))
        cache.locate(run)
        run.tokens, run.positions = token_ids.data_ptr(), positions.data_ptr()
        run.entries, run.counts = cache.row_sources.data_ptr(), cache.row_counts.data_ptr()
        cache.decoder.go()
        return cache.decoder.output(rows)


def _groups(lengths: Iterable[int]) -> list[tuple[int, int]]:
    """Consecutive sources, first and behind the last, of about as many tokens as stay in cache; a long one alone."""
    groups: list[tuple[int, int]] = []
    first = tokens = number = 0
    for number, length in enumerate(lengths):
        if tokens and tokens + length > _GROUP_TOKENS:
            groups.append((first, number))
            first, tokens = number, 0
        tokens += length
    return [*groups, (first, number + 1)]
