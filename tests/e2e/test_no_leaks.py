"""No text of a caller in logs, metrics or errors: a marker goes down every way that fails, and is looked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from glossd.config import LoggingSettings, Settings
from glossd.errors import EngineDeadError, ModelMemoryError, ModelOutputError, OverloadedError
from glossd.tasks.api import build_services
from glossd.telemetry.logging import JsonFormatter
from glossd.telemetry.metrics import Metrics
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from prometheus_client import generate_latest

from tests.e2e.serving import Serving, serving
from tests.toys import ToyGenerator, ToyTokenizer, toy_hub, toy_model

MARKER = "zebrafinch"
TEXT = f"The {MARKER} met on Monday. It decided to build a bridge for every {MARKER}."


@pytest.fixture
def generator() -> ToyGenerator:
    return ToyGenerator()


@pytest.fixture
async def real(generator: ToyGenerator) -> AsyncIterator[Serving]:
    metrics = Metrics()
    services = build_services(Settings(), hub=toy_hub(toy_model(generator=generator)), metrics=metrics)
    async with serving(services, max_characters=2000, max_tokens=1500, max_memory_bytes=1 << 20) as running:
        running.metrics = metrics
        yield running
    await services.close()


def digest(**changes: Any) -> articles.DigestRequest:
    request = articles.DigestRequest(
        document=common.Document(text=TEXT, language_code="en"),
        translation=articles.TranslationOptions(target_language_code="zh"),
    )
    request.MergeFrom(articles.DigestRequest(**changes))
    return request


async def everything_told(endpoint: str, request: bytes, *, timeout: float = 20) -> str:
    """The status, the message and all trailers of a call that is to fail; "" for one that did not."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/glossd.v1.ArticleService/Digest")
        try:
            await call(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return f"{error.code()} {error.details()} {error.trailing_metadata()} {error.debug_error_string()}"
        return ""


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, as it would be written."""
    formatter = JsonFormatter()
    return "\n".join(formatter.format(record) for record in caplog.records if record.levelno >= logging.INFO)


def look(told: str, real: Serving, caplog: pytest.LogCaptureFixture) -> None:
    assert told
    assert MARKER not in told
    assert MARKER not in logged(caplog)
    assert MARKER not in generate_latest(real.metrics.registry).decode()


BAD = {
    "too long": digest(document=common.Document(text=f"{MARKER} " * 1000)),
    "too many tokens": digest(document=common.Document(text=f"The {MARKER} is here. " * 80)),
    "a term too long": digest(options=common.RequestOptions(do_not_translate=[MARKER * 50])),
    "a glossary without its other side": digest(
        options=common.RequestOptions(glossary=[common.GlossaryEntry(source=MARKER)])
    ),
    "a key too long": digest(options=common.RequestOptions(fairness_key=MARKER * 50)),
    "not UTF-8": articles.DigestRequest(document=common.Document(content=MARKER.encode() + b"\xff")),
    "nothing to translate to": articles.DigestRequest(document=common.Document(text=TEXT)),
    "no such language": digest(document=common.Document(language_code="xx")),
    "beams": digest(decode=common.DecodeOptions(num_beams=99)),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_not_quoted(name: str, real: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        look(await everything_told(real.endpoint, BAD[name].SerializeToString()), real, caplog)


@pytest.mark.parametrize(
    "data", [b"\x0a\x0d\x0a\x0b" + MARKER.encode() + b"\xff", MARKER.encode(), b"\xff" + MARKER.encode() * 9]
)
async def test_bytes_that_cannot_be_read_are_not_quoted(
    data: bytes, real: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        look(await everything_told(real.endpoint, data), real, caplog)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError(TEXT),
        lambda: RuntimeError(f"CUDA error near {MARKER}"),
        lambda: EngineDeadError("the engine has died"),
        lambda: ModelOutputError(f"no score for {MARKER}"),
        lambda: ModelMemoryError("a segment of 9 tokens needs more memory than there is"),
        lambda: OverloadedError("busy", retry_after_seconds=1),
        lambda: asyncio.CancelledError(TEXT),
    ],
)
async def test_what_fails_inside_is_not_quoted(
    make: Callable[[], Exception], generator: ToyGenerator, real: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    generator.failure = make()
    with caplog.at_level(logging.INFO):
        look(await everything_told(real.endpoint, digest().SerializeToString()), real, caplog)


async def test_a_failing_tokenizer_is_not_quoted(
    real: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> tuple[int, ...]:
        raise RuntimeError(f"cannot encode {TEXT!r} {arguments}")

    monkeypatch.setattr(ToyTokenizer, "encode", fail)
    with caplog.at_level(logging.INFO):
        look(await everything_told(real.endpoint, digest().SerializeToString()), real, caplog)


async def test_a_call_out_of_time_and_one_that_worked_are_not_quoted(
    generator: ToyGenerator, real: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert await everything_told(real.endpoint, digest().SerializeToString()) == ""
        generator.hold = True
        again = digest(document=common.Document(text=f"Another {MARKER} came."))
        look(await everything_told(real.endpoint, again.SerializeToString(), timeout=0.3), real, caplog)


async def test_one_document_among_many_is_not_quoted(
    generator: ToyGenerator, real: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    generator.failure = ValueError(TEXT)
    request = articles.TranslateRequest(documents=[common.Document(text=TEXT)], target_language_code="zh")
    bulk = articles.BulkDigestRequest(key="k", request=digest())
    with caplog.at_level(logging.INFO):
        async with grpc.aio.insecure_channel(real.endpoint) as channel:
            stub = ArticleServiceStub(channel)
            answers = [await stub.Translate(request), *[answer async for answer in stub.BulkDigest(iter([bulk]))]]
    look(" ".join(map(str, answers)), real, caplog)


def test_errors_in_full_are_only_for_who_asks_for_debug() -> None:
    assert LoggingSettings().level == "info"
