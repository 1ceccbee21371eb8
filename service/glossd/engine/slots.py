"""Dense numbers for rows and sources: take, give back, and the moves that close the holes. No tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Move:
    """What stood at ``origin`` now stands at ``target``."""

    origin: int
    target: int


class Slots:
    """Numbers ``0 .. live-1`` out of ``capacity``."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.live = 0

    @property
    def free(self) -> int:
        """How many can be taken."""
        return self.capacity - self.live

    def take(self, count: int) -> list[int]:
        """The next ``count`` numbers."""
        assert count <= self.free, f"{count} slots asked, {self.free} free"
        taken = list(range(self.live, self.live + count))
        self.live += count
        return taken

    def give_back(self, numbers: Iterable[int]) -> list[Move]:
        """Free ``numbers``; the moves keep the rest dense. No target of a move is an origin of another."""
        freed = set(numbers)
        live = self.live - len(freed)
        holes = sorted(number for number in freed if number < live)
        movers = [number for number in range(live, self.live) if number not in freed]
        self.live = live
        return [Move(origin, target) for origin, target in zip(movers, holes, strict=True)]
