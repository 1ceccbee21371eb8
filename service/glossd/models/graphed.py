"""Decode steps of fixed shapes: recorded once for each shape and run again over buffers that stay where they are.

Live rows, sources and positions fill up a shape; what is left of it computes something that nobody reads. The
arithmetic is the model's own, over a :class:`glossd.models.step.DecodeStep` of the whole shape.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from glossd.models.cache import CacheShape, KVCache, Layout, is_regular
from glossd.models.capture import Capture, Work
from glossd.models.step import DecodeStep
from glossd.transfer import send

MOST_RECORDED = 256
_LEAST_TIME = 64

NextScores = Callable[[Tensor, Tensor, DecodeStep], Tensor]
"""A model's step: token ids (R,), positions (R,) and the step they belong to, to logits (R, V)."""


@dataclass(frozen=True, slots=True)
class StepShape:
    """What a recorded step is fixed to: how many rows, sources, lanes of each, and positions of either side.

    ``regular`` is as in :class:`glossd.models.cache.Layout`.
    """

    rows: int
    sources: int
    lanes: int
    regular: bool
    time: int = 0
    source_time: int = 0


def bucket(count: int) -> int:
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is not below ``count``, which is one or more.

    Twice a bucket is one too, so rows that fit their sources' lanes still fit when all three are rounded up.
    """
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if power >= 4 and count <= power * 3 // 4 else power


class StaticCache(KVCache):
    """A cache with the buffers and the recordings of its decode steps.

    Rows behind the live ones write to their own places in the store, which nobody owns: who gets one begins at its
    first position, and reads nothing that it did not write. When a store moves, every recording is dropped.
    """

    def __init__(
        self,
        shape: CacheShape,
        *,
        dtype: torch.dtype,
        device: torch.device,
        vocabulary: int,
        captures: Callable[[], Capture],
    ) -> None:
        super().__init__(shape, dtype=dtype, device=device)
        self._captures = captures
        self._capture: Capture | None = None
        self._recorded: OrderedDict[StepShape, Work] = OrderedDict()
        self._recorded_over: list[tuple[int, ...]] = []
        self._shape = StepShape(0, 0, 0, True)
        self._inputs = torch.zeros(2, shape.rows, dtype=torch.int64, device=device)
        self._plan = torch.zeros(2 * shape.rows + shape.sources, dtype=torch.int64, device=device)
        self._scores = torch.zeros(0, vocabulary, dtype=torch.float32, device=device)

    @property
    def recorded(self) -> int:
        """How many steps are recorded now."""
        return len(self._recorded)

    def room(self, time: int) -> int:
        """See :meth:`KVCache.room`: as much as the shape that ``time`` falls into."""
        return bucket(max(time, _LEAST_TIME))

    def _lay_out(self, row_sources: Sequence[int], row_lanes: Sequence[int], lanes: int) -> None:
        """Put the arrangement, filled up to a shape, where the recorded steps read it."""
        lanes, sources = bucket(lanes), min(bucket(self.sources), self.shape.sources)
        rows = min(bucket(self.rows), self.shape.rows, sources * lanes)
        free = _free_places(row_sources, row_lanes, sources=sources, lanes=lanes)
        filled = [*zip(row_sources, row_lanes, strict=True), *(next(free) for _ in range(rows - self.rows))]
        row_sources, row_lanes = [source for source, _ in filled], [lane for _, lane in filled]
        lengths = [*self._source_lengths[: self.sources], *[1] * (sources - self.sources)]
        plan = send([*row_sources, *row_lanes, *lengths], device=self.device)
        self._plan[: len(plan)] = plan
        self._inputs.zero_()
        regular = is_regular(row_sources, row_lanes, lanes, sources)
        self._shape = StepShape(rows, sources, lanes, regular)

    def decode(self, next_scores: NextScores, token_ids: Tensor, positions: Tensor) -> Tensor:
        """One step of the live rows by ``next_scores``: logits (R, V) float32, overwritten by the next one."""
        time, live = self.room(self.begin(positions)), len(token_ids)
        shape = replace(self._shape, time=time, source_time=self.room(self.cross_time))
        self._inputs[0, :live], self._inputs[1, :live] = token_ids, positions
        if len(self._scores) < shape.rows:
            self._scores = self._scores.new_zeros(shape.rows, self._scores.shape[1])
        self._forget_if_moved()
        work = self._recorded.get(shape)
        if work is None:
            work = self._record(shape, next_scores)
        self._recorded.move_to_end(shape)
        work()
        return self._scores[:live]

    def _forget_if_moved(self) -> None:
        """Drop the recordings, and the memory that they share, if they read or write what is no longer there."""
        buffers = (self._scores, *(tensor for store in self.stores() for tensor in store))
        places = [(tensor.data_ptr(), *tensor.shape) for tensor in buffers]
        if places != self._recorded_over:
            self._recorded.clear()
            self._capture = None
            self._recorded_over = places

    def _record(self, shape: StepShape, next_scores: NextScores) -> Work:
        """Record a step of a shape; the one that was used longest ago makes room for it."""

        def work() -> None:
            tokens, positions = self._inputs[:, : shape.rows]
            step = DecodeStep.over(self, self._layout_of(shape), positions, shape.time)
            self._scores[: shape.rows] = next_scores(tokens, positions, step)

        self._capture = self._capture or self._captures()
        recorded = self._recorded[shape] = self._capture.record(work)
        if len(self._recorded) > MOST_RECORDED:
            self._recorded.popitem(last=False)
        return recorded

    def _layout_of(self, shape: StepShape) -> Layout:
        """The arrangement as it stands in the buffers."""
        rows, sources = shape.rows, shape.sources
        row_sources, row_lanes, lengths = self._plan[: 2 * rows + sources].split([rows, rows, sources])
        time = torch.arange(shape.source_time, device=self.device)
        return Layout(
            sources=sources,
            lanes=shape.lanes,
            time=shape.source_time,
            regular=shape.regular,
            numbers=torch.arange(rows, device=self.device),
            row_sources=row_sources,
            row_lanes=row_lanes,
            mask=self.mask_of((time < lengths[:, None])[:, None, None, :]),
        )

    def mask_of(self, seen: Tensor) -> Tensor:
        """See :meth:`KVCache.mask_of`: as what is added, on any device."""
        return self.additive(seen)


def _free_places(
    row_sources: Sequence[int], row_lanes: Sequence[int], *, sources: int, lanes: int
) -> Iterator[tuple[int, int]]:
    """The lanes of sources that no live row stands at, in order."""
    taken = set(zip(row_sources, row_lanes, strict=True))
    places = (divmod(number, lanes) for number in range(sources * lanes))
    return (place for place in places if place not in taken)
