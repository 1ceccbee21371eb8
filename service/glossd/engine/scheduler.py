"""Decides what joins the running batch before the next decode step. Knows counts and lengths, no tensors."""

from __future__ import annotations

from dataclasses import dataclass

from glossd.engine.sequence import Sequence
from glossd.engine.waiting import Room, WaitingQueue


@dataclass(frozen=True, slots=True)
class Step:
    """Admit these, then decode one token for every live row; ``decode`` is false when no row will be live."""

    admit: tuple[Sequence, ...]
    decode: bool


class Scheduler:
    """Admission within the row, source and padded-token budgets.

    A few free rows are not worth an encoder run of their own while others decode: admission waits until an eighth of
    the rows is free or the head of the queue has been passed over ``patience`` times.
    """

    def __init__(self, waiting: WaitingQueue, *, rows: int, batch_tokens: int, patience: int = 4) -> None:
        self._waiting = waiting
        self._rows = rows
        self._batch_tokens = batch_tokens
        self._patience = patience
        self._passed_over = 0

    def next(self, *, free_rows: int, free_sources: int, live: int, now_ns: int) -> Step:
        """What the next step does, given what is free and how many sequences are live."""
        admit: list[Sequence] = []
        if len(self._waiting) and self._worthwhile(free_rows, live):
            room = Room(free_rows, free_sources, self._batch_tokens)
            admit = self._waiting.take(room, now_ns=now_ns)
            self._passed_over = 0 if admit else self._passed_over
        return Step(tuple(admit), live + len(admit) > 0)

    def _worthwhile(self, free_rows: int, live: int) -> bool:
        if live == 0 or 8 * free_rows >= self._rows:
            return True
        self._passed_over += 1
        return self._passed_over > self._patience
