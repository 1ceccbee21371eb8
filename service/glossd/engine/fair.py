"""A queue that is fair between callers, and within one caller between its keys. No priorities, no tensors.

Start-time fair queueing (Goyal, Vin and Cheng 1996): who has been served the fewest tokens goes next, and nobody saves
up while having nothing to send.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as SequenceOf
from typing import Protocol

from glossd.engine.sequence import Sequence

MOST_REMEMBERED = 4096

KeyOf = Callable[[Sequence], str]


class Turns:
    """Whose turn it is among those who have something waiting."""

    def __init__(self) -> None:
        self._now = 0
        self._starts: dict[str, int] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._pushed: set[tuple[int, str]] = set()
        self._left: OrderedDict[str, int] = OrderedDict()
        self._pushes = 0

    def join(self, key: str) -> None:
        """``key`` has something waiting: it starts level with the others, or later if it was ahead when it left."""
        if key not in self._starts:
            self._push(key, max(self._now, self._left.pop(key, 0)))

    def next(self) -> str:
        """The one that was served least."""
        start, _, key = self._heap[0]
        while self._starts.get(key) != start:
            self._pushed.discard((start, key))
            heapq.heappop(self._heap)
            start, _, key = self._heap[0]
        return key

    def charge(self, key: str, tokens: int) -> None:
        """``key`` has been served that much."""
        self._now = max(self._now, self._starts[key])
        self._push(key, self._starts[key] + tokens)

    def leave(self, key: str) -> None:
        """``key`` has nothing waiting any more; what it is ahead by is kept until the others have caught up."""
        ahead = self._starts.pop(key)
        if ahead > self._now:
            self._left[key] = ahead
        while self._left and (len(self._left) > MOST_REMEMBERED or next(iter(self._left.values())) <= self._now):
            self._left.popitem(last=False)

    def _push(self, key: str, start: int) -> None:
        self._starts[key] = start
        if (start, key) not in self._pushed:
            self._pushed.add((start, key))
            self._pushes += 1
            heapq.heappush(self._heap, (start, self._pushes, key))


class Waiting(Protocol):
    """What a fair queue is made of: other fair queues, and at the end of each way one in order of arrival."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Sequence]: ...
    def put(self, sequence: Sequence) -> None:
        """Append."""
        ...

    def head(self) -> Sequence:
        """The next one."""
        ...

    def pop(self) -> Sequence:
        """Take out the next one."""
        ...

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out every sequence for which ``unwanted`` is true."""
        ...


class InOrder:
    """First come, first served."""

    def __init__(self) -> None:
        self._entries: deque[Sequence] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._entries)

    def put(self, sequence: Sequence) -> None:
        """Append."""
        self._entries.append(sequence)

    def head(self) -> Sequence:
        """The oldest."""
        return self._entries[0]

    def pop(self) -> Sequence:
        """Take out the oldest."""
        return self._entries.popleft()

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out every sequence for which ``unwanted`` is true."""
        removed = [sequence for sequence in self._entries if unwanted(sequence)]
        if removed:
            gone = set(removed)
            self._entries = deque(sequence for sequence in self._entries if sequence not in gone)
        return removed


class FairQueue:
    """Fair by the first of ``keys``, and within each of its values by the next one.

    A sequence costs its source tokens times its beams.
    """

    def __init__(self, keys: SequenceOf[KeyOf]) -> None:
        self._key, *self._inner_keys = keys
        self._turns = Turns()
        self._parts: dict[str, Waiting] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Sequence]:
        for part in self._parts.values():
            yield from part

    def put(self, sequence: Sequence) -> None:
        """Append behind the sequences of the same keys."""
        key = self._key(sequence)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = FairQueue(self._inner_keys) if self._inner_keys else InOrder()
            self._turns.join(key)
        part.put(sequence)
        self._count += 1

    def head(self) -> Sequence:
        """The next one in turn."""
        return self._parts[self._turns.next()].head()

    def pop(self) -> Sequence:
        """Take out the next one in turn; it counts as served."""
        key = self._turns.next()
        sequence = self._parts[key].pop()
        self._turns.charge(key, sequence.length * sequence.beams)
        self._drop_if_empty(key)
        self._count -= 1
        return sequence

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out every sequence for which ``unwanted`` is true; they do not count as served."""
        removed: list[Sequence] = []
        for key, part in list(self._parts.items()):
            removed += part.remove(unwanted)
            self._drop_if_empty(key)
        self._count -= len(removed)
        return removed

    def _drop_if_empty(self, key: str) -> None:
        if not len(self._parts[key]):
            del self._parts[key]
            self._turns.leave(key)
