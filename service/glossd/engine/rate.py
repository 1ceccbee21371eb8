"""How fast something drains, as measured, and so how long until there is room. No thread and no clock of its own."""

from __future__ import annotations

import math

LEAST_SECONDS = 0.1
MOST_SECONDS = 30.0
UNKNOWN_SECONDS = 1.0


class DrainRate:
    """A mean of what was drained a second, in which the past fades with ``fade_seconds``.

    One writer; its readers may be other threads, since the state is one tuple that is replaced whole.
    """

    def __init__(self, *, fade_seconds: float = 10.0) -> None:
        self._fade_ns = fade_seconds * 1e9
        self._state: tuple[float, int, int] | None = None  # faded amount, when it was last faded, when it began

    def begin(self, now_ns: int) -> None:
        """Work starts: the time until the first amount counts too."""
        if self._state is None:
            self._state = (0.0, now_ns, now_ns)

    def drained(self, amount: float, now_ns: int) -> None:
        """That much has left."""
        self.begin(now_ns)
        assert self._state is not None
        sum_, last_ns, began_ns = self._state
        self._state = (sum_ * self._faded(now_ns - last_ns) + amount, now_ns, began_ns)

    def a_second(self, now_ns: int) -> float:
        """The rate now; 0.0 while nothing was measured."""
        if self._state is None:
            return 0.0
        sum_, last_ns, began_ns = self._state
        seen = 1 - self._faded(now_ns - began_ns)
        return sum_ * self._faded(now_ns - last_ns) / (seen * self._fade_ns / 1e9) if seen else 0.0

    def seconds_until(self, amount: float, now_ns: int) -> float:
        """How long until ``amount`` more has left at this rate: 0.1 to 30 seconds, 1 while there is no rate."""
        rate = self.a_second(now_ns)
        if rate <= 0:
            return UNKNOWN_SECONDS
        return min(MOST_SECONDS, max(LEAST_SECONDS, amount / rate))

    def _faded(self, elapsed_ns: int) -> float:
        return math.exp(-max(0, elapsed_ns) / self._fade_ns)
