"""Every method over a real connection, with toys for the tasks layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator

import grpc
import pytest
from glossd.errors import (
    DrainingError,
    InvalidInputError,
    ModelLoadingError,
    ModelNotFoundError,
    OverloadedError,
)
from glossd.types import Priority
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1 import model_service_pb2 as models
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.v1.model_service_pb2_grpc import ModelServiceStub
from glossd.wire.status import status_to_error
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tests.e2e.serving import Serving, serving


@pytest.fixture
async def toy() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


@pytest.fixture
async def channel(toy: Serving) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(toy.endpoint) as opened:
        yield opened


def digest_request(text: str = "hello there", to: str = "zh") -> articles.DigestRequest:
    return articles.DigestRequest(
        document=common.Document(text=text), translation=articles.TranslationOptions(target_language_code=to)
    )


def status_of(error: grpc.aio.AioRpcError) -> Status:
    trailers = dict([*(error.trailing_metadata() or ())])
    details = trailers["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    return Status.FromString(details)


async def failed(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_digest_has_summary_and_translations(channel: grpc.aio.Channel) -> None:
    answer = await ArticleServiceStub(channel).Digest(digest_request())
    texts = (answer.summary.text, answer.translated_summary.text, answer.translated_body.text)
    assert texts == ("hello", "HELLO", "HELLO THERE")
    assert answer.source_language.language_code == "en"


async def test_a_task_gets_what_the_request_says(toy: Serving, channel: grpc.aio.Channel) -> None:
    request = digest_request()
    request.translation.omit_body = True
    request.summary.sentences = 2
    request.decode.num_beams = 4
    request.options.priority = common.PRIORITY_BULK
    request.options.glossary.add(source="a", target="b")
    await ArticleServiceStub(channel).Digest(request, timeout=60)
    (task,) = toy.work.tasks
    assert (task.target_language_code, task.translate_body, task.summary.sentences) == ("zh-Hans", False, 2)
    assert (task.decode.num_beams, task.decode.max_new_tokens) == (4, None)
    assert task.options.priority is Priority.BULK
    assert task.options.glossary[0].target == "b"
    assert task.options.deadline_ns is not None


async def test_a_call_without_a_deadline_gives_its_task_none(toy: Serving, channel: grpc.aio.Channel) -> None:
    await ArticleServiceStub(channel).Digest(digest_request())
    assert toy.work.tasks[0].options.deadline_ns is None


async def test_a_streamed_digest_comes_in_pieces(channel: grpc.aio.Channel) -> None:
    request = articles.StreamDigestRequest.FromString(digest_request().SerializeToString())
    kinds = [event.WhichOneof("event") async for event in ArticleServiceStub(channel).StreamDigest(request)]
    assert kinds == ["source_language", "text", "segment", "digest"]


async def test_documents_are_answered_in_order_each_with_its_own_outcome(channel: grpc.aio.Channel) -> None:
    documents = [common.Document(text="one"), common.Document(text=""), common.Document(content="três".encode())]
    request = articles.TranslateRequest(documents=documents, target_language_code="zh")
    answer = await ArticleServiceStub(channel).Translate(request)
    assert [result.text.text for result in answer.results] == ["ONE", "", "TRÊS"]
    error = status_to_error(answer.results[1].error)
    assert (error.code, error.fields[0][0]) == ("INVALID_ARGUMENT", "documents[1].text")


async def test_summaries_are_answered_in_order(channel: grpc.aio.Channel) -> None:
    documents = [common.Document(text="one two"), common.Document(text="three four")]
    answer = await ArticleServiceStub(channel).Summarize(articles.SummarizeRequest(documents=documents))
    assert [result.text.text for result in answer.results] == ["one", "three"]


async def test_a_bulk_stream_answers_every_key_and_an_error_is_one_key_s_own(channel: grpc.aio.Channel) -> None:
    def questions() -> Iterator[articles.BulkDigestRequest]:
        for number in range(200):
            yield articles.BulkDigestRequest(key=str(number), request=digest_request(f"text {number}"))
        yield articles.BulkDigestRequest(key="bad", request=digest_request(""))
        yield articles.BulkDigestRequest(key="", request=digest_request())

    answers = [answer async for answer in ArticleServiceStub(channel).BulkDigest(questions())]
    assert sorted(answer.key for answer in answers) == sorted([*map(str, range(200)), "bad", ""])
    errors = {answer.key: status_to_error(answer.error) for answer in answers if answer.HasField("error")}
    assert {key: error.fields[0][0] for key, error in errors.items()} == {"bad": "request.document.text", "": "key"}


async def test_a_language_is_detected(channel: grpc.aio.Channel) -> None:
    answer = await ArticleServiceStub(channel).DetectLanguage(articles.DetectLanguageRequest(text="hi"))
    assert answer.language.language_code == "en"


async def test_models_are_listed_loaded_and_unloaded(channel: grpc.aio.Channel) -> None:
    stub = ModelServiceStub(channel)
    (model,) = (await stub.ListModels(models.ListModelsRequest())).models
    assert (model.name, model.state) == ("toy-en-zh", models.MODEL_STATE_READY)
    pairs = (await stub.ListLanguagePairs(models.ListLanguagePairsRequest())).language_pairs
    assert [(pair.source_language_code, pair.target_language_code) for pair in pairs] == [("en", "zh-Hans")]
    name = {"name": "toy-en-zh"}
    unloaded = await stub.UnloadModel(models.UnloadModelRequest(**name))
    assert unloaded.model.state == models.MODEL_STATE_KNOWN
    assert (await stub.LoadModel(models.LoadModelRequest(**name))).model.state == models.MODEL_STATE_READY
    assert (await stub.GetModel(models.GetModelRequest(**name))).model.window_tokens == 512
    error = await failed(stub.GetModel(models.GetModelRequest(name="nobody")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (InvalidInputError("document.text", "is odd"), "INVALID_ARGUMENT", "INVALID_INPUT"),
        (ModelNotFoundError("no model x"), "NOT_FOUND", "MODEL_NOT_FOUND"),
        (ModelLoadingError("soon"), "UNAVAILABLE", "MODEL_LOADING"),
        (DrainingError("bye"), "UNAVAILABLE", "DRAINING"),
        (OverloadedError("busy", retry_after_seconds=2.5), "RESOURCE_EXHAUSTED", "OVERLOADED"),
    ],
)
async def test_an_error_of_the_tree_comes_as_its_status_with_its_reason(
    failure: Exception, code: str, reason: str, toy: Serving, channel: grpc.aio.Channel
) -> None:
    toy.work.failure = failure
    error = await failed(ArticleServiceStub(channel).Digest(digest_request()))
    status = status_of(error)
    info = ErrorInfo()
    assert error.code().name == code
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "glossd")


async def test_a_busy_server_says_when_to_try_again(toy: Serving, channel: grpc.aio.Channel) -> None:
    toy.work.failure = OverloadedError("busy", retry_after_seconds=2.5)
    error = await failed(ArticleServiceStub(channel).Digest(digest_request()))
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in status_of(error).details)
    assert retry.retry_delay.ToMilliseconds() == 2500
    assert dict([*(error.trailing_metadata() or ())])["grpc-retry-pushback-ms"] == "2500"


async def test_an_unknown_exception_tells_its_caller_the_request_id_and_nothing_else(
    toy: Serving, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    toy.work.failure = ValueError("secret path")
    metadata = (("x-request-id", "my-id-7"),)
    error = await failed(ArticleServiceStub(channel).Digest(digest_request(), metadata=metadata))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error; request my-id-7")
    status = status_of(error)
    assert b"secret" not in status.SerializeToString()
    request = RequestInfo()
    assert any(detail.Unpack(request) for detail in status.details)
    assert request.request_id == "my-id-7"
    (record,) = [record for record in caplog.records if record.message == "a call failed inside"]
    assert vars(record)["error"] == "ValueError"
    assert "secret" not in caplog.text


async def test_an_unknown_exception_of_one_document_does_not_leak_either(
    toy: Serving, channel: grpc.aio.Channel
) -> None:
    toy.work.failure = ValueError("secret path")
    request = articles.TranslateRequest(documents=[common.Document(text="a")], target_language_code="zh")
    (result,) = (await ArticleServiceStub(channel).Translate(request)).results
    error = status_to_error(result.error)
    assert error.code == "INTERNAL"
    assert b"secret" not in result.SerializeToString()


async def test_an_answer_brings_the_request_id_back(channel: grpc.aio.Channel) -> None:
    call = ArticleServiceStub(channel).Digest(digest_request(), metadata=(("x-request-id", "abc"),))
    await call
    assert dict([*(await call.trailing_metadata())])["x-request-id"] == "abc"
    call = ArticleServiceStub(channel).Digest(digest_request())
    await call
    assert len(dict([*(await call.trailing_metadata())])["x-request-id"]) == 32


async def test_a_long_error_fits_into_the_trailers(toy: Serving, channel: grpc.aio.Channel) -> None:
    toy.work.failure = InvalidInputError("翻" * 10_000, "译" * 10_000)
    error = await failed(ArticleServiceStub(channel).Digest(digest_request()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(status_of(error).SerializeToString()) < 4096


async def test_more_articles_than_allowed_are_refused_at_once() -> None:
    async with serving(max_calls_in_flight=2) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        stub = ArticleServiceStub(channel)
        toy.work.hold = True
        held = asyncio.ensure_future(stub.Digest(digest_request()))
        await toy.work.started.wait()
        documents = [common.Document(text="a")] * 2
        error = await failed(stub.Translate(articles.TranslateRequest(documents=documents, target_language_code="zh")))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert status_to_error(status_of(error)).retry_after_seconds == 1.0
        toy.work.release.set()
        await held
        assert toy.server.budget.used.documents == 0


async def test_a_bulk_stream_waits_for_room_instead_of_being_refused() -> None:
    async with serving(max_calls_in_flight=2) as toy, grpc.aio.insecure_channel(toy.endpoint) as channel:
        items = [articles.BulkDigestRequest(key=str(n), request=digest_request()) for n in range(50)]
        answers = [answer async for answer in ArticleServiceStub(channel).BulkDigest(iter(items))]
        assert len(answers) == 50
        assert not any(answer.HasField("error") for answer in answers)


async def test_calls_are_counted_by_method_and_status(toy: Serving, channel: grpc.aio.Channel) -> None:
    stub = ArticleServiceStub(channel)
    await stub.Digest(digest_request())
    await failed(stub.Digest(digest_request("")))
    await toy.server.calls.wait_until_idle()
    labels = {"method": "/glossd.v1.ArticleService/Digest"}
    for code in ("OK", "INVALID_ARGUMENT"):
        count = toy.metrics.registry.get_sample_value("glossd_requests_total", labels | {"code": code})
        assert count == 1, code


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    sing: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/glossd.v1.ArticleService/Sing")
    assert (await failed(sing(b""))).code() is grpc.StatusCode.UNIMPLEMENTED
