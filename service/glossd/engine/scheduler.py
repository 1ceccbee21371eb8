"""Decides what joins the running batch before the next decode step. Knows counts and lengths, no tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from glossd.engine.sequence import Sequence
from glossd.engine.waiting import Room, WaitingQueue

PADDING_SHARE = 0.1
INTERACTIVE_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """Admit these batches, each one encoder run; then decode one token for every live row, if ``decode``."""

    admit: tuple[tuple[Sequence, ...], ...]
    decode: bool


class Scheduler:
    """Admission within the row, source and token budgets.

    A few free rows are not worth an encoder run of their own while others decode: admission waits until an eighth of
    the rows is free or the head of the queue has been passed over ``patience`` times.

    For ten seconds after interactive work has come, bulk work leaves ``interactive_share`` of the rows free for more.
    """

    def __init__(
        self,
        waiting: WaitingQueue,
        *,
        rows: int,
        batch_tokens: int,
        patience: int = 4,
        interactive_share: float = 0.0,
    ) -> None:
        self._waiting = waiting
        self._rows = rows
        self._most_bulk_rows = max(1, rows - int(rows * interactive_share))
        self._batch_tokens = batch_tokens
        self._patience = patience
        self._passed_over = 0

    def next(self, *, free_rows: int, free_sources: int, live: int, now_ns: int, bulk_rows: int = 0) -> Step:
        """What the next step does, given what is free, how many sequences are live and how many rows bulk work has."""
        taken: list[Sequence] = []
        if len(self._waiting) and self._worthwhile(free_rows, live):
            room = Room(
                free_rows, free_sources, self._batch_tokens, self._room_for_bulk(bulk_rows, now_ns), bulk_rows > 0
            )
            taken = self._waiting.take(room, now_ns=now_ns)
            self._passed_over = 0 if taken else self._passed_over
        return Step(tuple(bucket(taken, self._batch_tokens)), live + len(taken) > 0)

    def _room_for_bulk(self, bulk_rows: int, now_ns: int) -> int | None:
        """How many rows bulk work may still take; None for no limit."""
        last_ns = self._waiting.last_interactive_ns
        recent = last_ns is not None and now_ns - last_ns < INTERACTIVE_NS
        return self._most_bulk_rows - bulk_rows if recent else None

    def _worthwhile(self, free_rows: int, live: int) -> bool:
        if live == 0 or 8 * free_rows >= self._rows:
            return True
        self._passed_over += 1
        return self._passed_over > self._patience


def bucket(sequences: Iterable[Sequence], batch_tokens: int) -> list[tuple[Sequence, ...]]:
    """Split into batches of like length: padding up to a tenth of a batch, its padded size within ``batch_tokens``.

    A sequence that exceeds ``batch_tokens`` has a batch of its own.
    """
    batches: list[tuple[Sequence, ...]] = []
    batch: list[Sequence] = []
    tokens = 0
    for sequence in sorted(sequences, key=lambda entry: entry.length):
        padded = sequence.length * (len(batch) + 1)
        wasted = padded - tokens - sequence.length
        if batch and (padded > batch_tokens or wasted > PADDING_SHARE * padded):
            batches.append(tuple(batch))
            batch, tokens = [], 0
        batch.append(sequence)
        tokens += sequence.length
    return [*batches, tuple(batch)] if batch else batches
