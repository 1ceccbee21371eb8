"""The waiting queue: interactive before bulk with ageing, fair between keys, and batches of like length. No tensors.

Taking a batch looks at a bounded number of sequences, so its cost does not grow with the queue.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from glossd.engine.sequence import Sequence
from glossd.types import Priority


@dataclass(frozen=True, slots=True)
class Room:
    """What may be admitted now: rows, sources, and source tokens with padding."""

    rows: int
    sources: int
    padded_tokens: int


class WaitingQueue:
    """Sequences that no row runs yet."""

    def __init__(self, *, ageing_ns: int, window: int = 128) -> None:
        """``ageing_ns``: a bulk sequence that waited so long goes with the interactive ones.

        ``window``: how many of the most urgent sequences may be reordered by length.
        """
        self._ageing_ns = ageing_ns
        self._window = window
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
        """The most urgent sequence that fits, with others of like length; empty if nothing fits.

        The padded size of the batch stays within ``room.padded_tokens`` unless a single sequence exceeds it.
        """
        candidates = self._pop(min(self._window, 4 * max(room.sources, 1)), now_ns)
        if not candidates:
            return []
        batch = _alike(candidates, room)
        chosen = set(map(id, batch))
        for sequence in reversed([entry for entry in candidates if id(entry) not in chosen]):
            self._put_back(sequence)
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

    def _pop(self, count: int, now_ns: int) -> list[Sequence]:
        popped: list[Sequence] = []
        while len(popped) < count and self._count:
            popped.append(self._pop_one(now_ns))
        return popped

    def _pop_one(self, now_ns: int) -> Sequence:
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


def _alike(candidates: list[Sequence], room: Room) -> list[Sequence]:
    """The first candidate and its nearest neighbours in length, as many as the room allows."""
    first = candidates[0]
    if first.beams > room.rows or room.sources < 1:
        return []
    batch, rows, longest = [first], first.beams, first.length
    for other in sorted(candidates[1:], key=lambda entry: abs(entry.length - first.length)):
        padded = max(longest, other.length) * (len(batch) + 1)
        if len(batch) < room.sources and rows + other.beams <= room.rows and padded <= room.padded_tokens:
            batch.append(other)
            rows += other.beams
            longest = max(longest, other.length)
    return batch
