"""A corpus job on the command line: its engine, its signals, what is said before, while and after it runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from glossd.cli.corpus_display import Meter, choose_display, duration
from glossd.cli.corpus_engines import EngineChoice, build_engine

if TYPE_CHECKING:
    from glossd.corpus.job import Job
    from glossd.corpus.report import Report

FAILED, INTERRUPTED = 1, 130


def work(job: Job, choice: EngineChoice) -> int:
    """Do the job, or what is left of it; returns the exit code."""
    for suffix, count in job.corpus.left_out:
        say(f"{count:,} files left out, their kind is not known: {suffix}")
    with job:
        done = job.finished
        if done is not None:
            say(f"{job.paths.output} is done already: {done['rows']:,} rows, {done['errors']:,} errors")
            return 0
        if job.shards_done:
            say(f"going on with {job.paths.output}: {job.shards_done:,} shards are done")
        engine = build_engine(choice)
        try:
            stop = threading.Event()
            with stopping(stop, lambda: job.state.at_work), choose_display(Meter(job, engine)):
                report = job.run(engine, stop)
        finally:
            engine.close()
        if job.lost_shards:
            say(f"{len(job.lost_shards):,} shards were not as the journal says and were made again")
        return _stopped(job) if report is None else _finished(job, report)


def survey(job: Job, choice: EngineChoice) -> int:
    """Say what the job would have to do. Writes nothing."""
    from glossd.corpus.survey import estimate

    found = job.survey()
    typer.echo(f"records     {found.records + sum(count for _, count in found.bad):,}")
    typer.echo(f"characters  {found.characters:,}")
    for reason, count in found.bad:
        typer.echo(f"errors      {count:,} {reason}")
    engine = build_engine(choice)
    try:
        guess = estimate(found, engine)
    finally:
        engine.close()
    if guess is not None:
        typer.echo(f"tokens      about {guess.input_tokens:,} in, {guess.output_tokens:,} out")
        typer.echo(f"time        about {duration(guess.seconds)} here, from {guess.tried:,} records that were tried")
        if guess.failed:
            typer.echo(f"failing     {guess.failed:,} of {guess.tried:,} that were tried")
    return 0


def say(message: str) -> None:
    """A line for a person, on standard error."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def stopping(stop: threading.Event, at_work: Callable[[], int]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM sets ``stop``, the second interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say(f"\nfinishing {at_work():,} records that are begun, then stopping; once more stops at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped(job: Job) -> int:
    say(f"stopped: {job.shards_done:,} shards are safe in {job.paths.parts}; the same command goes on from there")
    return INTERRUPTED


def _finished(job: Job, report: Report) -> int:
    tally = report.tally
    rate = (tally.rows + tally.errors) / max(report.seconds, 1e-9)
    say(f"{job.paths.output}: {tally.rows:,} rows, {duration(report.seconds)}, {rate:,.1f} records/s")
    if tally.errors:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.reasons.most_common())
        say(f"{job.paths.errors}: {tally.errors:,} errors ({reasons})")
    if job.paths.picture.exists():
        say(f"{job.paths.report} and {job.paths.picture.name} have the figures")
    else:
        say(f"{job.paths.report} has the figures; for a picture of them: pip install 'glossd[report]'")
    return FAILED if tally.errors and not tally.rows else 0
