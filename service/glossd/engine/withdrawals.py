"""When somebody may have stopped waiting, so that sequences are not asked in vain at every step. No tensors."""

from __future__ import annotations

import time
from concurrent.futures import Future

from glossd.engine.sequence import Sequence
from glossd.types import Generation

_SWEEP_NS = 50_000_000
_REST = 50


class Withdrawals:
    """Counts waiters that cancelled, and knows the sequences with a deadline. All methods, but for what a future calls,
    with the engine's lock held.
    """

    def __init__(self) -> None:
        self._dated: set[Sequence] = set()
        self._cancellations = self._seen_live = self._seen_waiting = 0
        self._due_ns = time.monotonic_ns()

    def follow(self, sequence: Sequence, waiter: Future[Generation]) -> None:
        """From here on ``waiter`` waits for ``sequence``."""
        if sequence.request.deadline_ns is not None:
            self._dated.add(sequence)
        waiter.add_done_callback(self._note)

    def forget(self, sequence: Sequence) -> None:
        """It has ended, one way or the other."""
        self._dated.discard(sequence)

    def concern_live(self) -> bool:
        """Whether one of the batch may be unwanted since this was asked last."""
        before, self._seen_live = self._seen_live, self._cancellations
        return bool(self._dated) or self._seen_live != before

    def concern_waiting(self, now_ns: int) -> bool:
        """Whether one that waits may be unwanted, and it is time to go through them: see :meth:`swept`."""
        if now_ns < self._due_ns or not (self._dated or self._cancellations != self._seen_waiting):
            return False
        self._seen_waiting = self._cancellations
        return True

    def swept(self, started_ns: int) -> None:
        """All that wait were gone through. That costs what the queue is long: the next time may be fifty times as long
        after it as it took.
        """
        ended_ns = time.monotonic_ns()
        self._due_ns = ended_ns + max(_SWEEP_NS, _REST * (ended_ns - started_ns))

    def _note(self, waiter: Future[Generation]) -> None:
        if waiter.cancelled():
            self._cancellations += 1
