"""Both clients against a real server: they answer dataclasses, raise ``RemoteError``, and come again when asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import grpc
import pytest
from glossd.client import AsyncClient, CallSettings, Client, Connection
from glossd.client.connection import Patience, remote_error
from glossd.digests import DigestResult, SegmentEvent, TextEvent
from glossd.errors import DrainingError, InvalidInputError, OverloadedError, RemoteError
from glossd.types import DecodeOptions, DetectedLanguage, DocumentInput, MimeType, ModelState, SummaryOptions

from tests.e2e.serving import ENGLISH, Serving, serving

Result = TypeVar("Result")


@pytest.fixture
async def toy() -> AsyncIterator[Serving]:
    async with serving() as running:
        yield running


@pytest.fixture
async def client(toy: Serving) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(toy.endpoint) as opened:
        yield opened


async def plainly(toy: Serving, use: Callable[[Client], Result]) -> Result:
    """What ``use`` gets from the plain client, in a thread beside the server's loop."""

    def run() -> Result:
        with Client(toy.endpoint) as client:
            return use(client)

    return await asyncio.to_thread(run)


async def test_a_digest_is_a_dataclass(toy: Serving, client: AsyncClient) -> None:
    digest = await client.digest("hello there")
    assert isinstance(digest, DigestResult)
    texts = (digest.summary.text, digest.translated_summary.text, digest.translated_body.text)
    assert texts == ("hello", "HELLO", "HELLO THERE")
    assert await plainly(toy, lambda plain: plain.digest("hello there")) == digest


async def test_a_digest_carries_every_setting(toy: Serving, client: AsyncClient) -> None:
    document = DocumentInput("<p>hello", MimeType.HTML, "en")
    settings = CallSettings(summary_model="s", translation_model="t", decode=DecodeOptions(num_beams=3))
    summary = SummaryOptions(words=7)
    await client.digest(document, to="de", summary=summary, body=False, settings=settings)
    await plainly(toy, lambda plain: plain.digest(document, to="de", summary=summary, body=False, settings=settings))
    one, two = toy.work.tasks
    assert one == two
    assert (one.document, one.summary, one.decode) == (document, summary, settings.decode)
    assert (one.target_language_code, one.translate_body) == ("de", False)
    assert (one.summary_model, one.translation_model) == ("s", "t")


async def test_a_digest_is_streamed_as_events(toy: Serving, client: AsyncClient) -> None:
    events = [event async for event in client.stream_digest("hello there")]
    assert [type(event) for event in events] == [DetectedLanguage, TextEvent, SegmentEvent, DigestResult]
    assert await plainly(toy, lambda plain: list(plain.stream_digest("hello there"))) == events


async def test_many_documents_are_digested_and_a_bad_one_comes_as_its_error(toy: Serving, client: AsyncClient) -> None:
    documents = [*((str(number), f"text {number}") for number in range(100)), ("bad", "")]
    answers = {key: outcome async for key, outcome in client.bulk_digest(documents)}
    assert set(answers) == {key for key, _ in documents}
    bad = answers.pop("bad")
    assert isinstance(bad, RemoteError)
    assert bad.fields[0][0] == "request.document.text"
    assert all(isinstance(outcome, DigestResult) for outcome in answers.values())
    plain = await plainly(toy, lambda plain: dict(plain.bulk_digest(documents)))
    assert {key: outcome for key, outcome in plain.items() if key != "bad"} == answers


async def test_a_failing_source_of_documents_is_raised_as_it_is(toy: Serving, client: AsyncClient) -> None:
    def documents() -> Iterator[tuple[str, str]]:
        yield "one", "text"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        async for _ in client.bulk_digest(documents()):
            pass
    with pytest.raises(LookupError, match="no more"):
        await plainly(toy, lambda plain: list(plain.bulk_digest(documents())))


async def test_a_stream_that_is_refused_while_it_is_sent_to_is_unavailable(toy: Serving, client: AsyncClient) -> None:
    toy.server.calls.refuse_more()

    async def code() -> str:
        documents = ((str(number), "text") for number in range(5))
        with pytest.raises(RemoteError) as caught:
            async for _ in client.bulk_digest(documents):
                pass
        return caught.value.code

    codes = set()
    for _ in range(20):
        codes |= set(await asyncio.gather(*(code() for _ in range(10))))
    assert codes <= {"UNAVAILABLE", "CANCELLED"}


def test_what_the_library_says_of_a_stream_it_could_not_send_on_is_read_as_unavailable() -> None:
    def of(code: grpc.StatusCode, details: str) -> str:
        error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        return remote_error(error).code

    assert of(grpc.StatusCode.INTERNAL, "Internal error from Core") == "UNAVAILABLE"
    assert of(grpc.StatusCode.INTERNAL, "request 7f") == "INTERNAL"
    assert of(grpc.StatusCode.UNKNOWN, "Internal error from Core") == "UNKNOWN"


async def test_texts_are_summarized_and_translated_alone_or_many(toy: Serving, client: AsyncClient) -> None:
    assert (await client.summarize("one two")).text == "one"
    assert (await client.translate("one two")).text == "ONE TWO"
    many = await client.translate_many(["one", "", "two"])
    assert [getattr(outcome, "text", None) for outcome in many] == ["ONE", None, "TWO"]
    assert (await client.summarize_many(["one two", "three"])) == await plainly(
        toy, lambda plain: plain.summarize_many(["one two", "three"])
    )
    assert await plainly(toy, lambda plain: plain.translate("one two")) == await client.translate("one two")
    assert await plainly(toy, lambda plain: plain.summarize("one two")) == await client.summarize("one two")


async def test_an_error_names_the_field(toy: Serving, client: AsyncClient) -> None:
    with pytest.raises(RemoteError) as caught:
        await client.translate("")
    error = caught.value
    assert (error.code, error.remote_reason, error.fields[0][0]) == (
        "INVALID_ARGUMENT",
        "INVALID_INPUT",
        "documents[0].text",
    )
    with pytest.raises(RemoteError, match="INVALID_ARGUMENT: translation"):
        await plainly(toy, lambda plain: plain.digest("text", to="klingon"))


async def test_models_languages_and_health_are_asked_for(toy: Serving, client: AsyncClient) -> None:
    assert await client.detect_language("hi") == ENGLISH
    (model,) = await client.models()
    assert await client.model(model.name) == model
    (pair,) = await client.language_pairs()
    assert (pair.source_language_code, pair.target_language_code) == ("en", "zh-Hans")
    assert (await client.health(), await client.health("models/toy-en-zh")) == ("SERVING", "SERVING")
    assert (await client.unload_model(model.name)).state is ModelState.KNOWN
    assert await client.health("models/toy-en-zh") == "NOT_SERVING"
    assert (await client.load_model(model.name)).state is ModelState.READY

    def plain(plain: Client) -> list[object]:
        loaded = [plain.unload_model(model.name).state, plain.load_model(model.name).state, plain.model(model.name)]
        return [*loaded, plain.models(), plain.language_pairs(), plain.detect_language("hi"), plain.health()]

    same = await client.models()
    expected = [ModelState.KNOWN, ModelState.READY, same[0], same, (pair,), ENGLISH, "SERVING"]
    assert await plainly(toy, plain) == expected


async def test_a_call_comes_again_when_a_busy_server_asks_for_it(toy: Serving, client: AsyncClient) -> None:
    async def free_after_the_first(count: int) -> None:
        while len(toy.work.tasks) < count:
            await asyncio.sleep(0)
        toy.work.failure = None

    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: client.digest("hello"),
        lambda: plainly(toy, lambda plain: plain.digest("hello")),
        lambda: plainly(toy, lambda plain: list(plain.stream_digest("hello"))[-1]),
    ]
    for use in uses:
        toy.work.failure = OverloadedError("busy", retry_after_seconds=0.01)
        before = len(toy.work.tasks)
        freed = asyncio.create_task(free_after_the_first(before + 1))
        assert isinstance(await use(), DigestResult)
        await freed
        assert len(toy.work.tasks) > before + 1


async def test_a_call_gives_up_on_a_server_that_stays_busy(toy: Serving) -> None:
    toy.work.failure = OverloadedError("busy", retry_after_seconds=0.001)
    async with AsyncClient(toy.endpoint, connection=Connection(overload_attempts=3)) as client:
        with pytest.raises(RemoteError, match="RESOURCE_EXHAUSTED"):
            await client.digest("hello")
    assert len(toy.work.tasks) == 3


async def test_a_draining_server_is_tried_again_by_the_transport(toy: Serving, client: AsyncClient) -> None:
    toy.work.failure = DrainingError("bye")
    with pytest.raises(RemoteError, match="UNAVAILABLE"):
        await client.digest("hello")
    assert len(toy.work.tasks) == 4


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        with pytest.raises(RemoteError, match="UNAVAILABLE"):
            await client.models(timeout_seconds=5)


async def test_a_call_ends_with_its_timeout(toy: Serving, client: AsyncClient) -> None:
    toy.work.hold = True
    settings = CallSettings(timeout_seconds=0.2)
    with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
        await client.digest("hello", settings=settings)
    with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
        await plainly(toy, lambda plain: plain.digest("hello", settings=settings))


async def test_leaving_a_stream_cancels_it(toy: Serving, client: AsyncClient) -> None:
    toy.work.hold = True
    events = client.stream_digest("hello")
    assert await anext(events) == ENGLISH
    await events.aclose()
    await toy.work.stopped.wait()


async def test_two_lengths_are_refused_before_anything_is_sent(toy: Serving, client: AsyncClient) -> None:
    with pytest.raises(InvalidInputError, match="at most one"):
        await client.summarize("text", summary=SummaryOptions(words=1, sentences=1))
    assert toy.work.tasks == []


def test_secrets_are_not_sent_in_plain_text() -> None:
    with pytest.raises(ValueError, match="for TLS only"):
        Connection(root_certificates=b"secret")
    with pytest.raises(ValueError, match="over TLS or to this machine only"):
        Client("example.org:1", connection=Connection(token="secret"))


def test_a_pause_that_would_outlast_the_timeout_is_not_taken() -> None:
    busy = RemoteError("RESOURCE_EXHAUSTED", "busy", retry_after_seconds=10)
    assert Patience(5, 1).pause_seconds(busy) is None
    assert (Patience(5, None).pause_seconds(busy) or 0) >= 10


def test_only_an_overload_with_a_time_is_waited_for() -> None:
    patience = Patience(5, None)
    assert patience.pause_seconds(RemoteError("RESOURCE_EXHAUSTED", "too large")) is None
    assert patience.pause_seconds(RemoteError("INTERNAL", "x", retry_after_seconds=1)) is None
