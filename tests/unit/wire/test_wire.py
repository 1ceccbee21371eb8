"""Messages and dataclasses carry the same: there and back gives what was sent."""

from __future__ import annotations

import dataclasses

import pytest
from glossd import digests as digest_types
from glossd import types
from glossd.digests import TextEvent, Track
from glossd.errors import InvalidInputError
from glossd.types import DocumentInput, LanguagePair, ModelDescription, SummaryOptions
from glossd.v1 import article_service_pb2, common_pb2, model_service_pb2
from glossd.wire import requests, results
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

# What a protobuf field can hold: no lone surrogates, 32-bit counts.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**31 - 1)
floats = st.floats(allow_nan=False)
spans = st.builds(types.Span, counts, counts)
usages = st.builds(types.Usage, counts, counts, counts, counts, counts, st.integers(0, 2**62), st.integers(0, 2**62))
warnings = st.builds(types.Warning, st.sampled_from(types.WarningCode), texts, st.none() | spans)
finishes = st.sampled_from(types.FinishReason)
segments = st.builds(types.SegmentResult, texts, spans, spans, floats, finishes)
text_results = st.builds(
    types.TextResult,
    text=texts,
    language_code=texts,
    model=texts,
    finish_reason=finishes,
    segments=st.lists(segments, max_size=3).map(tuple),
    score=floats,
    source_coverage=floats,
    warnings=st.lists(warnings, max_size=3).map(tuple),
    usage=usages,
)
languages = st.builds(types.DetectedLanguage, texts, floats)
digests = st.builds(
    digest_types.DigestResult,
    languages,
    texts,
    texts,
    text_results,
    text_results,
    text_results,
    st.lists(warnings, max_size=2).map(tuple),
    usages,
)
tracks = st.sampled_from(digest_types.Track)
events = (
    languages
    | st.builds(digest_types.SegmentEvent, tracks, counts, texts, segments)
    | st.builds(digest_types.TextEvent, tracks, text_results)
    | digests
)


@given(digests)
@settings(deadline=None, max_examples=50)
def test_a_digest_comes_back_as_it_was(digest: digest_types.DigestResult) -> None:
    data = results.digest_to_message(digest).SerializeToString()
    assert results.digest_from_message(article_service_pb2.DigestResponse.FromString(data)) == digest


@given(events)
@settings(deadline=None, max_examples=50)
def test_an_event_comes_back_as_it_was(event: digest_types.DigestEvent) -> None:
    data = results.event_to_message(event).SerializeToString()
    assert results.event_from_message(article_service_pb2.StreamDigestResponse.FromString(data)) == event


@pytest.mark.parametrize("state", types.ModelState)
def test_a_model_comes_back_as_it_was(state: types.ModelState) -> None:
    model = ModelDescription(
        name="toy",
        state=state,
        family="marian",
        tasks=("translation",),
        source_language_codes=("en",),
        target_language_codes=("zh-Hans", "zh-Hant"),
        window_tokens=512,
        parameters=2**40,
        dtype="float32",
        device="cpu",
        detail="why",
    )
    assert results.model_from_message(results.model_to_message(model)) == model


def test_a_language_pair_comes_back_as_it_was() -> None:
    pair = LanguagePair("en", "zh-Hans", ("one", "two"))
    assert results.pair_from_message(results.pair_to_message(pair)) == pair


def test_a_warning_that_a_newer_server_has_added_is_left_out() -> None:
    known = types.Warning(types.WarningCode.TERM_MISSED, "missed")
    messages = [common_pb2.Warning(message="new"), results.warning_to_message(known)]
    messages[0].MergeFromString(b"\x08\xe7\x07")  # code: 999
    assert results.warnings_from_messages(messages) == (known,)


def test_what_a_newer_server_has_added_does_not_break_a_client() -> None:
    text = common_pb2.Text.FromString(b"\x20\xe7\x07")  # finish_reason: 999
    assert results.text_from_message(text).finish_reason is types.FinishReason.FAILED
    model = model_service_pb2.Model.FromString(b"\x10\xe7\x07")  # state: 999
    assert results.model_from_message(model).state is types.ModelState.KNOWN
    assert results.event_from_message(article_service_pb2.StreamDigestResponse()) is None


def test_an_event_of_an_unknown_track_is_no_event() -> None:
    empty = types.TextResult("", "", "", types.FinishReason.COMPLETE)
    message = results.event_to_message(TextEvent(Track.SUMMARY, empty))
    message.text.track = article_service_pb2.TRACK_UNSPECIFIED
    assert results.event_from_message(message) is None


def test_an_option_that_is_not_set_stays_unset() -> None:
    message = requests.decode_to_message(types.DecodeOptions(min_new_tokens=0))
    present = {field.name for field, _ in message.ListFields()}
    assert present == {"min_new_tokens"}


def test_two_summary_lengths_are_refused_before_they_are_sent() -> None:
    with pytest.raises(InvalidInputError, match="at most one of words, sentences and ratio"):
        requests.summary_to_message(SummaryOptions(words=10, sentences=1))


def test_half_a_surrogate_pair_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidInputError, match=r"document\.text: character 2 is half of a surrogate pair"):
        requests.document_to_message(DocumentInput("ab\ud800"))


def test_every_field_of_the_dataclasses_has_a_field_of_the_message() -> None:
    pairs: list[tuple[type, type[Message], dict[str, str]]] = [
        (types.Usage, common_pb2.Usage, {"queue_ns": "queue_time", "compute_ns": "compute_time"}),
        (types.TextResult, common_pb2.Text, {}),
        (types.SegmentResult, common_pb2.Segment, {}),
        (digest_types.SegmentEvent, article_service_pb2.SegmentEvent, {}),
        (digest_types.DigestResult, article_service_pb2.DigestResponse, {}),
        (types.DocumentInput, common_pb2.Document, {}),
        (types.SummaryOptions, common_pb2.SummaryOptions, {}),
        (types.DecodeOptions, common_pb2.DecodeOptions, {}),
        (types.GlossaryEntry, common_pb2.GlossaryEntry, {}),
        (types.ModelDescription, model_service_pb2.Model, {}),
        (types.LanguagePair, model_service_pb2.LanguagePair, {}),
    ]
    for dataclass, message, renamed in pairs:
        names = {renamed.get(field.name, field.name) for field in dataclasses.fields(dataclass)}
        assert names <= set(message.DESCRIPTOR.fields_by_name), dataclass


def test_a_document_is_sent_with_its_kind_and_language() -> None:
    message = requests.document_to_message(
        DocumentInput("hi", types.MimeType.HTML, "en", types.Extraction.MAIN_CONTENT)
    )
    assert (message.text, message.mime_type, message.language_code) == ("hi", "text/html", "en")
    assert message.extraction == common_pb2.EXTRACTION_MAIN_CONTENT
