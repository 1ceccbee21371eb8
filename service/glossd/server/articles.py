"""The article service: each method checks, converts, calls the tasks layer and converts back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from glossd.server import checks, convert
from glossd.server.bulk import answer_as_done
from glossd.server.checks import Limits
from glossd.server.convert import caller_paths, digest_paths, document_paths
from glossd.server.errors import Context, failure_status, given_up_inside
from glossd.telemetry.logging import current_request_id
from glossd.types import DocumentInput, TextResult
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceServicer
from glossd.wire import results

if TYPE_CHECKING:
    from glossd.tasks.api import Services


class Articles(ArticleServiceServicer):
    """Answers article calls from ``services``. Errors, limits, metrics and ids are put around it from outside."""

    def __init__(self, services: Services, limits: Limits) -> None:
        self._services = services
        self._limits = limits

    async def Digest(self, request: articles.DigestRequest, context: Context) -> articles.DigestResponse:
        """Summary, translated summary and translated body of one document."""
        return await self._digest(request, deadline_ns(context))

    async def _digest(self, request: articles.DigestRequest, deadline: int | None) -> articles.DigestResponse:
        task = convert.digest_task(request, self._limits, deadline_ns=deadline)
        with caller_paths(digest_paths(request)):
            return results.digest_to_message(await self._services.digester.digest(task))

    async def StreamDigest(
        self, request: articles.StreamDigestRequest, context: Context
    ) -> AsyncGenerator[articles.StreamDigestResponse, None]:
        """The same, piece by piece."""
        task = convert.digest_task(request, self._limits, deadline_ns=deadline_ns(context))
        with caller_paths(digest_paths(request)):
            async with aclosing(self._services.digester.stream(task)) as events:
                async for event in events:
                    yield results.event_to_message(event)

    async def BulkDigest(
        self, requests: AsyncIterator[articles.BulkDigestRequest], context: Context
    ) -> AsyncGenerator[articles.BulkDigestResponse, None]:
        """Many digests, each answered when it is done."""

        async def work(item: articles.BulkDigestRequest) -> articles.BulkDigestResponse:
            try:
                checks.check_name("key", item.key, required=True)
                with given_up_inside(), caller_paths({}, prefix="request."):
                    response = await self._digest(item.request, deadline_ns(context))
                return articles.BulkDigestResponse(key=item.key, response=response)
            except Exception as error:
                status = failure_status(error, current_request_id())
                return articles.BulkDigestResponse(key=item.key, error=status)

        async with aclosing(answer_as_done(requests, work, window=self._limits.max_documents)) as answers:
            async for answer in answers:
                yield answer

    async def Summarize(self, request: articles.SummarizeRequest, context: Context) -> articles.SummarizeResponse:
        """One summary per document."""
        settings = convert.summarize_settings(request, self._limits, deadline_ns=deadline_ns(context))

        async def work(document: DocumentInput) -> TextResult:
            return await self._services.summarizer.summarize(replace(settings, document=document))

        return articles.SummarizeResponse(results=await self._each(request.documents, work))

    async def Translate(self, request: articles.TranslateRequest, context: Context) -> articles.TranslateResponse:
        """One translation per document."""
        settings = convert.translate_settings(request, self._limits, deadline_ns=deadline_ns(context))

        async def work(document: DocumentInput) -> TextResult:
            return await self._services.translator.translate(replace(settings, document=document))

        return articles.TranslateResponse(results=await self._each(request.documents, work))

    async def DetectLanguage(
        self, request: articles.DetectLanguageRequest, context: Context
    ) -> articles.DetectLanguageResponse:
        """The language of a text."""
        text = checks.check_text("text", request.text, self._limits)
        language = await asyncio.to_thread(self._services.detector.detect, text)
        return articles.DetectLanguageResponse(language=results.language_to_message(language))

    async def _each(
        self, documents: Sequence[common.Document], work: Callable[[DocumentInput], Awaitable[TextResult]]
    ) -> list[articles.DocumentResult]:
        """One result per document, in order; a document's error is its own."""

        async def one(index: int, message: common.Document) -> articles.DocumentResult:
            try:
                with given_up_inside(), caller_paths(document_paths(index)):
                    document = convert.document_input(message, "document", self._limits)
                    return articles.DocumentResult(text=results.text_to_message(await work(document)))
            except Exception as error:
                return articles.DocumentResult(error=failure_status(error, current_request_id()))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(index, each)) for index, each in enumerate(documents)]
        return [task.result() for task in tasks]


def deadline_ns(context: Context) -> int | None:
    """When the caller stops waiting, on the ``time.monotonic_ns`` clock; None where it never does."""
    left = context.time_remaining()
    return None if left is None else time.monotonic_ns() + int(left * 1e9)
