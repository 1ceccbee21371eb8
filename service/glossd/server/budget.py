"""How much work is in flight, held to limits: what exceeds them is refused at once, bulk streams wait. No protobuf."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from glossd.engine.rate import DrainRate
from glossd.errors import OverloadedError, RequestTooLargeError
from glossd.server.promises import Promises
from glossd.types import Priority

INTERACTIVE_SHARE = 0.25
BULK_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Load:
    """What a request is, or what there is of something: documents, estimated source tokens and memory."""

    documents: int = 0
    tokens: int = 0
    memory_bytes: int = 0

    def __add__(self, other: Load) -> Load:
        return Load(*(getattr(self, name) + getattr(other, name) for name in AMOUNTS))

    def __sub__(self, other: Load) -> Load:
        return Load(*(getattr(self, name) - getattr(other, name) for name in AMOUNTS))


AMOUNTS = tuple(field.name for field in fields(Load))
WANTED_NS = 10_000_000_000
"""How long room is kept for a caller after it was refused: somewhat more than it was asked to wait, mostly."""
WORDS = {
    "documents": "articles are in flight",
    "tokens": "source tokens (estimated) are in flight",
    "memory_bytes": "bytes of memory (estimated) are in use",
}


@dataclass(frozen=True, slots=True)
class Excess:
    """The amount that has no room: its name, what is there, what the limit is and by how much it is exceeded."""

    amount: str
    used: int
    limit: int
    over: int


class Budget:
    """Counts what is in flight. Belongs to one event loop.

    Bulk work leaves a quarter of every limit to interactive work, and while some of it waits it is sure of a fifth.
    A caller that was refused lately is sure of its equal share of every limit: others that hold more get nothing new
    until it has that.
    What alone exceeds the limit on documents or tokens is let in when nothing else is there; what alone would exceed
    the memory is refused for good.
    """

    def __init__(self, most: Load, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._most = most
        self._clock = clock
        self._used = {Priority.INTERACTIVE: Load(), Priority.BULK: Load()}
        self._rates = {name: DrainRate() for name in AMOUNTS}
        self._promises = {name: Promises() for name in AMOUNTS}
        self._held: dict[str, Load] = {}
        self._refused_ns: dict[str, int] = {}
        self._waiting: deque[tuple[Load, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> Load:
        """Everything in flight."""
        return self._used[Priority.INTERACTIVE] + self._used[Priority.BULK]

    @contextmanager
    def hold(self, load: Load, priority: Priority = Priority.INTERACTIVE, *, caller: str = "") -> Iterator[None]:
        """Holds the load while inside. Raises ``OverloadedError`` when there is no room for it."""
        self._check_possible(load)
        excess = self._excess(load, priority, caller)
        if excess is not None:
            self._refused_ns[caller] = self._clock()
            raise self._refusal(excess, getattr(load, excess.amount), priority)
        self._take(load, priority)
        self._held[caller] = self._held.get(caller, Load()) + load
        try:
            yield
        finally:
            self._held[caller] -= load
            if self._held[caller] == Load():
                del self._held[caller]
            self.give_back(load, priority)

    async def wait(self, load: Load) -> None:
        """Takes the load, for bulk work, as soon as there is room for it and those that waited before have theirs.

        Raises ``RequestTooLargeError`` for what there will never be room for.
        """
        self._check_possible(load)
        if not self._waiting and self._excess(load, Priority.BULK) is None:
            self._take(load, Priority.BULK)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((load, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(load, Priority.BULK)  # it had been let in, and left before it knew
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._let_in()
            raise

    def give_back(self, load: Load, priority: Priority) -> None:
        """That much is done."""
        self._used[priority] -= load
        now_ns = self._clock()
        for name in AMOUNTS:
            self._rates[name].drained(getattr(load, name), now_ns)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._excess(self._waiting[0][0], Priority.BULK) is None:
            load, turn = self._waiting.popleft()
            if not turn.done():
                self._take(load, Priority.BULK)
                turn.set_result(None)

    def _take(self, load: Load, priority: Priority) -> None:
        now_ns = self._clock()
        for rate in self._rates.values():
            rate.begin(now_ns)
        self._used[priority] += load

    def _check_possible(self, load: Load) -> None:
        if load.memory_bytes > self._most.memory_bytes:
            need, limit = load.memory_bytes, self._most.memory_bytes
            raise RequestTooLargeError(f"the request needs about {need:,} bytes of memory; the limit is {limit:,}")

    def _excess(self, load: Load, priority: Priority, caller: str = "") -> Excess | None:
        """The first amount that has no room for ``load``."""
        bulk, total = self._used[Priority.BULK], self.used
        wanting, callers = self._wanting(caller)
        for name in AMOUNTS:
            most, used, wanted = getattr(self._most, name), getattr(total, name), getattr(load, name)
            limit = self._limit(most, used, getattr(bulk, name), wanted, priority)
            share = getattr(self._most, name) // callers
            limit -= sum(max(0, share - getattr(held, name)) for held in wanting)
            if used and used + wanted > limit:
                return Excess(name, used, limit, used + wanted - limit)
        return None

    def _wanting(self, caller: str) -> tuple[list[Load], int]:
        """What the others hold that were refused lately, and how many callers there are, this one included."""
        now_ns = self._clock()
        self._refused_ns = {name: at_ns for name, at_ns in self._refused_ns.items() if now_ns - at_ns < WANTED_NS}
        others = [name for name in self._refused_ns if name != caller]
        return [self._held.get(name, Load()) for name in others], len({caller, *others, *self._held})

    def _limit(self, most: int, used: int, bulk: int, wanted: int, priority: Priority) -> int:
        sure = int(most * BULK_SHARE)
        if priority is Priority.INTERACTIVE:
            return most - max(0, sure - bulk) if self._waiting else most
        return most if bulk + wanted <= sure else max(1, int(most * (1 - INTERACTIVE_SHARE)))

    def _refusal(self, excess: Excess, wanted: int, priority: Priority) -> OverloadedError:
        """When to come again: after what has to go first, and after those who were told to come again before."""
        share = " for bulk work" if priority is Priority.BULK else ""
        message = f"{excess.used:,} {WORDS[excess.amount]}; the limit is {excess.limit:,}{share}"
        now_ns, promises = self._clock(), self._promises[excess.amount]
        seconds = self._rates[excess.amount].seconds_until(excess.over + promises.ahead(now_ns), now_ns)
        promises.add(wanted, now_ns + int(seconds * 1e9))
        return OverloadedError(message, retry_after_seconds=seconds)
