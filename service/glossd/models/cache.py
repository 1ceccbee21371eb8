"""Keys and values of everything in flight: self-attention per row, cross-attention once per source. No arithmetic.

Rows and sources are dense, ``0 .. n-1``; who stands where is told by :meth:`KVCache.arrange`. Storage grows along time
by a quarter or more, so a long segment costs memory only once one has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glossd.native import Kernels
from glossd.transfer import send

_GRAIN = 64


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes that do not change: decoder layers, heads, width of a head, most rows and sources at once."""

    layers: int
    heads: int
    head_width: int
    rows: int
    sources: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows stand over sources: row r is lane ``row_lanes[r]`` of source ``row_sources[r]``, both (R,) int64.

    ``regular``: those are r % ``lanes`` and r // ``lanes``. ``numbers`` (R,) are the rows' own. ``mask`` (S, 1, 1, L)
    says which of ``time`` positions a source has, as attention takes it; None: all.
    """

    sources: int
    lanes: int
    time: int
    regular: bool
    numbers: Tensor
    row_sources: Tensor
    row_lanes: Tensor
    mask: Tensor | None


class _Store:
    """One pair of (layer, entry, head, time, width) tensors that grows along time.

    ``clean``: all of it holds numbers from the start, for readers that mask what is not seen; the C operators never
    read that, so they need no memory for it.
    """

    def __init__(
        self, shape: CacheShape, entries: int, dtype: torch.dtype, device: torch.device, *, clean: bool
    ) -> None:
        self._clean = clean
        self._size = (shape.layers, entries, shape.heads, 0, shape.head_width)
        self.keys = torch.zeros(self._size, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)

    def reserve(self, time: int) -> None:
        """Make room for ``time`` positions; what is stored stays."""
        layers, entries, heads, capacity, width = self._size
        if time <= capacity:
            return
        grown = -(-max(time, capacity + capacity // 4) // _GRAIN) * _GRAIN
        self._size = (layers, entries, heads, grown, width)
        for name in ("keys", "values"):
            old: Tensor = getattr(self, name)
            new = old.new_zeros(self._size) if self._clean else old.new_empty(self._size)
            new[:, :, :, :capacity] = old
            setattr(self, name, new)

    def copy(self, origins: Tensor, targets: Tensor, time: int) -> None:
        """Entries ``targets`` become what ``origins`` are, over the first ``time`` positions, all layers at once."""
        for store in (self.keys, self.values):
            store[:, targets, :, :time] = store[:, origins, :, :time]

    def move(self, origins: Tensor, targets: Tensor, time: int, kernels: Kernels) -> None:
        """As :meth:`copy`, where no target is an origin."""
        layers, entries, heads, capacity, width = self._size
        size = self.keys.element_size() * width
        for store in (self.keys, self.values):
            addresses = (store.data_ptr(), origins.data_ptr(), targets.data_ptr())
            kernels.move(*addresses, len(origins), layers, entries, heads, capacity * size, time * size)

    def clear(self, entries: Tensor) -> None:
        """Zero entries that may hold what is not finite."""
        self.keys[:, entries] = 0
        self.values[:, entries] = 0


class KVCache:
    """Self and cross keys and values, and the present arrangement of rows over sources.

    With ``kernels``, which read the cache then, a row that continues another one copies nothing: ``ancestors`` (rows,
    capacity) int32 says which row holds each position that a row sees.
    """

    def __init__(
        self, shape: CacheShape, *, dtype: torch.dtype, device: torch.device, kernels: Kernels | None = None
    ) -> None:
        self.shape = shape
        self.device = device
        self.kernels = kernels
        self._self = _Store(shape, shape.rows, dtype, device, clean=kernels is None)
        self._cross = _Store(shape, shape.sources, dtype, device, clean=kernels is None)
        self.ancestors = torch.zeros(shape.rows if kernels else 0, 0, dtype=torch.int32)
        self._source_lengths = [0] * shape.sources
        self._expected = 0
        self.rows = self.sources = self.cross_time = 0
        self.row_sources = self.row_counts = torch.zeros(0, dtype=torch.int64, device=device)
        self.layout = Layout(0, 1, 0, True, self.row_sources, self.row_sources, self.row_sources, None)

    def arrange(self, row_sources: Sequence[int], *, sources: int) -> None:
        """Say which source each live row reads; call after every join, leave or move, before the next decode step."""
        lanes_used = [0] * sources
        row_lanes = []
        for source in row_sources:
            row_lanes.append(lanes_used[source])
            lanes_used[source] += 1
        lengths = self._source_lengths[:sources]
        self.rows, self.sources = len(row_sources), sources
        self.cross_time = max(lengths, default=0)
        counts = [lengths[source] for source in row_sources]
        self.row_sources, self.row_counts = send([list(row_sources), counts], device=self.device)
        self._lay_out(row_sources, row_lanes, max(lanes_used, default=1))

    def _lay_out(self, row_sources: Sequence[int], row_lanes: Sequence[int], lanes: int) -> None:
        lengths = self._source_lengths[: self.sources]
        mask = None
        if any(length != self.cross_time for length in lengths):
            time = torch.arange(self.cross_time, device=self.device)
            mask = self.mask_of((time < send(lengths, device=self.device)[:, None])[:, None, None, :])
        self.layout = Layout(
            sources=self.sources,
            lanes=lanes,
            time=self.cross_time,
            regular=is_regular(row_sources, row_lanes, lanes, self.sources),
            numbers=torch.arange(self.rows, device=self.device),
            row_sources=self.row_sources,
            row_lanes=send(list(row_lanes), device=self.device),
            mask=mask,
        )

    def mask_of(self, seen: Tensor) -> Tensor:
        """``seen`` as attention takes it: on a CPU as it is, elsewhere as what is added to scores, made once a step."""
        return seen if self.device.type == "cpu" else self.additive(seen)

    def additive(self, seen: Tensor) -> Tensor:
        """Zero where ``seen`` is true, else minus infinity, in the format of the keys."""
        return torch.zeros_like(seen, dtype=self._self.keys.dtype).masked_fill(~seen, -torch.inf)

    def reserve_sources(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """Make room for new sources of ``lengths`` tokens at numbers ``slots``."""
        self._cross.reserve(self.room(max(lengths)))
        for slot, length in zip(slots, lengths, strict=True):
            self._source_lengths[slot] = length

    def write_cross(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store one layer's cross ``keys`` and ``values``, each (B, H, L, D), at source numbers ``slots`` (B,)."""
        time = keys.shape[2]
        self._cross.keys[layer, slots, :, :time] = keys.to(self._cross.keys.dtype)
        self._cross.values[layer, slots, :, :time] = values.to(self._cross.values.dtype)

    def cross_store(self, layer: int) -> tuple[Tensor, Tensor]:
        """All of one layer's cross keys and values, contiguous (sources, H, capacity, D)."""
        return self._cross.keys[layer], self._cross.values[layer]

    def self_store(self, layer: int) -> tuple[Tensor, Tensor]:
        """All of one layer's self-attention keys and values, contiguous (rows, H, capacity, D)."""
        return self._self.keys[layer], self._self.values[layer]

    def stores(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Keys and values of rows and of sources, each whole: (layers, entries, H, capacity, D)."""
        return (self._self.keys, self._self.values), (self._cross.keys, self._cross.values)

    def cross(self, layer: int) -> tuple[Tensor, Tensor]:
        """Cross keys and values of the live sources: views (S, H, L, D), L the longest live source."""
        keys = self._cross.keys[layer, : self.sources, :, : self.cross_time]
        return keys, self._cross.values[layer, : self.sources, :, : self.cross_time]

    def expect(self, time: int) -> None:
        """Say how many positions the oldest row sees in the next step, so that nobody has to ask the device."""
        self._expected = time

    def begin(self, positions: Tensor) -> int:
        """Make room for a step at ``positions`` (R,); returns how many the oldest row sees, its own with them."""
        time, self._expected = self._expected or int(positions.max()) + 1, 0
        self.reserve_time(time)
        return time

    def room(self, time: int) -> int:
        """How much room ``time`` positions are given at least."""
        return time

    def reserve_time(self, time: int) -> None:
        """Make room for ``time`` decoder positions."""
        self._self.reserve(self.room(time))
        missing = self._self.keys.shape[3] - self.ancestors.shape[1]
        if missing and self.kernels is not None:
            self.ancestors = torch.nn.functional.pad(self.ancestors, (0, missing))

    def follow_rows(self, origins: Tensor, targets: Tensor, *, time: int) -> None:
        """Rows ``targets`` (N,) go on from what rows ``origins`` (N,) saw in their first ``time`` positions."""
        if self.kernels is None:
            self._self.copy(origins, targets, time)
        else:
            self.ancestors[targets, :time] = self.ancestors[origins, :time]

    def move_rows(self, origins: Tensor, targets: Tensor, *, time: int) -> None:
        """Rows ``origins`` (N,) are from now on rows ``targets`` (N,), none of which is an origin or still in use."""
        if self.kernels is None:
            self._self.copy(origins, targets, time)
            return
        self._self.move(origins, targets, time, self.kernels)
        names = torch.arange(len(self.ancestors), dtype=torch.int32)
        names[origins] = targets.int()
        self.ancestors[targets] = self.ancestors[origins]
        self.ancestors = names[self.ancestors]

    def copy_sources(self, origins: Sequence[int], targets: Sequence[int]) -> None:
        """Sources ``targets`` become copies of ``origins``, none of which is a target itself."""
        lengths = [self._source_lengths[origin] for origin in origins]
        for target, length in zip(targets, lengths, strict=True):
            self._source_lengths[target] = length
        index = send([*origins, *targets], device=self.device)
        if self.kernels is None:
            self._cross.copy(index[: len(origins)], index[len(origins) :], max(lengths))
        else:
            self._cross.move(index[: len(origins)], index[len(origins) :], max(lengths), self.kernels)

    def clear(self, rows: Sequence[int], sources: Sequence[int]) -> None:
        """Zero rows and sources, so that a value that is not finite never reaches a later user of the same place."""
        self._self.clear(send(list(rows), device=self.device))
        self._cross.clear(send(list(sources), device=self.device))

    @property
    def bytes(self) -> int:
        """Memory held now."""
        stores = (self._self.keys, self._self.values, self._cross.keys, self._cross.values)
        return sum(store.numel() * store.element_size() for store in stores)


def is_regular(row_sources: Sequence[int], row_lanes: Sequence[int], lanes: int, sources: int) -> bool:
    """Whether the rows stand in order, ``lanes`` of them for each of the ``sources``."""
    places = zip(row_sources, row_lanes, strict=True)
    in_order = all(source * lanes + lane == row for row, (source, lane) in enumerate(places))
    return in_order and len(row_sources) == sources * lanes
