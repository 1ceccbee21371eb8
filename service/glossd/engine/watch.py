"""Looks after engines: replaces one that died, notices one that hangs or only fails, and says when to give up.

Time is counted in looks, not read from a clock, so that a process that was stopped and continued is not taken for one
that hung.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from glossd.engine.engine import Engine, EngineLimits
from glossd.engine.recovery import FAILURES_IN_A_ROW, frames_of, is_fatal
from glossd.engine.statistics import EngineStatistics, total
from glossd.errors import EngineDeadError, GlossdError
from glossd.types import Generation

_log = logging.getLogger(__name__)

LONGEST_TICK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
USUAL_TIMES = 4.0
"""A call of the model may take so many times as long as its size lets expect from those before it."""

OnDeath = Callable[[BaseException], None]


class Post:
    """One worker's place in a pool. Whoever stands there is replaced when it dies, ``limits.restarts`` times.

    A replacement, and an engine that only fails, must answer the first request again that was ever answered here before
    they are well. A replacement that dies before that is followed by the next after a second, then two, then four, ...
    ``on_lost`` is told once, from any thread, when this place is given up for good.
    """

    def __init__(
        self, start: Callable[[OnDeath], Engine], *, limits: EngineLimits, name: str, on_lost: OnDeath | None
    ) -> None:
        self._start = start
        self._limits = limits
        self._name = name
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._past: list[EngineStatistics] = []
        self._lost = self._closing = self._unproven = False
        self._pauses = 0
        self._pause_seconds = 0.0
        self._proof: Future[Generation] | None = None
        self._beats = -1
        self._silent_seconds = self._unwell_seconds = 0.0
        with self._lock:
            self.engine = start(self._on_death)

    @property
    def restarts(self) -> int:
        """How often an engine was replaced here."""
        return len(self._past)

    @property
    def condition(self) -> str:
        """What is wrong, or "" when all is well."""
        if self._lost or not self.engine.alive:
            return "its engine has died"
        patience = max(self._limits.hang_seconds, USUAL_TIMES * self.engine.expected_ns / 1e9)
        if self._silent_seconds >= patience:
            return f"its engine has not moved for {self._silent_seconds:.1f} s; the limit is {patience:.1f} s"
        if self.engine.failing:
            return f"its last {FAILURES_IN_A_ROW} segments failed"
        return "its engine was started again and has not answered its test" if self._unproven else ""

    def statistics(self) -> EngineStatistics:
        """Those of the engine, and the counts of its predecessors."""
        return total([self.engine.statistics(), *self._past])

    def close(self) -> None:
        """No replacement from here on; finish what is queued."""
        with self._lock:
            self._closing = True
        self.engine.close()

    def look(self, seconds: float) -> None:
        """What the watch does every ``seconds``."""
        engine = self.engine
        beats = engine.beats
        self._silent_seconds = 0.0 if beats != self._beats else self._silent_seconds + seconds
        self._beats = beats
        self._unwell_seconds = self._unwell_seconds + seconds if self.condition else 0.0
        patience = self._limits.hang_seconds if self._closing else self._limits.exit_seconds
        if patience and self._unwell_seconds >= patience and not self._lost:
            error = EngineDeadError(f"{self._name}: {self.condition}, for {self._unwell_seconds:.1f} s")
            engine.abandon(error)
            self._lose(error)
        elif self._pause_seconds:
            self._pause_seconds = max(0.0, self._pause_seconds - seconds)
            if not self._pause_seconds:
                self._replace()
        elif engine.failing or self._unproven:
            self._prove()

    def _on_death(self, error: BaseException) -> None:
        """In the thread of the engine that died: put another one in its place, now or after a pause, or give up."""
        with self._lock:
            give_up = self._closing or is_fatal(error) or self.restarts >= self._limits.restarts
            # One that dies before it was proven would only die again at once.
            self._pauses = self._pauses + 1 if self._unproven else 0
            self._pause_seconds = min(LONGEST_PAUSE_SECONDS, float(2 ** (self._pauses - 1))) if self._pauses else 0.0
        if give_up:
            self._lose(error)
            return
        extra = {"engine": self._name, "error": type(error).__name__, "frames": frames_of(error)}
        _log.error("engine died", extra=extra | {"restarts": self.restarts, "pause_seconds": self._pause_seconds})
        if not self._pause_seconds:
            self._replace()

    def _replace(self) -> None:
        with self._lock:
            past = self.engine
            if self._closing or self._lost or past.alive:
                return
            self._past.append(past.statistics().ended())
            self._unproven = past.first_answered is not None
            self.engine = self._start(self._on_death)
            self.engine.first_answered = past.first_answered
        _log.warning("engine started again", extra={"engine": self._name, "restarts": self.restarts})
        self._prove()

    def _prove(self) -> None:
        """Ask for the first answer once more."""
        engine = self.engine
        with self._lock:
            known = engine.first_answered
            if known is None or (self._proof is not None and not self._proof.done()):
                return
            try:
                self._proof = engine.submit(replace(known, deadline_ns=None))
            except GlossdError:
                return  # full, closing or dead: the next look sees to it
        self._proof.add_done_callback(lambda proof: self._proven(engine, proof))

    def _proven(self, engine: Engine, proof: Future[Generation]) -> None:
        if not proof.cancelled() and proof.exception() is None and engine is self.engine:
            self._unproven = False

    def _lose(self, error: BaseException) -> None:
        with self._lock:
            told = self._lost or self._closing
            self._lost = True
        if told:
            return
        why = str(error) if isinstance(error, GlossdError) else type(error).__name__
        _log.error("engine given up", extra={"engine": self._name, "why": why, "frames": frames_of(error)})
        if self._on_lost is not None:
            self._on_lost(error)


class Watch:
    """The thread that looks at every post, named ``glossd-watch-NAME``. If it dies, ``on_lost`` is told of it."""

    def __init__(self, posts: Sequence[Post], *, limits: EngineLimits, name: str, on_lost: OnDeath | None) -> None:
        self._posts = tuple(posts)
        self._on_lost = on_lost
        spans = [seconds / 4 for seconds in (limits.hang_seconds, limits.exit_seconds) if seconds]
        self._seconds = min(LONGEST_TICK_SECONDS, *spans)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"glossd-watch-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether somebody looks."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop looking. Idempotent."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._seconds):
                for post in self._posts:
                    post.look(self._seconds)
        except BaseException as error:
            _log.error("the watch died", extra={"error": type(error).__name__, "frames": frames_of(error)})
            if self._on_lost is not None:
                self._on_lost(error)
