"""How fast a corpus goes through the local engine, and how much memory that takes, with the embedded model.

``python -m bench.corpus whole ARTICLES.jsonl OUT.jsonl --seconds 200`` works on a corpus for a while and prints what it
did; again, it goes on. ``python -m bench.corpus compare ARTICLES.jsonl`` gives the same articles, block by block in
turn, to the corpus engine and their segments to the batching core alone, which is as fast as it can get.
"""

from __future__ import annotations

import argparse
import json
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from glossd.config import Settings, load_settings
from glossd.corpus.entries import Fields, ReadSettings
from glossd.corpus.job import Job, JobSettings
from glossd.corpus.local import LocalEngine, build_local_engine
from glossd.corpus.numbering import SeenIds, Selection, number
from glossd.corpus.readers import read_corpus
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Record, Row
from glossd.corpus.sources import ReadCount, find_corpus
from glossd.engine.generator import Generator
from glossd.tasks.api import build_services
from glossd.tasks.hub import Hub
from glossd.tasks.loading import CheckpointLoader, known_models
from glossd.tasks.served import KnownModel, ServedModel
from glossd.types import Generation, GenerationRequest

READING = ReadSettings(fields=Fields(text="body", title="title"))


@dataclass(slots=True)
class Tap:
    """A generator that keeps what it is asked for."""

    inner: Generator
    requests: list[GenerationRequest] = field(default_factory=list)

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """See :class:`glossd.engine.generator.Generator`."""
        self.requests.append(request)
        return self.inner.submit(request)

    def close(self) -> None:
        """See :class:`glossd.engine.generator.Generator`."""
        self.inner.close()


@dataclass(slots=True)
class Spent:
    """Wall and processor seconds, and what they gave."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    tokens: int = 0
    articles: int = 0

    def add(self, started: tuple[float, float], *, tokens: int, articles: int) -> None:
        """Count what was done since ``started``."""
        self.seconds += time.perf_counter() - started[0]
        self.processor_seconds += time.process_time() - started[1]
        self.tokens += tokens
        self.articles += articles


def now() -> tuple[float, float]:
    """Wall and processor clocks."""
    return time.perf_counter(), time.process_time()


def peak_mebibytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def whole(options: argparse.Namespace) -> dict[str, Any]:
    """Go on with a corpus for ``options.seconds``; the peak of memory after every shard."""
    recipe = Recipe("zh-Hans", translated_body=options.bodies)
    selection = Selection(limit=options.articles)
    settings = JobSettings(str(options.input), options.out, recipe, reading=READING, selection=selection)
    peaks: list[tuple[int, int]] = []
    stop = threading.Event()
    timer = threading.Timer(options.seconds, stop.set)
    with Job(settings) as job:
        engine = build_local_engine(load_settings().settings, recipe)
        timer.start()

        def clock() -> float:
            peaks.append((job.state.skipped + job.state.done, peak_mebibytes()))
            return time.time()

        started, spent = now(), Spent()
        try:
            report = job.run(engine, stop, clock=clock)
        finally:
            timer.cancel()
            engine.close()
        spent.add(started, tokens=job.state.output_tokens, articles=job.state.done)
    return {
        "finished": report is not None,
        "skipped": job.state.skipped,
        **rates(spent),
        "peak_mebibytes_after_records": peaks[:: max(1, len(peaks) // 12)],
    }


def rates(spent: Spent) -> dict[str, float]:
    """What was done, and how fast."""
    return {
        "articles": spent.articles,
        "output_tokens": spent.tokens,
        "seconds": round(spent.seconds, 1),
        "processor_seconds": round(spent.processor_seconds, 1),
        "articles_per_second": round(spent.articles / spent.seconds, 3),
        "output_tokens_per_second": round(spent.tokens / spent.seconds, 1),
        "output_tokens_per_processor_second": round(spent.tokens / spent.processor_seconds, 1),
    }


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Corpus engine and core alone in turn. Nothing is remembered between the two."""
    settings = load_settings(assignments=["engine.cache_entries=0"]).settings
    recipe = Recipe("zh-Hans", translated_body=options.bodies)
    taps: list[Tap] = []
    engine = LocalEngine(build_services(settings, hub=tapped_hub(settings, taps)), recipe)
    tap = taps[0]
    corpus, direct = Spent(), Spent()
    try:
        records = read(options.input, options.articles)
        work(engine, tap, list(islice(records, 4)), corpus=Spent(), direct=Spent())
        while block := list(islice(records, options.block)):
            work(engine, tap, block, corpus=corpus, direct=direct)
    finally:
        engine.close()
    return {
        "bodies": options.bodies,
        "corpus": rates(corpus),
        "core_alone": rates(direct),
        "share_of_wall_rate": round(direct.seconds / corpus.seconds, 3),
        "share_of_processor_rate": round(direct.processor_seconds / corpus.processor_seconds, 3),
    }


def work(engine: LocalEngine, tap: Tap, block: list[Record], *, corpus: Spent, direct: Spent) -> None:
    """One block through both."""
    tap.requests.clear()
    started = now()
    rows = [outcome.result for outcome in engine.run(block) if isinstance(outcome.result, Row)]
    corpus.add(started, tokens=sum(row.output_tokens for row in rows), articles=len(rows))
    requests = sorted(tap.requests, key=lambda request: len(request.source_ids), reverse=True)
    started = now()
    futures = [tap.inner.submit(request) for request in requests]
    tokens = sum(len(future.result().token_ids) for future in futures)
    direct.add(started, tokens=tokens, articles=len(rows))


def tapped_hub(settings: Settings, taps: list[Tap]) -> Hub:
    """The hub of the settings, each generator behind a tap."""
    load = CheckpointLoader(settings.models, settings.engine)

    async def tapped(known: KnownModel) -> ServedModel:
        served = await load(known)
        taps.append(Tap(served.generator))
        return replace(served, generator=taps[-1])

    return Hub(known_models(settings.models), tapped)


def read(path: Path, limit: int) -> Iterator[Record]:
    """The first articles of a file."""
    with SeenIds() as seen:
        for item in number(read_corpus(find_corpus(str(path)), READING, ReadCount()), Selection(limit), seen):
            if isinstance(item, Record):
                yield item


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(required=True)
    for name, mode in (("whole", whole), ("compare", compare)):
        sub = modes.add_parser(name)
        sub.set_defaults(mode=mode)
        sub.add_argument("input", type=Path, help="JSONL with title and body")
        sub.add_argument("--articles", type=int, default=2000)
        sub.add_argument("--bodies", action="store_true", help="translate the bodies too")
        if mode is whole:
            sub.add_argument("out", type=Path)
            sub.add_argument("--seconds", type=float, default=200.0)
        else:
            sub.add_argument("--block", type=int, default=48)
    options = parser.parse_args()
    print(json.dumps(options.mode(options)))


if __name__ == "__main__":
    main()
