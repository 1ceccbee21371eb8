"""Whatever is sent, the answer is a standard status that names the field, or a whole answer with a warning.

Never UNKNOWN, never INTERNAL, never a hang. The tasks layer is the real one; its model is a toy.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from glossd.config import Settings
from glossd.errors import RemoteError
from glossd.tasks.api import build_services
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.wire.status import status_to_error
from google.protobuf.json_format import ParseDict
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.serving import Serving, serving
from tests.toys import toy_hub

TIMEOUT_SECONDS = 50
TEXT = "The council met on Monday. It decided to build a bridge. The bridge will open in 2027."
MAX_MESSAGE_BYTES = Settings().server.max_message_bytes


@pytest.fixture
async def real() -> AsyncIterator[Serving]:
    services = build_services(Settings(), hub=toy_hub())
    async with serving(services, max_message_bytes=MAX_MESSAGE_BYTES) as running:
        yield running
        await services.close()


def digest_request(**changes: Any) -> articles.DigestRequest:
    values = {"document": {"text": TEXT}, "translation": {"target_language_code": "zh"}} | changes
    return ParseDict(values, articles.DigestRequest())


def error_of(error: grpc.aio.AioRpcError) -> RemoteError:
    trailers = dict([*(error.trailing_metadata() or ())])
    details = trailers.get("grpc-status-details-bin", b"")
    assert isinstance(details, bytes)
    return status_to_error(Status.FromString(details)) if details else RemoteError(error.code().name, "")


async def digest_outcome(
    endpoint: str, request: articles.DigestRequest | bytes
) -> articles.DigestResponse | RemoteError:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(endpoint, options) as channel:
        digest: grpc.aio.UnaryUnaryMultiCallable[bytes, articles.DigestResponse] = channel.unary_unary(
            "/glossd.v1.ArticleService/Digest", response_deserializer=articles.DigestResponse.FromString
        )
        data = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            return await digest(data, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error_of(error)


def handed_back(outcome: articles.DigestResponse) -> bool:
    """Whether a text that is in the target language already got its summary, and a warning that says so."""
    warnings = [*outcome.warnings, *outcome.translated_body.warnings]
    return bool(outcome.summary.text) and common.WARNING_CODE_PASSED_THROUGH in {each.code for each in warnings}


async def refused(endpoint: str, request: articles.DigestRequest | bytes) -> tuple[str, str]:
    """Status code and the field that is named."""
    outcome = await digest_outcome(endpoint, request)
    assert isinstance(outcome, RemoteError), outcome
    return outcome.code, ", ".join(field for field, _ in outcome.fields)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"document": {"text": ""}}, "document.text"),
        ({"document": {"text": " \n\t\u3000\u00a0 "}}, "document.text"),
        ({"document": {}}, "document"),
        ({"document": {"text": "x" * 1_000_001}}, "document.text"),
        ({"document": {"text": "a b " * 2_500_000}}, "document.text"),
        ({"document": {"content": "77+9/w=="}}, "document.content"),
        ({"document": {"text": TEXT, "mime_type": "application/pdf"}}, "document.mime_type"),
        ({"document": {"text": TEXT, "mime_type": "text/html; charset=gbk"}}, "document.mime_type"),
        ({"document": {"text": TEXT, "language_code": "klingon"}}, "document.language_code"),
        ({"document": {"text": TEXT, "language_code": "de"}}, "document.language_code"),
        ({"document": {"text": TEXT, "extraction": 99}}, "document.extraction"),
        ({"translation": {}}, "translation.target_language_code"),
        ({"translation": {"target_language_code": "x" * 5000}}, "translation.target_language_code"),
        ({"translation": {"target_language_code": "und"}}, "translation.target_language_code"),
        ({"translation": {"target_language_code": "fr"}}, "translation.target_language_code"),
        ({"summary": {"words": 0}}, "summary.words"),
        ({"summary": {"words": -5}}, "summary.words"),
        ({"summary": {"sentences": 2**31 - 1}}, "summary.sentences"),
        ({"summary": {"ratio": "NaN"}}, "summary.ratio"),
        ({"summary": {"ratio": -0.5}}, "summary.ratio"),
        ({"summary": {"method": 77}}, "summary.method"),
        ({"decode": {"num_beams": 0}}, "decode.num_beams"),
        ({"decode": {"num_beams": 2**31 - 1}}, "decode.num_beams"),
        ({"decode": {"max_new_tokens": -1}}, "decode.max_new_tokens"),
        ({"decode": {"min_new_tokens": 5, "max_new_tokens": 4}}, "decode.min_new_tokens"),
        ({"decode": {"length_penalty": "NaN"}}, "decode.length_penalty"),
        ({"decode": {"length_penalty": "Infinity"}}, "decode.length_penalty"),
        ({"decode": {"length_penalty": -5.5}}, "decode.length_penalty"),
        ({"decode": {"no_repeat_ngram_size": -1}}, "decode.no_repeat_ngram_size"),
        ({"decode": {"repetition_penalty": 0}}, "decode.repetition_penalty"),
        ({"decode": {"repetition_penalty": "-Infinity"}}, "decode.repetition_penalty"),
        ({"options": {"priority": 9}}, "options.priority"),
        ({"options": {"fairness_key": "k" * 129}}, "options.fairness_key"),
        ({"options": {"glossary": [{"source": "a", "target": "b"}] * 501}}, "options.glossary"),
        ({"options": {"glossary": [{"source": "a"}]}}, "options.glossary[0].target"),
        ({"options": {"do_not_translate": ["a", " "]}}, "options.do_not_translate[1]"),
        ({"summary_model": "m" * 257}, "summary_model"),
        ({"translation_model": "m" * 257}, "translation_model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_work_is_refused_and_the_field_is_named(
    changes: dict[str, Any], field: str, real: Serving
) -> None:
    assert await refused(real.endpoint, digest_request(**changes)) == ("INVALID_ARGUMENT", field)


@pytest.mark.parametrize(
    "changes",
    [
        {"translation_model": "no-such-model"},
        {"summary_model": "no-such-model", "summary": {"method": "SUMMARY_METHOD_ABSTRACTIVE"}},
    ],
    ids=str,
)
async def test_a_model_there_is_not_is_not_found(changes: dict[str, Any], real: Serving) -> None:
    outcome = await digest_outcome(real.endpoint, digest_request(**changes))
    assert isinstance(outcome, RemoteError)
    assert outcome.code == "NOT_FOUND"
    assert "no-such-model" in outcome.message


async def test_a_message_that_is_too_large_is_refused_by_the_transport() -> None:
    async with serving() as toy:
        code, _ = await refused(toy.endpoint, digest_request(document={"text": "x" * 20_000_000}))
        assert code == "RESOURCE_EXHAUSTED"


def field(number: int, data: bytes) -> bytes:
    """One length-delimited field as it is on the wire."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (field(1, field(1, b"caf\xe9")), "document.text"),
        (field(6, b"\xff\xfe"), "summary_model"),
        (field(5, field(4, field(1, b"ok")) + field(4, field(1, b"\x80"))), "options.glossary[1].source"),
        (field(5, field(5, b"ok") + field(5, b"\xc3")), "options.do_not_translate[1]"),
        (b"\xff\xff\xff\xff", ""),
        (b"\x0a\x7f", ""),
    ],
)
async def test_bytes_that_are_no_text_or_no_message_are_refused(data: bytes, name: str, real: Serving) -> None:
    assert await refused(real.endpoint, data) == ("INVALID_ARGUMENT", name)


@pytest.mark.parametrize("method", ["StreamDigest", "BulkDigest", "Summarize", "Translate", "DetectLanguage"])
async def test_no_kind_of_method_answers_unknown_to_garbage(method: str, real: Serving) -> None:
    async with grpc.aio.insecure_channel(real.endpoint) as channel:
        call: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        call = channel.stream_stream(f"/glossd.v1.ArticleService/{method}")
        running = call(iter([b"\xff\xff\xff\xff"]), timeout=TIMEOUT_SECONDS)
        assert await running.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "method",
    [
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_the_standard_services_do_not_either(method: str, real: Serving) -> None:
    async with grpc.aio.insecure_channel(real.endpoint) as channel:
        call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{method}")
        running = call(iter([b"\xff\xff\xff\xff"]), timeout=TIMEOUT_SECONDS)
        assert await running.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "text",
    [
        "Bad \x00\x01\x02\x1b[31mcontrol\x7f characters. \u202eThey\u200b go on.",
        "nospaces" * 20_000,
        "a@" * 10_000,
        "word " * 100_000,
        "?!?!... --- ***",
        "12345 67890 3.14",
        "今天天气很好。" * 20,
        "e" + "\u0301" * 10_000,
        "\U0001f600" * 500,
        "one\n" * 5_000,
        "<p>unclosed <b>tags & &bogus; <",
    ],
    ids=lambda text: repr(text[:12]),
)
@pytest.mark.parametrize("language", ["en", ""])
async def test_odd_text_is_answered_in_full_or_refused_with_its_field(text: str, language: str, real: Serving) -> None:
    document = {"text": text, "language_code": language, "mime_type": "text/html" if text[0] == "<" else ""}
    outcome = await digest_outcome(real.endpoint, digest_request(document=document))
    if isinstance(outcome, RemoteError):
        assert outcome.code == "INVALID_ARGUMENT"
        assert outcome.fields[0][0].split(".")[0] in ("document", "translation")
    else:
        assert outcome.translated_body.text or handed_back(outcome)


async def test_control_characters_are_replaced_with_a_warning(real: Serving) -> None:
    document = {"text": "The bridge \x00\x01 opens on Monday.", "language_code": "en"}
    outcome = await digest_outcome(real.endpoint, digest_request(document=document))
    assert isinstance(outcome, articles.DigestResponse)
    assert common.WARNING_CODE_CHARACTERS_REPLACED in {warning.code for warning in outcome.warnings}


async def test_source_and_target_alike_is_refused_or_handed_back_with_a_warning(real: Serving) -> None:
    request = digest_request(document={"text": TEXT, "language_code": "en"}, translation={"target_language_code": "en"})
    outcome = await digest_outcome(real.endpoint, request)
    if isinstance(outcome, RemoteError):
        named = {name for name, _ in outcome.fields}
        assert (outcome.code, named) == ("INVALID_ARGUMENT", {"translation.target_language_code"})
    else:
        assert handed_back(outcome)


async def test_a_call_without_documents_or_with_too_many_is_refused(real: Serving) -> None:
    async with grpc.aio.insecure_channel(real.endpoint) as channel:
        for count in (0, 65):
            request = articles.TranslateRequest(
                documents=[common.Document(text="a")] * count, target_language_code="zh"
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ArticleServiceStub(channel).Translate(request)
            assert error_of(caught.value).fields[0][0] == "documents"


numbers = st.integers(-(2**31), 2**31 - 1)
anything = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])


@given(
    decode=st.builds(
        common.DecodeOptions,
        num_beams=st.none() | numbers,
        max_new_tokens=st.none() | numbers,
        min_new_tokens=st.none() | numbers,
        length_penalty=st.none() | anything,
        no_repeat_ngram_size=st.none() | numbers,
        repetition_penalty=st.none() | anything,
    ),
    summary=st.builds(common.SummaryOptions, ratio=anything) | st.builds(common.SummaryOptions, words=numbers),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_numbers_break_the_server(
    decode: common.DecodeOptions, summary: common.SummaryOptions, real: Serving
) -> None:
    request = digest_request()
    request.decode.CopyFrom(decode)
    request.summary.CopyFrom(summary)
    outcome = await digest_outcome(real.endpoint, request)
    if isinstance(outcome, RemoteError):
        assert outcome.code == "INVALID_ARGUMENT"
        assert outcome.fields[0][0].split(".")[0] in ("decode", "summary")
