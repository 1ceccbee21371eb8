"""The translator: every segment in its place, in order, checked, and nothing left behind when a caller goes."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest
from glossd.errors import (
    DeadlineError,
    EngineDeadError,
    InvalidInputError,
    OverloadedError,
    UnsupportedLanguageError,
)
from glossd.tasks.reading import Reader
from glossd.tasks.translate import TranslatedSegment, TranslationSettings, Translator
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    FinishReason,
    Priority,
    RequestOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.toys import ToyDetector, ToyGenerator, toy_hub, toy_model

ARTICLE = """The ship is free

The ship was pulled free on Monday. Traffic resumed that evening. It was a good day.

- See https://example.org/news for more.
- https://example.org/only-an-address

One of the tugs won.
"""
READER = Reader(ToyDetector())


def translator(generator: ToyGenerator, *, window: int = 512) -> Translator:
    return Translator(toy_hub(toy_model(generator=generator, window=window)), READER)


def task(text: str = ARTICLE, *, to: str = "zh", language: str | None = None, **options: object) -> TranslateTask:
    return TranslateTask(DocumentInput(text, language_code=language), to, options=RequestOptions(**options))  # type: ignore[arg-type]


def codes(result: TextResult) -> list[WarningCode]:
    return [warning.code for warning in result.warnings]


async def test_every_segment_is_translated_in_its_place() -> None:
    result = await translator(ToyGenerator()).translate(task())
    lines = result.text.split("\n")
    assert len(lines) == len(ARTICLE.split("\n"))
    assert [not line for line in lines] == [not line for line in ARTICLE.split("\n")]
    assert lines[4].startswith("- ")
    assert "https://example.org/news" in lines[4]
    assert lines[5] == "- https://example.org/only-an-address"
    assert " " not in lines[2]
    assert result.language_code == "zh-Hans"
    assert result.model == "toy-en-zh"
    assert result.finish_reason is FinishReason.COMPLETE


async def test_spans_point_into_both_texts() -> None:
    result = await translator(ToyGenerator()).translate(task())
    for segment in result.segments:
        assert result.text[segment.target.start : segment.target.end] == segment.text
    first = result.segments[1]
    assert ARTICLE[first.source.start : first.source.end] == "The ship was pulled free on Monday."


async def test_a_stream_gives_the_segments_in_order_and_then_exactly_their_text() -> None:
    reading = await READER.read(DocumentInput(ARTICLE))
    steps = [step async for step in translator(ToyGenerator()).stream(reading, TranslationSettings("zh"))]
    *segments, text = steps
    assert isinstance(text, TextResult)
    made = ""
    for step in segments:
        assert isinstance(step, TranslatedSegment)
        made += step.separator
        assert len(made) == step.segment.target.start
        made += step.segment.text
    assert text.text.startswith(made)
    assert text.text[len(made) :].strip() == ""
    assert tuple(step.segment for step in segments if isinstance(step, TranslatedSegment)) == text.segments


async def test_segments_are_in_flight_together_and_come_as_the_prefix_completes() -> None:
    generator = ToyGenerator(hold=True)
    reading = await READER.read(DocumentInput("The one. The two. The three."))
    async with aclosing(translator(generator).stream(reading, TranslationSettings("zh"))) as steps:
        first = asyncio.ensure_future(anext(steps))
        assert await asyncio.to_thread(generator.wait_for_requests, 3)
        assert not first.done()
        generator.release(1)
        step = await first
        assert isinstance(step, TranslatedSegment)
        assert step.segment.source.start == 0
        assert generator.waiting == 2
        generator.release()
        assert len([step async for step in steps]) == 3


async def test_addresses_pass_through_without_the_model() -> None:
    generator = ToyGenerator()
    result = await translator(generator).translate(task("The one.\n\nhttps://example.org/a\n\nfoo@example.org\n"))
    assert len(generator.requests) == 1
    assert "https://example.org/a" in result.text
    assert "foo@example.org" in result.text


async def test_the_language_is_detected_and_a_doubtful_one_is_said() -> None:
    result = await translator(ToyGenerator()).translate(task("Rumble stumble crumble."))
    assert codes(result)[0] is WarningCode.LOW_LANGUAGE_CONFIDENCE
    sure = await translator(ToyGenerator()).translate(task("Rumble stumble crumble.", language="en"))
    assert WarningCode.LOW_LANGUAGE_CONFIDENCE not in codes(sure)


async def test_a_language_that_the_text_does_not_look_like_is_said() -> None:
    result = await translator(ToyGenerator()).translate(task("Le bateau est parti.", language="en"))
    assert WarningCode.LANGUAGE_MISMATCH in codes(result)


@pytest.mark.parametrize(
    ("text", "to", "language", "field"),
    [
        ("The one.", "en", None, "target_language_code"),
        ("The one.", "zh", "zh", "target_language_code"),
        ("The one.", "xx", None, "target_language_code"),
        ("The one.", "de", None, "target_language_code"),
        ("The one.", "zh", "qq", "document.language_code"),
        ("Le bateau est parti.", "zh", None, "document.language_code"),
    ],
)
async def test_a_language_that_cannot_be_served_is_refused_by_its_field(
    text: str, to: str, language: str | None, field: str
) -> None:
    with pytest.raises(UnsupportedLanguageError) as caught:
        await translator(ToyGenerator()).translate(task(text, to=to, language=language))
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "  \n\t ", "123 456"])
async def test_a_document_without_words_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await translator(ToyGenerator()).translate(task(text, language="en"))
    assert caught.value.field == "document.text"


async def test_an_absurd_option_is_refused_before_anything_is_submitted() -> None:
    generator = ToyGenerator()
    absurd = TranslateTask(DocumentInput(ARTICLE), "zh", decode=DecodeOptions(num_beams=-1))
    with pytest.raises(InvalidInputError, match="num_beams"):
        await translator(generator).translate(absurd)
    assert not generator.requests


async def test_a_sentence_beyond_the_window_is_split_and_joined_again() -> None:
    generator = ToyGenerator()
    sentence = "The one, " * 30 + "and the end."
    result = await translator(generator, window=40).translate(task(sentence))
    assert codes(result).count(WarningCode.SEGMENT_SPLIT) == 1
    assert len(generator.requests) > 5
    assert all(len(request.source_ids) <= 40 for request in generator.requests)
    assert len(result.segments) == 1
    unsplit = await translator(ToyGenerator()).translate(task(sentence))
    assert result.text == unsplit.text


async def test_options_reach_the_engine() -> None:
    generator = ToyGenerator()
    wanted = TranslateTask(
        DocumentInput("The one."),
        "zh",
        decode=DecodeOptions(num_beams=4, max_new_tokens=50),
        options=RequestOptions(priority=Priority.BULK, fairness_key="alice"),
    )
    await translator(generator).translate(wanted)
    (request,) = generator.requests
    assert (request.priority, request.fairness_key) == (Priority.BULK, "alice")
    assert (request.params.num_beams, request.params.max_new_tokens) == (4, 50)


async def test_a_text_that_is_cut_says_so() -> None:
    cut = TranslateTask(DocumentInput("The one and the other."), "zh", decode=DecodeOptions(max_new_tokens=3))
    result = await translator(ToyGenerator()).translate(cut)
    assert result.finish_reason is FinishReason.LENGTH
    assert WarningCode.OUTPUT_TRUNCATED in codes(result)


async def test_what_cannot_be_translated_is_handed_through_after_another_try() -> None:
    def stuttering(text: str) -> str:
        return "好" * 400

    generator = ToyGenerator(convert=stuttering)
    result = await translator(generator).translate(task("The one is free."))
    assert [request.params.no_repeat_ngram_size for request in generator.requests] == [0, 3]
    assert codes(result) == [WarningCode.PASSED_THROUGH]
    assert (result.text, result.finish_reason) == ("The one is free.", FinishReason.PASSTHROUGH)


async def test_an_empty_translation_is_tried_again_and_then_the_source_stands_there() -> None:
    generator = ToyGenerator(convert=lambda text: "")
    result = await translator(generator).translate(task("The one is free."))
    assert result.finish_reason is FinishReason.PASSTHROUGH
    assert codes(result) == [WarningCode.PASSED_THROUGH]
    assert len(generator.requests) == 2


async def test_usage_adds_up() -> None:
    generator = ToyGenerator()
    result = await translator(generator).translate(task("The one. The two."))
    assert result.usage.segments == 2
    assert result.usage.input_characters == len("The one. The two.")
    assert result.usage.input_tokens == sum(len(request.source_ids) for request in generator.requests)
    assert result.usage.output_tokens > 0
    assert (result.usage.queue_ns, result.usage.compute_ns) == (2_000, 4_000)
    assert result.score == pytest.approx(-0.5)


async def test_a_caller_who_goes_takes_all_its_segments_along() -> None:
    generator = ToyGenerator(hold=True)
    going = asyncio.create_task(translator(generator).translate(task("The one. The two. The three.")))
    assert await asyncio.to_thread(generator.wait_for_requests, 3)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert generator.waiting == 0


async def test_one_failure_cancels_the_rest_of_the_document() -> None:
    generator = ToyGenerator(hold=True)
    failing = asyncio.create_task(translator(generator).translate(task("The one. The two. The three.")))
    assert await asyncio.to_thread(generator.wait_for_requests, 3)
    generator.failure = OverloadedError("full", retry_after_seconds=1.0)
    generator.release(1)
    with pytest.raises(OverloadedError):
        await failing
    assert generator.waiting == 0


async def test_the_death_of_an_engine_reaches_its_callers() -> None:
    generator = ToyGenerator(hold=True)
    dying = asyncio.create_task(translator(generator).translate(task("The one. The two.")))
    assert await asyncio.to_thread(generator.wait_for_requests, 2)
    generator.die()
    with pytest.raises(EngineDeadError):
        await dying


async def test_a_deadline_that_has_passed_is_an_error() -> None:
    late = task("The one.", deadline_ns=time.monotonic_ns())
    generator = ToyGenerator(hold=True)
    with pytest.raises(DeadlineError):
        await translator(generator).translate(late)
    assert generator.waiting == 0


async def test_with_allow_partial_a_deadline_gives_what_is_done_and_the_source_for_the_rest() -> None:
    generator = ToyGenerator(hold=True)
    wanted = task("The one. The two. The three.", allow_partial=True)
    working = asyncio.create_task(translator(generator).translate(wanted))
    assert await asyncio.to_thread(generator.wait_for_requests, 3)
    generator.release(1)
    generator.expire()
    result = await working
    assert result.finish_reason is FinishReason.DEADLINE
    assert [segment.finish_reason for segment in result.segments] == [
        FinishReason.COMPLETE,
        FinishReason.DEADLINE,
        FinishReason.DEADLINE,
    ]
    assert result.text.endswith("The two. The three.")
    assert codes(result).count(WarningCode.PASSED_THROUGH) == 2
    assert result.source_coverage == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "text", ["word " * 60_000, "abcdefghij" * 30_000, "the a@b." * 60_000, "the \u200b\x01 one " * 20_000]
)
async def test_an_endless_text_is_translated_in_pieces(text: str) -> None:
    generator = ToyGenerator()
    result = await translator(generator).translate(task(text, language="en"))
    assert result.text
    assert all(len(request.source_ids) <= 512 for request in generator.requests)
    assert WarningCode.SEGMENT_SPLIT in codes(result)
