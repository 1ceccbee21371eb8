"""How far a corpus run is, on standard error: a live bar on a terminal, a JSON line every ten seconds elsewhere."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

if TYPE_CHECKING:
    from types import TracebackType

    from glossd.corpus.engine import CorpusEngine
    from glossd.corpus.job import Job

BAR_SECONDS = 0.5
LINE_SECONDS = 10.0
RECENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class View:
    """A moment's view of a run: totals, rates of the last half minute, the time that is left (None: not known)."""

    records: int
    errors: int
    records_per_second: float
    output_tokens_per_second: float
    occupancy: float | None
    done_share: float | None
    seconds_left: float | None
    shards: int


class Meter:
    """Turns what a run has counted into rates. Used by one thread."""

    def __init__(self, job: Job, engine: CorpusEngine) -> None:
        self._job = job
        self._engine = engine
        self._started = time.monotonic()
        self._recent: deque[tuple[float, int, int]] = deque([(self._started, 0, 0)])

    def view(self) -> View:
        """How it is now."""
        now, state = time.monotonic(), self._job.state
        self._recent.append((now, state.done, state.output_tokens))
        while len(self._recent) > 2 and now - self._recent[1][0] > RECENT_SECONDS:
            self._recent.popleft()
        then, done, tokens = self._recent[0]
        seconds = max(now - then, 1e-9)
        left = self._job.left_share()
        return View(
            records=state.skipped + state.done,
            errors=state.errors,
            records_per_second=round((state.done - done) / seconds, 2),
            output_tokens_per_second=round((state.output_tokens - tokens) / seconds, 1),
            occupancy=_rounded(self._engine.occupancy()),
            done_share=None if left is None else round(1 / (1 + left), 4),
            seconds_left=None if left is None else round(left * (now - self._started)),
            shards=state.shards,
        )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)


class Display:
    """Shows a meter from a thread of its own while it is entered. If that fails, the run does not notice."""

    interval = LINE_SECONDS

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="glossd-progress", daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self.interval):
            self.show(self._meter.view())
        self.show(self._meter.view())

    def show(self, view: View) -> None:
        """One JSON line."""
        print(json.dumps({"event": "progress", **asdict(view)}), file=sys.stderr, flush=True)


class Bar(Display):
    """The same as a bar that stays in its place."""

    interval = BAR_SECONDS

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
        self._task = self._progress.add_task("starting", total=None)

    def _run(self) -> None:
        with self._progress:
            super()._run()

    def show(self, view: View) -> None:
        """Redraw the bar."""
        total = 1.0 if view.done_share is not None else None
        self._progress.update(self._task, total=total, completed=view.done_share or 0.0, description=describe(view))
        self._progress.refresh()


def describe(view: View) -> str:
    """The words beside the bar."""
    parts = [f"{view.records:,} records", f"{view.records_per_second:,.1f}/s"]
    parts.append(f"{view.output_tokens_per_second:,.0f} tokens/s")
    parts += [] if view.occupancy is None else [f"batch {view.occupancy:.0%}"]
    parts += [f"{view.errors:,} errors"] if view.errors else []
    parts += [] if view.seconds_left is None else [f"{duration(view.seconds_left)} left"]
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """A length of time for a person: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def choose_display(meter: Meter) -> Display:
    """A bar where a person looks, lines elsewhere."""
    return Bar(meter) if sys.stderr.isatty() else Display(meter)
