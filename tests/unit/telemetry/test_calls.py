"""What a call used: summed over its texts, told to whoever asks, and to nobody where there is no call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from glossd.telemetry.calls import CallRecord, Tally, current_call, recorded
from glossd.types import FinishReason, Generation

MS = 1_000_000


def generation(*, cached: bool = False) -> Generation:
    return Generation((4, 5, 6), -0.5, FinishReason.COMPLETE, 2 * MS, 30 * MS, cached, 10 * MS)


class Written:
    """Spans that are kept."""

    def __init__(self) -> None:
        self.spans: dict[str, tuple[int, int, Mapping[str, float]]] = {}
        self.open: list[str] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.open.append(name)
        yield
        self.open.remove(name)

    def record(self, name: str, start_ns: int, end_ns: int, attributes: Mapping[str, float]) -> None:
        self.spans[name] = (start_ns, end_ns, attributes)


def tally_of(*generations: Generation) -> Tally:
    tally = Tally()
    for each in generations:
        tally.sent()
        tally.landed(7, each)
    return tally


def test_the_texts_of_a_call_are_added_up() -> None:
    with recorded(CallRecord()) as record:
        current_call().add(tally_of(generation(), generation(cached=True)))
        current_call().add(tally_of(generation()))
    figures = record.figures()
    assert (figures["segments"], figures["cached_segments"]) == (3, 1)
    assert (figures["source_tokens"], figures["target_tokens"]) == (21, 9)
    assert (figures["queue_seconds"], figures["encode_seconds"], figures["decode_seconds"]) == (0.004, 0.02, 0.04)


def test_stages_follow_each_other_and_are_spans_of_the_call() -> None:
    written = Written()
    CallRecord(written).add(tally_of(generation(), generation()))
    assert list(written.spans) == ["queue", "encode", "decode"]
    queue, encode, decode = (written.spans[name] for name in ("queue", "encode", "decode"))
    assert queue[0] < encode[0] < decode[0] < decode[1]
    assert encode[2] == {"glossd.segments": 2, "glossd.busy_seconds": 0.02}


def test_only_the_first_segment_tells_how_long_it_took() -> None:
    tally = Tally()
    tally.sent()
    first, second = tally.landed(1, generation()), tally.landed(1, generation())
    assert first is not None
    assert first >= 0
    assert second is None


async def test_tasks_and_threads_of_a_call_tell_its_record_and_others_do_not() -> None:
    async def work() -> None:
        current_call().add(tally_of(generation()))
        await asyncio.to_thread(lambda: current_call().add(tally_of(generation())))

    with recorded(CallRecord()) as record:
        await asyncio.gather(work(), work())
    await work()
    assert record.segments == 4


def test_without_a_call_everything_is_told_to_nobody() -> None:
    with current_call().span("translate"):
        current_call().add(tally_of(generation()))
    assert current_call().segments == 0
