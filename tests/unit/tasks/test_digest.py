"""The digester: three texts of one document, in the promised order, and one failure ends all."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from glossd.digests import DigestEvent, DigestResult, DigestTask, SegmentEvent, TextEvent, Track
from glossd.errors import EngineDeadError, InvalidInputError, UnsupportedLanguageError
from glossd.types import DetectedLanguage, DocumentInput, Extraction, SummaryOptions, WarningCode

from tests.toys import ToyGenerator, toy_model, toy_services, toy_summarizer

ARTICLE = """The ship of the canal is free at last

CAIRO, March 29, 2021

The ship was pulled free on Monday, a port official said. Traffic resumed that evening, and the tugs blew their horns.

Some 12% of world trade passes through the canal. The owner of the ship and the insurers expect a long argument.

The crew is well. One of the tugs won a prize.
"""


def task(text: str = ARTICLE, *, to: str = "zh", body: bool = True, sentences: int = 2) -> DigestTask:
    document = DocumentInput(text, extraction=Extraction.MAIN_CONTENT)
    return DigestTask(document, to, SummaryOptions(sentences=sentences), translate_body=body)


async def events_of(generator: ToyGenerator, wanted: DigestTask) -> list[DigestEvent]:
    return [event async for event in toy_services(toy_model(generator=generator)).digester.stream(wanted)]


async def test_a_digest_has_language_title_date_and_three_texts() -> None:
    digest = await toy_services().digester.digest(task())
    assert digest.source_language == DetectedLanguage("en", 0.99)
    assert digest.title == "The ship of the canal is free at last"
    assert "March 29, 2021" in digest.date
    assert digest.summary.model == "extractive"
    assert digest.summary.text in " ".join(ARTICLE.split()) or len(digest.summary.segments) == 2
    assert digest.translated_summary.language_code == "zh-Hans"
    assert digest.translated_body.language_code == "zh-Hans"
    assert digest.translated_body.text.count("\n\n") == ARTICLE.strip().count("\n\n")


async def test_the_translated_summary_is_what_the_body_says() -> None:
    digest = await toy_services().digester.digest(task())
    body = {segment.text for segment in digest.translated_body.segments}
    assert {segment.text for segment in digest.translated_summary.segments} <= body


async def test_events_come_in_the_promised_order() -> None:
    events = await events_of(ToyGenerator(), task())
    kinds = [
        (type(event).__name__, event.track if isinstance(event, SegmentEvent | TextEvent) else None) for event in events
    ]
    segments = kinds.count(("SegmentEvent", Track.TRANSLATED_BODY))
    assert kinds == [
        ("DetectedLanguage", None),
        ("TextEvent", Track.SUMMARY),
        ("TextEvent", Track.TRANSLATED_SUMMARY),
        *[("SegmentEvent", Track.TRANSLATED_BODY)] * segments,
        ("TextEvent", Track.TRANSLATED_BODY),
        ("DigestResult", None),
    ]


async def test_the_segments_of_a_stream_are_numbered_and_make_up_the_body() -> None:
    events = await events_of(ToyGenerator(), task())
    segments = [event for event in events if isinstance(event, SegmentEvent)]
    digest = events[-1]
    assert isinstance(digest, DigestResult)
    assert [event.index for event in segments] == list(range(len(digest.translated_body.segments)))
    joined = "".join(event.separator + event.segment.text for event in segments)
    assert digest.translated_body.text.strip() == joined.strip()


async def test_the_summary_comes_while_the_body_is_still_being_translated() -> None:
    generator = ToyGenerator(hold=True)
    digester = toy_services(toy_model(generator=generator)).digester
    async with aclosing(digester.stream(task())) as events:
        assert isinstance(await anext(events), DetectedLanguage)
        summary = await anext(events)
        assert isinstance(summary, TextEvent)
        assert summary.track is Track.SUMMARY
        generator.release()
        assert isinstance([event async for event in events][-1], DigestResult)


async def test_the_body_can_be_left_out() -> None:
    generator = ToyGenerator()
    events = await events_of(generator, task(body=False))
    digest = events[-1]
    assert isinstance(digest, DigestResult)
    assert digest.translated_body.text == ""
    assert digest.translated_body.language_code == "zh-Hans"
    assert len(generator.requests) == 2


async def test_a_summarization_model_is_used_where_there_is_one() -> None:
    services = toy_services(toy_model(), toy_summarizer(window=4000))
    digest = await services.digester.digest(task())
    assert digest.summary.model == "toy-summary"
    assert digest.translated_summary.model == "toy-en-zh"


async def test_usage_is_the_sum_of_the_three() -> None:
    digest = await toy_services().digester.digest(task())
    texts = (digest.summary, digest.translated_summary, digest.translated_body)
    assert digest.usage.segments == sum(text.usage.segments for text in texts)
    assert digest.usage.output_tokens == sum(text.usage.output_tokens for text in texts)


async def test_what_is_doubtful_about_the_language_is_said_once_per_text() -> None:
    digest = await toy_services().digester.digest(task("Rumble stumble. Crumble bumble. Grumble fumble."))
    doubts = [warning.code for warning in digest.warnings]
    assert doubts.count(WarningCode.LOW_LANGUAGE_CONFIDENCE) == 1
    translated = [warning.code for warning in digest.translated_summary.warnings]
    assert WarningCode.LOW_LANGUAGE_CONFIDENCE not in translated


@pytest.mark.parametrize("to", ["de", "xx"])
async def test_a_language_that_cannot_be_served_is_refused_before_anything_is_sent(to: str) -> None:
    generator = ToyGenerator()
    with pytest.raises(UnsupportedLanguageError) as caught:
        await events_of(generator, task(to=to))
    assert caught.value.field == "target_language_code"
    assert not generator.requests


async def test_an_absurd_summary_length_ends_the_digest_and_cancels_the_body() -> None:
    generator = ToyGenerator(hold=True)
    with pytest.raises(InvalidInputError, match="sentences"):
        await events_of(generator, task(sentences=-1))
    assert generator.waiting == 0


async def test_the_death_of_an_engine_is_one_plain_error() -> None:
    generator = ToyGenerator(hold=True)
    dying = asyncio.create_task(events_of(generator, task()))
    assert await asyncio.to_thread(generator.wait_for_requests, 4)
    generator.die()
    with pytest.raises(EngineDeadError):
        await dying


async def test_a_caller_who_goes_takes_everything_along() -> None:
    generator = ToyGenerator(hold=True)
    digester = toy_services(toy_model(generator=generator)).digester
    going = asyncio.create_task(digester.digest(task()))
    assert await asyncio.to_thread(generator.wait_for_requests, 4)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert generator.waiting == 0


async def test_a_stream_that_is_closed_early_leaves_nothing_behind() -> None:
    generator = ToyGenerator(hold=True)
    digester = toy_services(toy_model(generator=generator)).digester
    async with aclosing(digester.stream(task())) as events:
        await anext(events)
        assert await asyncio.to_thread(generator.wait_for_requests, 4)
    assert generator.waiting == 0
    assert [each.get_name() for each in asyncio.all_tasks() if "digest" in each.get_name()] == []


async def test_an_article_in_the_target_language_is_summarized_and_not_translated() -> None:
    generator = ToyGenerator()
    digester = toy_services(toy_model(generator=generator)).digester
    text = "港务局周一说，这艘货轮要等到下周才能离开港口。船员们都留在船上。潮水将在星期三达到最高。"
    result = await digester.digest(DigestTask(DocumentInput(text, language_code="zh"), "zh-Hans"))
    assert result.summary.text
    assert (result.translated_summary.text, result.translated_body.text) == ("", "")
    assert WarningCode.PASSED_THROUGH in [warning.code for warning in result.warnings]
    assert generator.requests == []
