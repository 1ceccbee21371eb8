"""Requests become the tasks they were made from, and paths of fields are the caller's."""

from __future__ import annotations

import time

import pytest
from glossd.digests import DigestTask
from glossd.errors import InvalidInputError, UnsupportedLanguageError
from glossd.languages import all_languages
from glossd.server import convert
from glossd.server.checks import DECODE_RANGES, Limits
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    Extraction,
    GlossaryEntry,
    MimeType,
    Priority,
    RequestOptions,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TranslateTask,
)
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.wire import requests
from hypothesis import given, settings
from hypothesis import strategies as st

LIMITS = Limits(max_characters=100, max_documents=3)

DIGEST_PATHS = convert.digest_paths(articles.DigestRequest(summary_model="m"))

terms = st.text("abcäöü译文 ", min_size=1, max_size=10).filter(str.strip)
codes = st.sampled_from([language.code for language in all_languages()])
documents = st.builds(
    DocumentInput,
    text=terms,
    mime_type=st.sampled_from(MimeType),
    language_code=st.none() | codes,
    extraction=st.sampled_from(Extraction),
)
methods = st.sampled_from(SummaryMethod)
summaries = (
    st.builds(SummaryOptions, methods)
    | st.builds(SummaryOptions, methods, words=st.integers(1, 5000))
    | st.builds(SummaryOptions, methods, sentences=st.integers(1, 500))
    | st.builds(SummaryOptions, methods, ratio=st.floats(0.001, 1))
)
decodes = st.builds(
    DecodeOptions,
    num_beams=st.none() | st.integers(1, 16),
    max_new_tokens=st.none() | st.integers(100, 4096),
    min_new_tokens=st.none() | st.integers(0, 100),
    length_penalty=st.none() | st.floats(-5, 5),
    no_repeat_ngram_size=st.none() | st.integers(0, 16),
    repetition_penalty=st.none() | st.floats(0.1, 10),
)
options = st.builds(
    RequestOptions,
    priority=st.sampled_from(Priority),
    fairness_key=st.text("abc", max_size=5),
    allow_partial=st.booleans(),
    glossary=st.lists(st.builds(GlossaryEntry, terms, terms, st.booleans()), max_size=3).map(tuple),
    do_not_translate=st.lists(terms, max_size=3).map(tuple),
)
digests = st.builds(
    DigestTask, documents, codes, summaries, st.just("one"), st.just("two"), st.booleans(), decodes, options
)


@given(digests)
@settings(deadline=None, max_examples=60)
def test_a_digest_task_comes_through_whole(task: DigestTask) -> None:
    assert convert.digest_task(requests.digest_to_request(task), LIMITS) == task
    assert convert.digest_task(requests.digest_to_stream_request(task), LIMITS) == task


def test_settings_of_many_documents_come_through_whole() -> None:
    empty = DocumentInput("")
    summarize = SummarizeTask(empty, SummaryOptions(words=5), "m", DecodeOptions(num_beams=2))
    request = requests.summarize_to_request([DocumentInput("a")] * 3, summarize)
    assert convert.summarize_settings(request, LIMITS) == summarize
    translate = TranslateTask(empty, "de", "m", DecodeOptions(num_beams=2))
    assert convert.translate_settings(requests.translate_to_request([empty], translate), LIMITS) == translate


def test_a_deadline_is_handed_on() -> None:
    request = requests.digest_to_request(DigestTask(DocumentInput("a"), "zh"))
    assert convert.digest_task(request, LIMITS, deadline_ns=7).options.deadline_ns == 7


@pytest.mark.parametrize("name", DECODE_RANGES)
def test_both_ends_of_a_range_are_allowed_and_what_is_beyond_is_not(name: str) -> None:
    allowed = DECODE_RANGES[name]
    for value in (allowed.least, allowed.most):
        message = common.DecodeOptions()
        setattr(message, name, value)
        assert getattr(convert.decode_options(message), name) == value
    for value in (allowed.least - 1, allowed.most + 1):
        message = common.DecodeOptions()
        setattr(message, name, value)
        with pytest.raises(InvalidInputError, match=f"decode.{name}: .* is out of range; allowed is"):
            convert.decode_options(message)


def test_bytes_may_begin_with_a_byte_order_mark() -> None:
    message = common.Document(content=b"\xef\xbb\xbfhi")
    assert convert.document_input(message, "document", LIMITS).text == "hi"


def test_a_text_at_the_limit_is_allowed_and_one_character_more_says_both_numbers() -> None:
    convert.document_input(common.Document(text="译" * 100), "document", LIMITS)
    with pytest.raises(InvalidInputError, match=r"document\.text: 101 characters; the limit is 100"):
        convert.document_input(common.Document(text="译" * 101), "document", LIMITS)


@pytest.mark.parametrize("value", ["", "text/plain", "TEXT/Plain; charset=UTF-8"])
def test_plain_text_is_the_default_and_may_say_its_character_set(value: str) -> None:
    assert convert.mime_type("document.mime_type", value) is MimeType.PLAIN


@pytest.mark.parametrize("code", ["", "und"])
def test_a_document_of_unknown_language_asks_for_detection(code: str) -> None:
    message = common.Document(text="a", language_code=code)
    assert convert.document_input(message, "document", LIMITS).language_code is None


@pytest.mark.parametrize("count", [0, 4])
def test_too_few_or_too_many_documents_are_refused(count: int) -> None:
    request = articles.TranslateRequest(documents=[common.Document()] * count, target_language_code="zh")
    with pytest.raises(InvalidInputError, match=f"documents: {count} items; allowed is 1 to 3"):
        convert.translate_settings(request, LIMITS)


@pytest.mark.parametrize(
    ("field", "paths", "prefix", "expected"),
    [
        ("document.text", {"document": "documents[2]"}, "", "documents[2].text"),
        ("document", {"document": "documents[2]"}, "", "documents[2]"),
        ("documents", {"document": "documents[2]"}, "", "documents"),
        ("target_language_code", DIGEST_PATHS, "", "translation.target_language_code"),
        ("model", DIGEST_PATHS, "", "summary_model"),
        ("document.text", {}, "request.", "request.document.text"),
    ],
)
def test_a_task_s_field_is_named_where_the_caller_has_it(
    field: str, paths: dict[str, str], prefix: str, expected: str
) -> None:
    with pytest.raises(UnsupportedLanguageError) as caught, convert.caller_paths(paths, prefix=prefix):
        raise UnsupportedLanguageError(field, "why")
    assert (caught.value.field, caught.value.description) == (expected, "why")


@pytest.mark.parametrize(
    ("left_ms", "margin_ms"), [(0, 0), (40, 20), (100, 50), (300, 50), (2_000, 200), (60_000, 1_000), (10**9, 1_000)]
)
def test_a_partial_answer_is_due_before_its_caller_stops_waiting(left_ms: int, margin_ms: int) -> None:
    millisecond, now_ns = 1_000_000, 7
    deadline_ns = now_ns + left_ms * millisecond
    assert deadline_ns - convert.answer_by(deadline_ns, now_ns=now_ns) == margin_ms * millisecond


def test_only_a_caller_that_takes_part_of_the_answer_gets_it_early() -> None:
    deadline_ns = time.monotonic_ns() + 10**15
    due = [
        convert.request_options(common.RequestOptions(allow_partial=partial), Limits(), deadline_ns).deadline_ns
        for partial in (True, False)
    ]
    assert due == [deadline_ns - 10**9, deadline_ns]
