"""Deadlines over a real server: what is done by then is answered in time where the caller wants it, and all is counted.

The tasks layer is the real one; its model is a toy that holds segments until it is told to go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from glossd.client import AsyncClient, CallSettings
from glossd.config import Settings
from glossd.digests import DigestResult, SegmentEvent
from glossd.errors import RemoteError
from glossd.tasks.api import build_services
from glossd.telemetry.metrics import Metrics
from glossd.types import FinishReason, RequestOptions, SummaryMethod, SummaryOptions

from tests.e2e.serving import Serving, serving
from tests.toys import ToyGenerator, first_sentences, toy_hub, toy_model, toy_summarizer

ARTICLE = "The council met on Monday. It decided to build a bridge. Work begins in March. The ferry stops then."
SECONDS = 2.0
IN_PART = CallSettings(options=RequestOptions(allow_partial=True), timeout_seconds=SECONDS)
WHOLE = CallSettings(timeout_seconds=0.5)


@pytest.fixture
def generator() -> ToyGenerator:
    return ToyGenerator(hold=True)


@pytest.fixture
def writer() -> ToyGenerator:
    return ToyGenerator(first_sentences, hold=True)


@pytest.fixture
async def real(generator: ToyGenerator, writer: ToyGenerator) -> AsyncIterator[Serving]:
    metrics = Metrics()
    hub = toy_hub(toy_model(generator=generator), toy_summarizer(generator=writer))
    services = build_services(Settings(), hub=hub, metrics=metrics)
    async with serving(services) as running:
        running.metrics = metrics
        yield running
    await services.close()


@pytest.fixture
async def client(real: Serving) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(real.endpoint) as opened:
        yield opened


def partial_texts(real: Serving) -> float:
    return real.metrics.registry.get_sample_value("glossd_partial_texts_total") or 0.0


async def test_what_is_done_at_the_deadline_comes_before_it_and_the_rest_is_marked(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    begun = time.monotonic()
    call = asyncio.create_task(client.translate(ARTICLE, settings=IN_PART))
    assert await asyncio.to_thread(generator.wait_for_requests, 4)
    generator.release(2)
    text = await call
    assert time.monotonic() - begun < SECONDS
    assert text.finish_reason is FinishReason.DEADLINE
    reasons = [segment.finish_reason for segment in text.segments]
    assert reasons == [FinishReason.COMPLETE] * 2 + [FinishReason.DEADLINE] * 2
    assert [segment.text in ARTICLE for segment in text.segments] == [False, False, True, True]
    assert text.source_coverage == 0.5
    assert partial_texts(real) == 1
    await real.server.calls.wait_until_idle()
    assert generator.waiting == 0


async def test_a_digest_in_part_has_chosen_sentences_for_the_summary_that_was_not_written(
    real: Serving, client: AsyncClient
) -> None:
    abstractive = SummaryOptions(SummaryMethod.ABSTRACTIVE)
    digest = await client.digest(ARTICLE, summary=abstractive, settings=IN_PART)
    texts = (digest.summary, digest.translated_summary, digest.translated_body)
    assert [text.finish_reason for text in texts] == [FinishReason.DEADLINE] * 3
    assert digest.summary.text
    assert digest.translated_body.text == ARTICLE
    assert partial_texts(real) == 3


async def test_a_stream_in_part_ends_with_its_digest(generator: ToyGenerator, client: AsyncClient) -> None:
    events = [event async for event in client.stream_digest(ARTICLE, settings=IN_PART)]
    assert isinstance(events[-1], DigestResult)
    assert any(isinstance(event, SegmentEvent) for event in events)


async def test_who_did_not_ask_for_a_part_gets_the_error_and_nothing_stays_with_the_engine(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    for call in (client.translate(ARTICLE, settings=WHOLE), client.digest(ARTICLE, settings=WHOLE)):
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
            await call
    await real.server.calls.wait_until_idle()
    assert generator.waiting == 0
    assert partial_texts(real) == 0


async def test_a_call_whose_time_is_up_before_it_begins_gives_the_engine_nothing(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    for seconds in (0.0, 1e-6, 1e-4):
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
            await client.translate(ARTICLE, settings=CallSettings(timeout_seconds=seconds))
    await real.server.calls.wait_until_idle()
    assert generator.waiting == 0
