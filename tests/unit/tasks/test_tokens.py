"""The limit on a document's tokens: exact where it matters, and nothing of a refused document reaches a model."""

from __future__ import annotations

import pytest
from glossd.errors import InvalidInputError
from glossd.types import DocumentInput, RequestOptions, SummarizeTask, SummaryMethod, SummaryOptions, TranslateTask

from tests.toys import ToyGenerator, first_sentences, toy_model, toy_services, toy_summarizer

SENTENCE = "The council met. "


def document(sentences: int) -> DocumentInput:
    return DocumentInput(SENTENCE * sentences, language_code="en")


async def test_a_document_with_as_many_tokens_as_allowed_is_translated_and_one_more_is_refused() -> None:
    generator = ToyGenerator()
    translator = toy_services(toy_model(generator=generator)).translator
    # The toy has a token a character and one that ends a segment: 17 each.
    options = RequestOptions(max_tokens=170)
    assert (await translator.translate(TranslateTask(document(10), "zh", options=options))).text
    seen = len(generator.requests)
    with pytest.raises(InvalidInputError, match="187 source tokens; the limit is 170") as caught:
        await translator.translate(TranslateTask(document(11), "zh", options=options))
    assert caught.value.field == "document"
    assert len(generator.requests) == seen


async def test_a_model_s_summary_has_the_same_limit_and_an_extractive_one_none() -> None:
    generator = ToyGenerator(first_sentences)
    summarizer = toy_services(toy_model(), toy_summarizer(generator=generator)).summarizer
    options = RequestOptions(max_tokens=170)
    with pytest.raises(InvalidInputError, match="the limit is 170"):
        await summarizer.summarize(SummarizeTask(document(11), options=options))
    assert not generator.requests
    extractive = SummaryOptions(SummaryMethod.EXTRACTIVE)
    assert (await summarizer.summarize(SummarizeTask(document(11), extractive, options=options))).text


async def test_an_endless_word_is_counted_in_slices() -> None:
    translator = toy_services().translator
    endless = DocumentInput("x" * 50_000, language_code="en")
    with pytest.raises(InvalidInputError, match=r"50,0\d\d source tokens"):
        await translator.translate(TranslateTask(endless, "zh", options=RequestOptions(max_tokens=1000)))
