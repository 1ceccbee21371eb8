"""The waiting queue: interactive before bulk with ageing and shares, fair between callers and keys. No tensors.

Taking costs the same however long the queue is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glossd.engine.fair import FairQueue
from glossd.engine.sequence import Sequence
from glossd.types import Priority


@dataclass(frozen=True, slots=True)
class Room:
    """What may be admitted now: rows, sources and source tokens; and of the rows, how many by bulk work.

    ``bulk_rows`` None is no limit. ``bulk_live`` says whether bulk work runs already: the first one is let in however
    many rows it needs, or it would never run.
    """

    rows: int
    sources: int
    tokens: int
    bulk_rows: int | None = None
    bulk_live: bool = False


class WaitingQueue:
    """Sequences that no row runs yet."""

    def __init__(self, *, ageing_ns: int, bulk_share: float = 0.2) -> None:
        """``ageing_ns``: bulk work that has waited so long gets ``bulk_share`` of the tokens beside interactive work;
        younger bulk work gets what interactive work leaves.
        """
        self._ageing_ns = ageing_ns
        self._bulk_share = bulk_share
        self._interactive, self._bulk = self._lane(), self._lane()
        self._bulk_arrivals: OrderedDict[Sequence, None] = OrderedDict()
        self._bulk_ahead = 0.0  # tokens by which aged bulk work is ahead of its share
        self.last_interactive_ns: int | None = None
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._interactive
        yield from self._bulk

    def put(self, sequence: Sequence) -> None:
        """Append behind the sequences of its priority, caller and fairness key."""
        if sequence.request.priority is Priority.BULK:
            self._bulk.put(sequence)
            self._bulk_arrivals[sequence] = None
        else:
            self._interactive.put(sequence)
            self.last_interactive_ns = sequence.arrival_ns
        self.tokens += sequence.length

    def take(self, room: Room, *, now_ns: int) -> list[Sequence]:
        """The most urgent sequences, in order of urgency, as long as the next one fits; nothing is overtaken, but
        bulk work that has all the rows it may have.

        Their source tokens stay within ``room.tokens`` unless the first alone exceeds it.
        """
        batch: list[Sequence] = []
        rows, tokens, bulk_rows, bulk_live = room.rows, room.tokens, room.bulk_rows, room.bulk_live
        while len(batch) < room.sources:
            lane = self._next_lane(now_ns)
            if lane is self._bulk and bulk_rows is not None and bulk_live and lane.head().beams > bulk_rows:
                lane = self._interactive if len(self._interactive) else None
            if lane is None:
                break
            head = lane.head()
            if head.beams > rows or (batch and head.length > tokens):
                break
            self._pop(lane, now_ns)
            batch.append(head)
            rows -= head.beams
            tokens -= head.length
            if lane is self._bulk:
                bulk_live = True
                bulk_rows = None if bulk_rows is None else bulk_rows - head.beams
        return batch

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out every sequence for which ``unwanted`` is true."""
        removed = self._interactive.remove(unwanted) + self._bulk.remove(unwanted)
        for sequence in removed:
            self._bulk_arrivals.pop(sequence, None)
        self.tokens -= sum(sequence.length for sequence in removed)
        return removed

    @staticmethod
    def _lane() -> FairQueue:
        return FairQueue([lambda entry: entry.request.caller, lambda entry: entry.request.fairness_key])

    def _next_lane(self, now_ns: int) -> FairQueue | None:
        """Aged bulk work that is owed some of its share, else interactive work, else bulk work."""
        if not len(self._interactive):
            return self._bulk if len(self._bulk) else None
        return self._bulk if self._bulk_aged(now_ns) and self._bulk_ahead <= 0 else self._interactive

    def _bulk_aged(self, now_ns: int) -> bool:
        oldest = next(iter(self._bulk_arrivals), None)
        return oldest is not None and self._bulk_share > 0 and now_ns - oldest.arrival_ns >= self._ageing_ns

    def _pop(self, lane: FairQueue, now_ns: int) -> None:
        both_wait = len(self._interactive) > 0 and self._bulk_aged(now_ns)
        sequence = lane.pop()
        self.tokens -= sequence.length
        self._bulk_arrivals.pop(sequence, None)
        if not both_wait:
            self._bulk_ahead = 0.0
        elif lane is self._bulk:
            self._bulk_ahead += sequence.length * (1 - self._bulk_share)
        else:
            self._bulk_ahead = max(0.0, self._bulk_ahead - sequence.length * self._bulk_share)
