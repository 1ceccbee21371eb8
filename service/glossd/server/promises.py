"""How much room was promised to those who were told to come again later. No clock of its own; nobody is awaited."""

from __future__ import annotations

import heapq

MOST_PROMISES = 10_000


class Promises:
    """What refused callers were told, so that each is told to come after those before it, not at the same moment."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int]] = []
        self._sum = 0

    def ahead(self, now_ns: int) -> int:
        """The amount promised to callers that should not have come back yet."""
        while self._due and self._due[0][0] <= now_ns:
            self._sum -= heapq.heappop(self._due)[1]
        return self._sum

    def add(self, amount: int, due_ns: int) -> None:
        """So much was promised for that moment. Beyond some thousands, what is added tells nothing new."""
        if len(self._due) < MOST_PROMISES:
            heapq.heappush(self._due, (due_ns, amount))
            self._sum += amount
