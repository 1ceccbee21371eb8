"""Whether one more sequence may be queued and, where not, when to come again. Knows counts, no sequences."""

from __future__ import annotations

import time

from glossd.engine.rate import DrainRate
from glossd.errors import OverloadedError
from glossd.types import GenerationRequest, Priority


class Intake:
    """Holds the queue to ``queue_tokens``, of which the last ``interactive_share`` is for interactive work only."""

    def __init__(self, *, queue_tokens: int, interactive_share: float) -> None:
        self._limits = {
            Priority.INTERACTIVE: queue_tokens,
            Priority.BULK: max(1, int(queue_tokens * (1 - interactive_share))),
        }
        self._rate = DrainRate()

    def check(self, request: GenerationRequest, *, queued: int) -> None:
        """Raises ``OverloadedError`` when ``queued`` tokens leave no room. An empty queue takes anything."""
        limit, needed = self._limits[request.priority], queued + len(request.source_ids)
        now_ns = time.monotonic_ns()
        self._rate.begin(now_ns)
        if queued and needed > limit:
            share = "" if request.priority is Priority.INTERACTIVE else " for bulk work"
            raise OverloadedError(
                f"{queued:,} source tokens are queued; the limit is {limit:,}{share}",
                retry_after_seconds=self._rate.seconds_until(needed - limit, now_ns),
            )

    def taken(self, tokens: int, now_ns: int) -> None:
        """That many tokens left the queue for the model."""
        if tokens:
            self._rate.drained(tokens, now_ns)
