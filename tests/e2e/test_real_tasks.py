"""The whole road over gRPC: server, tasks and texts are real, only the model is a toy that can hold and die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from glossd.client import AsyncClient, CallSettings
from glossd.config import Settings
from glossd.digests import DigestResult, SegmentEvent, TextEvent, Track
from glossd.errors import RemoteError
from glossd.tasks.api import build_services
from glossd.types import (
    DocumentInput,
    FinishReason,
    GlossaryEntry,
    MimeType,
    ModelState,
    RequestOptions,
    SummaryOptions,
    WarningCode,
)

from tests.e2e.serving import Serving, serving
from tests.toys import ToyGenerator, toy_hub, toy_model

ARTICLE = """\
Council approves the bridge

The council met on Monday. It decided to build a bridge over the river. The bridge will cost 12 million dollars.

Work begins in March. The old ferry stops when the bridge opens in 2027. Residents welcomed the plan.
"""


@pytest.fixture
def generator() -> ToyGenerator:
    return ToyGenerator()


@pytest.fixture
async def real(generator: ToyGenerator) -> AsyncIterator[Serving]:
    services = build_services(Settings(), hub=toy_hub(toy_model(generator=generator)))
    async with serving(services) as running:
        yield running
    await services.close()


@pytest.fixture
async def client(real: Serving) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(real.endpoint) as opened:
        yield opened


async def test_an_article_goes_in_and_a_summary_and_chinese_come_out(client: AsyncClient) -> None:
    digest = await client.digest(ARTICLE, summary=SummaryOptions(sentences=2))
    assert digest.source_language.language_code == "en"
    assert digest.summary.text
    assert all(sentence.text in ARTICLE for sentence in digest.summary.segments)
    assert digest.translated_body.language_code == "zh-Hans"
    assert digest.translated_body.text.count("\n\n") == ARTICLE.rstrip().count("\n\n")
    assert digest.translated_body.finish_reason is FinishReason.COMPLETE


async def test_a_stream_gives_the_summary_before_the_body_and_the_same_digest_at_the_end(client: AsyncClient) -> None:
    events = [event async for event in client.stream_digest(ARTICLE)]
    tracks = [event.track for event in events if isinstance(event, TextEvent)]
    assert tracks == [Track.SUMMARY, Track.TRANSLATED_SUMMARY, Track.TRANSLATED_BODY]
    last = events[-1]
    assert isinstance(last, DigestResult)
    segments = [event for event in events if isinstance(event, SegmentEvent)]
    assert [event.index for event in segments] == list(range(len(segments)))
    assert last.translated_body.text == (await client.digest(ARTICLE)).translated_body.text


async def test_a_cancelled_call_leaves_nothing_with_the_engine(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    generator.hold = True
    call = asyncio.create_task(client.digest(ARTICLE))
    assert await asyncio.to_thread(generator.wait_for_requests, 3)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await real.server.calls.wait_until_idle()
    assert generator.waiting == 0


async def test_a_call_out_of_time_leaves_nothing_with_the_engine(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    generator.hold = True
    with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
        await client.digest(ARTICLE, settings=CallSettings(timeout_seconds=0.5))
    await real.server.calls.wait_until_idle()
    assert generator.waiting == 0


async def test_a_dead_engine_is_unavailable_and_health_says_so(generator: ToyGenerator, client: AsyncClient) -> None:
    generator.die()
    with pytest.raises(RemoteError) as caught:
        await client.digest(ARTICLE)
    assert (caught.value.code, caught.value.remote_reason) == ("UNAVAILABLE", "ENGINE_DEAD")
    assert await client.health() == "NOT_SERVING"


async def test_unloading_waits_for_the_calls_in_flight(
    generator: ToyGenerator, real: Serving, client: AsyncClient
) -> None:
    generator.hold = True
    call = asyncio.create_task(client.translate("The council met on Monday."))
    assert await asyncio.to_thread(generator.wait_for_requests, 1)
    unload = asyncio.create_task(client.unload_model("toy-en-zh"))
    while (await client.model("toy-en-zh")).state is not ModelState.DRAINING:
        await asyncio.sleep(0)
    generator.release()
    assert (await call).finish_reason is FinishReason.COMPLETE
    assert (await unload).state is ModelState.KNOWN
    with pytest.raises(RemoteError, match="FAILED_PRECONDITION"):
        await client.translate("The council met on Monday.")


async def test_a_model_error_inside_one_of_many_documents_is_that_document_s_own(
    generator: ToyGenerator, client: AsyncClient
) -> None:
    outcomes = await client.translate_many(["The council met.", " ", "It will rain."])
    errors = [outcome for outcome in outcomes if isinstance(outcome, RemoteError)]
    assert [error.fields[0][0] for error in errors] == ["documents[1].text"]


async def test_two_hundred_articles_are_digested_over_one_stream(client: AsyncClient) -> None:
    documents = [(str(number), f"The council met {number} times. It was late.") for number in range(200)]
    answers = {key: outcome async for key, outcome in client.bulk_digest(documents)}
    assert len(answers) == 200
    assert all(isinstance(outcome, DigestResult) for outcome in answers.values())


async def test_terms_of_the_request_come_through_and_are_counted(client: AsyncClient) -> None:
    glossary = (GlossaryEntry("council", "市议会", ignore_case=True),)
    settings = CallSettings(options=RequestOptions(glossary=glossary, do_not_translate=("Monday",)))
    text = await client.translate("The Council met on Monday.", settings=settings)
    assert "市议会" in text.text
    assert "Monday" in text.text
    assert (text.usage.terms_found, text.usage.terms_kept) == (2, 2)
    assert not text.warnings


async def test_a_markdown_document_of_two_languages_keeps_its_form(client: AsyncClient) -> None:
    source = "# The bridge\n\nThe council\nopened it. See [the plan](plan.md).\n\n大桥星期一重新开放了。\n"
    text = await client.translate(DocumentInput(source, MimeType.MARKDOWN))
    lines = text.text.split("\n")
    assert lines[0].startswith("# ")
    assert lines[2].endswith("](plan.md)。")
    assert lines[4] == "大桥星期一重新开放了。"
    assert [warning.code for warning in text.warnings].count(WarningCode.PASSED_THROUGH) == 1


async def test_a_stream_of_a_long_article_begins_before_its_end_is_with_the_engine(
    generator: ToyGenerator, client: AsyncClient
) -> None:
    sentences = 3_000
    article = " ".join(f"The council met for day {number} of the talks in the city." for number in range(sentences))
    begun, seen = 0, 0
    async for event in client.stream_digest(article, summary=SummaryOptions(sentences=2)):
        if isinstance(event, SegmentEvent) and event.track is Track.TRANSLATED_BODY:
            seen += 1
            begun = begun or len(generator.requests)
    assert seen == sentences
    assert begun < sentences
