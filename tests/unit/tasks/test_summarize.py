"""The summarizer: without a model, with one, and with one whose window is smaller than the document."""

from __future__ import annotations

import asyncio

import pytest
from glossd.errors import DeadlineError, InvalidInputError, ModelNotLoadedError, UnsupportedLanguageError
from glossd.tasks.reading import Reader
from glossd.tasks.summarize import Summarizer
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    FinishReason,
    RequestOptions,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TextResult,
    WarningCode,
)

from tests.toys import ToyDetector, ToyGenerator, first_sentences, toy_hub, toy_model, toy_summarizer

PARAGRAPH = "The ship number {} was pulled free on Monday. The traffic resumed that evening. A tug of the port won."
ARTICLE = "\n\n".join(PARAGRAPH.format(number) for number in range(6))
READER = Reader(ToyDetector())


def extractive() -> Summarizer:
    return Summarizer(toy_hub(toy_model()), READER)


def abstractive(generator: ToyGenerator, *, window: int = 4000) -> Summarizer:
    return Summarizer(toy_hub(toy_summarizer(generator=generator, window=window)), READER)


def task(
    text: str = ARTICLE, *, summary: SummaryOptions | None = None, decode: DecodeOptions | None = None
) -> SummarizeTask:
    return SummarizeTask(DocumentInput(text), summary or SummaryOptions(), decode=decode or DecodeOptions())


def codes(result: TextResult) -> list[WarningCode]:
    return [warning.code for warning in result.warnings]


async def test_without_a_model_sentences_of_the_document_are_chosen() -> None:
    result = await extractive().summarize(task(summary=SummaryOptions(sentences=2)))
    assert result.model == "extractive"
    assert result.language_code == "en"
    assert len(result.segments) == 2
    for segment in result.segments:
        assert ARTICLE[segment.source.start : segment.source.end] == segment.text
        assert result.text[segment.target.start : segment.target.end] == segment.text


async def test_with_a_model_it_writes_and_without_being_asked() -> None:
    result = await abstractive(ToyGenerator(first_sentences)).summarize(task())
    assert result.model == "toy-summary"
    assert result.text.startswith("The ship number 0")
    assert len(result.text) < len(ARTICLE)
    assert result.source_coverage == 1.0
    assert result.finish_reason is FinishReason.COMPLETE
    for segment in result.segments:
        assert result.text[segment.target.start : segment.target.end] == segment.text


async def test_a_document_that_fits_is_one_sequence() -> None:
    generator = ToyGenerator(first_sentences)
    await abstractive(generator).summarize(task())
    assert len(generator.requests) == 1


async def test_a_document_beyond_the_window_is_read_whole_in_chunks() -> None:
    generator = ToyGenerator(first_sentences)
    result = await abstractive(generator, window=250).summarize(task())
    assert len(generator.requests) > 3
    assert all(len(request.source_ids) <= 250 for request in generator.requests)
    read = "".join(chr(token - 3) for request in generator.requests for token in request.source_ids if token >= 3)
    assert all(f"number {number}" in read for number in range(6))
    assert result.source_coverage == 1.0
    assert WarningCode.INPUT_TRUNCATED not in codes(result)


async def test_a_model_that_does_not_shorten_ends_and_says_how_much_was_read() -> None:
    generator = ToyGenerator(lambda text: text)
    result = await abstractive(generator, window=250).summarize(task())
    assert WarningCode.INPUT_TRUNCATED in codes(result)
    assert 0 < result.source_coverage < 1


async def test_a_sentence_beyond_the_window_is_read_in_pieces() -> None:
    generator = ToyGenerator(first_sentences)
    await abstractive(generator, window=100).summarize(task("The one, " * 60 + "and the end."))
    assert all(len(request.source_ids) <= 100 for request in generator.requests)


async def test_a_summary_ends_on_a_whole_sentence() -> None:
    generator = ToyGenerator(lambda text: text)
    result = await abstractive(generator).summarize(task(decode=DecodeOptions(max_new_tokens=120)))
    assert result.text.endswith(".")
    assert result.finish_reason is FinishReason.COMPLETE
    assert len(result.segments) == 3


async def test_a_summary_cut_in_its_only_sentence_says_so() -> None:
    generator = ToyGenerator(lambda text: text)
    result = await abstractive(generator).summarize(task(decode=DecodeOptions(max_new_tokens=20)))
    assert result.finish_reason is FinishReason.LENGTH
    assert WarningCode.OUTPUT_TRUNCATED in codes(result)


@pytest.mark.parametrize("sentences", [1, 2, 5])
async def test_a_number_of_sentences_is_kept(sentences: int) -> None:
    generator = ToyGenerator(lambda text: text)
    result = await abstractive(generator).summarize(task(summary=SummaryOptions(sentences=sentences)))
    assert len(result.segments) == sentences


@pytest.mark.parametrize(
    ("options", "most"),
    [(SummaryOptions(words=20), 20), (SummaryOptions(ratio=0.25), 30), (SummaryOptions(words=9), 9)],
)
async def test_a_length_in_words_is_kept_with_whole_sentences(options: SummaryOptions, most: int) -> None:
    generator = ToyGenerator(lambda text: text)
    result = await abstractive(generator).summarize(task(summary=options))
    assert 0 < len(result.text.split()) <= most
    assert result.text.endswith(".")


async def test_a_sentence_longer_than_the_words_asked_for_says_so() -> None:
    generator = ToyGenerator(first_sentences)
    result = await abstractive(generator).summarize(task(summary=SummaryOptions(words=2)))
    assert result.text.split()[0] == "The"
    assert {WarningCode.SUMMARY_NOT_SHORTER, WarningCode.OUTPUT_TRUNCATED} & set(codes(result))


async def test_a_summary_as_long_as_its_document_says_so() -> None:
    short = task("The ship is free. It is a good day.")
    written = await abstractive(ToyGenerator(lambda text: text)).summarize(short)
    chosen = await extractive().summarize(short)
    assert WarningCode.SUMMARY_NOT_SHORTER in codes(written)
    assert WarningCode.SUMMARY_NOT_SHORTER in codes(chosen)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (SummaryOptions(words=0), "summary.words"),
        (SummaryOptions(sentences=-1), "summary.sentences"),
        (SummaryOptions(sentences=501), "summary.sentences"),
        (SummaryOptions(ratio=float("nan")), "summary.ratio"),
        (SummaryOptions(ratio=1.5), "summary.ratio"),
        (SummaryOptions(words=10, sentences=2), "summary.sentences"),
    ],
)
async def test_an_absurd_length_is_refused_by_its_field(options: SummaryOptions, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await extractive().summarize(task(summary=options))
    assert caught.value.field == field


async def test_a_model_that_was_asked_for_must_be_there() -> None:
    with pytest.raises(ModelNotLoadedError):
        await extractive().summarize(task(summary=SummaryOptions(SummaryMethod.ABSTRACTIVE)))


async def test_a_model_and_the_method_without_one_exclude_each_other() -> None:
    wanted = SummarizeTask(DocumentInput(ARTICLE), SummaryOptions(SummaryMethod.EXTRACTIVE), model="toy-summary")
    with pytest.raises(InvalidInputError, match="uses no model"):
        await abstractive(ToyGenerator(first_sentences)).summarize(wanted)


async def test_a_language_that_no_model_summarizes_is_summarized_without_one_unless_one_was_asked_for() -> None:
    french = "Le bateau est parti. Les gens sont la. Une fin est belle. Le port est vide."
    summarizer = abstractive(ToyGenerator(first_sentences))
    assert (await summarizer.summarize(task(french))).model == "extractive"
    with pytest.raises(UnsupportedLanguageError):
        await summarizer.summarize(task(french, summary=SummaryOptions(SummaryMethod.ABSTRACTIVE)))


async def test_a_caller_who_goes_takes_all_chunks_along() -> None:
    generator = ToyGenerator(first_sentences, hold=True)
    going = asyncio.create_task(abstractive(generator, window=250).summarize(task()))
    assert await asyncio.to_thread(generator.wait_for_requests, 3)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert generator.waiting == 0


async def test_a_deadline_that_passes_is_an_error() -> None:
    generator = ToyGenerator(first_sentences, hold=True)
    wanted = SummarizeTask(DocumentInput(ARTICLE), options=RequestOptions(deadline_ns=0))
    with pytest.raises(DeadlineError):
        await abstractive(generator).summarize(wanted)


async def test_with_allow_partial_a_deadline_gives_sentences_of_the_document() -> None:
    generator = ToyGenerator(first_sentences, hold=True)
    wanted = SummarizeTask(DocumentInput(ARTICLE), options=RequestOptions(deadline_ns=0, allow_partial=True))
    result = await abstractive(generator).summarize(wanted)
    assert (result.model, result.finish_reason) == ("extractive", FinishReason.DEADLINE)
    assert codes(result) == [WarningCode.PASSED_THROUGH]


async def test_usage_counts_every_chunk() -> None:
    generator = ToyGenerator(first_sentences)
    result = await abstractive(generator, window=250).summarize(task())
    assert result.usage.input_tokens == sum(len(request.source_ids) for request in generator.requests)
    assert result.usage.compute_ns == 2_000 * len(generator.requests)
