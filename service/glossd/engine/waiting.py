"""The waiting queue: interactive before bulk with ageing, fair between keys. No tensors.

Taking costs the same however long the queue is.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glossd.engine.sequence import Sequence
from glossd.types import Priority


@dataclass(frozen=True, slots=True)
class Room:
    """What may be admitted now: rows, sources and source tokens."""

    rows: int
    sources: int
    tokens: int


class WaitingQueue:
    """Sequences that no row runs yet."""

    def __init__(self, *, ageing_ns: int) -> None:
        """``ageing_ns``: a bulk sequence that waited so long goes with the interactive ones."""
        self._ageing_ns = ageing_ns
        self._lanes: dict[Priority, OrderedDict[str, deque[Sequence]]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._count = 0
        self.tokens = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sequence]:
        for lane in self._lanes.values():
            for queue in lane.values():
                yield from queue

    def put(self, sequence: Sequence) -> None:
        """Append behind the sequences of its priority and fairness key."""
        lane = self._lanes[sequence.request.priority]
        lane.setdefault(sequence.request.fairness_key, deque()).append(sequence)
        self._count += 1
        self.tokens += sequence.length

    def take(self, room: Room, *, now_ns: int) -> list[Sequence]:
        """The most urgent sequences, in order of urgency, as long as the next one fits; nothing is overtaken.

        Their source tokens stay within ``room.tokens`` unless the first alone exceeds it.
        """
        batch: list[Sequence] = []
        rows, tokens = room.rows, room.tokens
        while self._count and len(batch) < room.sources:
            sequence = self._pop(now_ns)
            if sequence.beams > rows or (batch and sequence.length > tokens):
                self._put_back(sequence)
                break
            batch.append(sequence)
            rows -= sequence.beams
            tokens -= sequence.length
        return batch

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out every sequence for which ``unwanted`` is true."""
        removed: list[Sequence] = []
        for lane in self._lanes.values():
            for key, queue in list(lane.items()):
                out = [sequence for sequence in queue if unwanted(sequence)]
                if out:
                    removed.extend(out)
                    gone = set(map(id, out))
                    lane[key] = deque(sequence for sequence in queue if id(sequence) not in gone)
                if not lane[key]:
                    del lane[key]
        self._count -= len(removed)
        self.tokens -= sum(sequence.length for sequence in removed)
        return removed

    def _pop(self, now_ns: int) -> Sequence:
        """The next in turn: aged bulk, else interactive, else bulk; keys of one lane take turns."""
        bulk = self._lanes[Priority.BULK]
        lane = self._lanes[Priority.INTERACTIVE] or bulk
        if bulk and lane is not bulk:
            oldest = next(iter(bulk.values()))[0]
            first = next(iter(lane.values()))[0]
            if now_ns - oldest.arrival_ns >= self._ageing_ns and oldest.arrival_ns <= first.arrival_ns:
                lane = bulk
        key, queue = next(iter(lane.items()))
        sequence = queue.popleft()
        if queue:
            lane.move_to_end(key)
        else:
            del lane[key]
        self._count -= 1
        self.tokens -= sequence.length
        return sequence

    def _put_back(self, sequence: Sequence) -> None:
        lane = self._lanes[sequence.request.priority]
        key = sequence.request.fairness_key
        lane.setdefault(key, deque()).appendleft(sequence)
        lane.move_to_end(key, last=False)
        self._count += 1
        self.tokens += sequence.length
