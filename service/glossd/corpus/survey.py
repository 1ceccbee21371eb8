"""What a run would have to do: every record counted, and a few of them, the same each time, to try the engine with."""

from __future__ import annotations

import hashlib
import heapq
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from glossd.corpus.engine import CorpusEngine
from glossd.corpus.records import BadRecord, Record, Row

TRIED_RECORDS = 48


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in an input. ``sample`` is drawn from all of it."""

    records: int
    characters: int
    bad: tuple[tuple[str, int], ...]
    sample: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all of it would take, from what the sample took: model tokens and seconds."""

    tried: int
    failed: int
    input_tokens: int
    output_tokens: int
    seconds: float


def survey(items: Iterable[Record | BadRecord], *, sample: int = TRIED_RECORDS) -> Survey:
    """Read everything once; memory does not grow with it."""
    records = characters = 0
    bad: Counter[str] = Counter()
    chosen: list[tuple[int, int, Record]] = []
    for item in items:
        if isinstance(item, BadRecord):
            bad[item.failure.reason] += 1
            continue
        records += 1
        characters += item.length
        entry = (-_draw(item.position), item.position, item)
        if len(chosen) < sample:
            heapq.heappush(chosen, entry)
        else:
            heapq.heappushpop(chosen, entry)
    drawn = sorted((record for _, _, record in chosen), key=lambda record: record.position)
    return Survey(records, characters, tuple(bad.most_common()), tuple(drawn))


def estimate(found: Survey, engine: CorpusEngine) -> Estimate | None:
    """Work on the sample and scale by characters; None where there is nothing to try."""
    if not found.sample:
        return None
    list(engine.run(found.sample[:1]))  # what an engine does once only is no part of the rate
    started = time.perf_counter()
    results = [outcome.result for outcome in engine.run(found.sample)]
    seconds = time.perf_counter() - started
    rows = [result for result in results if isinstance(result, Row)]
    scale = found.characters / sum(record.length for record in found.sample)
    return Estimate(
        tried=len(results),
        failed=len(results) - len(rows),
        input_tokens=round(scale * sum(row.input_tokens for row in rows)),
        output_tokens=round(scale * sum(row.output_tokens for row in rows)),
        seconds=scale * seconds,
    )


def _draw(position: int) -> int:
    return int.from_bytes(hashlib.blake2b(position.to_bytes(8, "big"), digest_size=8).digest(), "big")
