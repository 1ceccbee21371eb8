"""The client for asyncio. The same methods as the plain one's, to be awaited or iterated with ``async for``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from glossd.client.calls import (
    DEFAULT_SETTINGS,
    DEFAULT_SUMMARY,
    AnyDocument,
    CallSettings,
    bulk_outcome,
    digest_task,
    document_of,
    health_name,
    only,
    outcomes,
    summarize_task,
    translate_task,
)
from glossd.client.connection import Connection, Patience, remote_error
from glossd.digests import DigestEvent, DigestResult
from glossd.errors import RemoteError
from glossd.types import DetectedLanguage, LanguagePair, ModelDescription, SummaryOptions, TextResult
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import model_service_pb2 as models_pb2
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.v1.model_service_pb2_grpc import ModelServiceStub
from glossd.wire import requests, results

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class AsyncClient:
    """A connection to one glossd server or, behind one name, many. Belongs to the event loop it is made in."""

    def __init__(self, endpoint: str = "localhost:50051", *, connection: Connection | None = None) -> None:
        self._connection = connection or Connection()
        self._metadata = self._connection.metadata(endpoint)
        credentials, options = self._connection.credentials(), self._connection.options()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(endpoint, options)
        else:
            self._channel = grpc.aio.secure_channel(endpoint, credentials, options)
        self._articles = ArticleServiceStub(self._channel)
        self._models = ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def close(self) -> None:
        """Ends the connection and every call on it."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def digest(
        self,
        document: AnyDocument,
        *,
        to: str = "zh",
        summary: SummaryOptions = DEFAULT_SUMMARY,
        body: bool = True,
        settings: CallSettings = DEFAULT_SETTINGS,
    ) -> DigestResult:
        """Summary, its translation and, with ``body``, the translation of the whole document."""
        task = digest_task(document, to=to, summary=summary, body=body, settings=settings)
        answer = await self._call(self._articles.Digest, requests.digest_to_request(task), settings.timeout_seconds)
        return results.digest_from_message(answer)

    async def stream_digest(
        self,
        document: AnyDocument,
        *,
        to: str = "zh",
        summary: SummaryOptions = DEFAULT_SUMMARY,
        body: bool = True,
        settings: CallSettings = DEFAULT_SETTINGS,
    ) -> AsyncGenerator[DigestEvent, None]:
        """The same, each piece as soon as it is ready; the whole digest comes last."""
        task = digest_task(document, to=to, summary=summary, body=body, settings=settings)
        request = requests.digest_to_stream_request(task)
        async with aclosing(self._stream(self._articles.StreamDigest, request, settings.timeout_seconds)) as answers:
            async for answer in answers:
                event = results.event_from_message(answer)
                if event is not None:
                    yield event

    async def bulk_digest(
        self,
        documents: Iterable[tuple[str, AnyDocument]] | AsyncIterable[tuple[str, AnyDocument]],
        *,
        to: str = "zh",
        summary: SummaryOptions = DEFAULT_SUMMARY,
        body: bool = True,
        settings: CallSettings = DEFAULT_SETTINGS,
    ) -> AsyncGenerator[tuple[str, DigestResult | RemoteError], None]:
        """Digests of many keyed documents, in the order they are done; a failed one comes as its error.

        ``documents`` is read no faster than the server works.
        """
        failures: list[Exception] = []

        async def questions() -> AsyncIterator[articles.BulkDigestRequest]:
            try:
                async for key, document in _each(documents):
                    task = digest_task(document, to=to, summary=summary, body=body, settings=settings)
                    yield requests.digest_to_bulk_request(key, task)
            except Exception as error:
                failures.append(error)
                raise

        call = self._articles.BulkDigest(questions(), timeout=settings.timeout_seconds, metadata=self._metadata)
        try:
            async for answer in call:
                yield answer.key, bulk_outcome(answer)
        except grpc.RpcError as error:
            raise (failures[0] if failures else remote_error(error)) from error
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            # The transport cancels a call whose questions failed or could not be sent, and says no more.
            raise (failures[0] if failures else RemoteError("CANCELLED", "the transport cancelled the call")) from None
        finally:
            call.cancel()

    async def summarize(
        self,
        document: AnyDocument,
        *,
        summary: SummaryOptions = DEFAULT_SUMMARY,
        settings: CallSettings = DEFAULT_SETTINGS,
    ) -> TextResult:
        """A summary in the document's own language."""
        return only(await self.summarize_many([document], summary=summary, settings=settings))

    async def summarize_many(
        self,
        documents: Sequence[AnyDocument],
        *,
        summary: SummaryOptions = DEFAULT_SUMMARY,
        settings: CallSettings = DEFAULT_SETTINGS,
    ) -> tuple[TextResult | RemoteError, ...]:
        """A summary or an error per document, in their order."""
        task = summarize_task(summary, settings)
        request = requests.summarize_to_request([document_of(each) for each in documents], task)
        return outcomes((await self._call(self._articles.Summarize, request, settings.timeout_seconds)).results)

    async def translate(
        self, document: AnyDocument, *, to: str = "zh", settings: CallSettings = DEFAULT_SETTINGS
    ) -> TextResult:
        """The translation of a document."""
        return only(await self.translate_many([document], to=to, settings=settings))

    async def translate_many(
        self, documents: Sequence[AnyDocument], *, to: str = "zh", settings: CallSettings = DEFAULT_SETTINGS
    ) -> tuple[TextResult | RemoteError, ...]:
        """A translation or an error per document, in their order."""
        task = translate_task(to, settings)
        request = requests.translate_to_request([document_of(each) for each in documents], task)
        return outcomes((await self._call(self._articles.Translate, request, settings.timeout_seconds)).results)

    async def detect_language(self, text: str, *, timeout_seconds: float | None = None) -> DetectedLanguage:
        """The language of a text."""
        request = articles.DetectLanguageRequest(text=text)
        answer = await self._call(self._articles.DetectLanguage, request, timeout_seconds)
        return results.language_from_message(answer.language)

    async def models(self, *, timeout_seconds: float | None = None) -> tuple[ModelDescription, ...]:
        """Every model the server knows."""
        answer = await self._call(self._models.ListModels, models_pb2.ListModelsRequest(), timeout_seconds)
        return tuple(results.model_from_message(model) for model in answer.models)

    async def model(self, name: str, *, timeout_seconds: float | None = None) -> ModelDescription:
        """One model."""
        request = models_pb2.GetModelRequest(name=name)
        answer = await self._call(self._models.GetModel, request, timeout_seconds)
        return results.model_from_message(answer.model)

    async def load_model(self, name: str, *, timeout_seconds: float | None = None) -> ModelDescription:
        """Loads a model; answers when it is ready."""
        request = models_pb2.LoadModelRequest(name=name)
        answer = await self._call(self._models.LoadModel, request, timeout_seconds)
        return results.model_from_message(answer.model)

    async def unload_model(self, name: str, *, timeout_seconds: float | None = None) -> ModelDescription:
        """Lets a model finish what it has, then frees it."""
        request = models_pb2.UnloadModelRequest(name=name)
        answer = await self._call(self._models.UnloadModel, request, timeout_seconds)
        return results.model_from_message(answer.model)

    async def language_pairs(self, *, timeout_seconds: float | None = None) -> tuple[LanguagePair, ...]:
        """Every direction that is served."""
        request = models_pb2.ListLanguagePairsRequest()
        answer = await self._call(self._models.ListLanguagePairs, request, timeout_seconds)
        return tuple(results.pair_from_message(pair) for pair in answer.language_pairs)

    async def health(self, service: str = "", *, timeout_seconds: float | None = None) -> str:
        """Answers "SERVING" or "NOT_SERVING": of the whole server, a service's full name, or "models/NAME"."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await self._call(self._health.Check, request, timeout_seconds)
        return health_name(answer)

    async def watch_health(self, service: str = "") -> AsyncGenerator[str, None]:
        """As ``health``, now and whenever it changes, until the server ends the call."""
        call = self._health.Watch(health_pb2.HealthCheckRequest(service=service))
        try:
            async for answer in call:
                yield health_name(answer)
        except grpc.RpcError as error:
            raise remote_error(error) from error
        finally:
            call.cancel()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float | None,
    ) -> Response:
        patience = Patience(self._connection.overload_attempts, timeout_seconds)
        while True:
            try:
                return await method(request, timeout=patience.seconds_left(), metadata=self._metadata)
            except grpc.RpcError as error:
                await self._wait_or_raise(patience, error)

    async def _stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float | None,
    ) -> AsyncGenerator[Response, None]:
        """The answers of a streamed call, which is sent again only while none has come."""
        patience = Patience(self._connection.overload_attempts, timeout_seconds)
        while True:
            call, begun = method(request, timeout=patience.seconds_left(), metadata=self._metadata), False
            try:
                async for answer in call:
                    begun = True
                    yield answer
                return
            except grpc.RpcError as error:
                if begun:
                    raise remote_error(error) from error
                await self._wait_or_raise(patience, error)
            finally:
                call.cancel()

    @staticmethod
    async def _wait_or_raise(patience: Patience, error: grpc.RpcError) -> None:
        remote = remote_error(error)
        pause = patience.pause_seconds(remote)
        if pause is None:
            raise remote from error
        await asyncio.sleep(pause)


async def _each(
    documents: Iterable[tuple[str, AnyDocument]] | AsyncIterable[tuple[str, AnyDocument]],
) -> AsyncIterator[tuple[str, AnyDocument]]:
    if isinstance(documents, AsyncIterable):
        async for pair in documents:
            yield pair
    else:
        for pair in documents:
            yield pair
