"""A very long article: its segments come as they are done, and only a window of them is ever with the engine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from glossd.digests import DigestResult, DigestTask, SegmentEvent, Track
from glossd.tasks.digest import Digester
from glossd.tasks.reading import Reader
from glossd.tasks.summarize import Summarizer
from glossd.tasks.translate import MOST_IN_FLIGHT, TranslatedSegment, TranslationSettings, Translator
from glossd.types import DocumentInput, Extraction, SummaryOptions, TextResult

from tests.toys import ToyDetector, ToyGenerator, toy_hub, toy_model

SENTENCES = 5_000
ARTICLE = "".join(
    f"The council met for day {number} of the talks in the city.{' ' if number % 5 else chr(10) * 2}"
    for number in range(1, SENTENCES + 1)
)
READER = Reader(ToyDetector())


async def test_only_a_window_of_a_long_article_is_with_the_engine_at_once() -> None:
    assert len(ARTICLE.split()) >= 50_000
    generator = ToyGenerator(hold=True)
    translator = Translator(toy_hub(toy_model(generator=generator)), READER)
    reading = await READER.read(DocumentInput(ARTICLE, language_code="en"))
    received = 0
    async with aclosing(translator.stream(reading, TranslationSettings("zh"))) as steps:
        while received < 1_000:
            following = asyncio.ensure_future(anext(steps))
            while not following.done():
                assert generator.waiting <= MOST_IN_FLIGHT
                generator.release(1)
                await asyncio.sleep(0)
            assert isinstance(following.result(), TranslatedSegment)
            received += 1
            assert len(generator.requests) <= received + MOST_IN_FLIGHT
    assert generator.waiting == 0


async def test_fifty_thousand_words_are_translated_without_a_cut() -> None:
    translator = Translator(toy_hub(), READER)
    reading = await READER.read(DocumentInput(ARTICLE, language_code="en"))
    seen = 0
    async with aclosing(translator.stream(reading, TranslationSettings("zh"))) as steps:
        async for step in steps:
            if isinstance(step, TextResult):
                text = step
            else:
                seen += 1
    assert seen == len(text.segments) == SENTENCES
    assert text.text.count("\n\n") == ARTICLE.count("\n\n")
    assert f"{SENTENCES}" in text.text
    assert text.warnings == ()


async def test_a_digest_of_it_streams_its_body_while_the_rest_is_not_done() -> None:
    generator = ToyGenerator()
    hub = toy_hub(toy_model(generator=generator))
    digester = Digester(READER, Summarizer(hub, READER), Translator(hub, READER))
    document = DocumentInput(ARTICLE, language_code="en", extraction=Extraction.FULL)
    segments, last = 0, None
    async with aclosing(digester.stream(DigestTask(document, "zh", SummaryOptions(sentences=3)))) as events:
        async for event in events:
            last = event
            if isinstance(event, SegmentEvent) and event.track is Track.TRANSLATED_BODY:
                segments += 1
                if segments == 1:
                    assert len(generator.requests) <= 3 + 2 * MOST_IN_FLIGHT
    assert segments == SENTENCES
    assert isinstance(last, DigestResult)
