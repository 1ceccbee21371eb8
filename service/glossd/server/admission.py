"""How many articles are worked on at once, and a servicer around the servicer that holds calls to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from glossd.errors import OverloadedError
from glossd.server.articles import Articles
from glossd.server.errors import Context
from glossd.v1 import article_service_pb2 as articles
from glossd.v1.article_service_pb2_grpc import ArticleServiceServicer

RETRY_AFTER_SECONDS = 1.0
BULK_SHARE = 0.5


class Permits:
    """Counts articles in flight. Calls beyond ``limit`` are refused at once; bulk streams wait, in a share of theirs.

    A call that alone exceeds the limit is let in when nothing else is there.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0
        self._bulk = asyncio.Semaphore(max(1, int(limit * BULK_SHARE)))

    @property
    def in_flight(self) -> int:
        """Articles of plain calls that are being worked on."""
        return self._in_flight

    @contextmanager
    def hold(self, articles: int = 1) -> Iterator[None]:
        """Admits that many articles while inside. Raises ``OverloadedError`` when there is no room."""
        if self._in_flight and self._in_flight + articles > self._limit:
            message = f"{self._in_flight:,} articles are in flight; the limit is {self._limit:,}"
            raise OverloadedError(message, retry_after_seconds=RETRY_AFTER_SECONDS)
        self._in_flight += articles
        try:
            yield
        finally:
            self._in_flight -= articles

    def stream(self) -> StreamPermits:
        """The permits of one bulk stream."""
        return StreamPermits(self._bulk)


class StreamPermits:
    """The permits that one bulk stream holds: it takes one per question and gives one back per answer."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._held = 0

    async def admit(
        self, requests: AsyncIterator[articles.BulkDigestRequest]
    ) -> AsyncGenerator[articles.BulkDigestRequest, None]:
        """The requests, each as soon as there is room for it. Waiting here stops the sender, not the server."""
        async for request in requests:
            await self._free.acquire()
            self._held += 1
            yield request

    def give_back(self, count: int = 1) -> None:
        """That many are done."""
        for _ in range(count):
            self._held -= 1
            self._free.release()

    def close(self) -> None:
        """Gives back whatever is still held."""
        self.give_back(self._held)


class AdmittedArticles(ArticleServiceServicer):
    """``Articles``, held to ``permits``."""

    def __init__(self, inner: Articles, permits: Permits) -> None:
        self._inner = inner
        self._permits = permits

    async def Digest(self, request: articles.DigestRequest, context: Context) -> articles.DigestResponse:
        """One article."""
        with self._permits.hold():
            return await self._inner.Digest(request, context)

    async def StreamDigest(
        self, request: articles.StreamDigestRequest, context: Context
    ) -> AsyncGenerator[articles.StreamDigestResponse, None]:
        """One article."""
        with self._permits.hold():
            async with aclosing(self._inner.StreamDigest(request, context)) as events:
                async for event in events:
                    yield event

    async def BulkDigest(
        self, requests: AsyncIterator[articles.BulkDigestRequest], context: Context
    ) -> AsyncGenerator[articles.BulkDigestResponse, None]:
        """As many articles as come, each when there is room."""
        permits = self._permits.stream()
        try:
            async with aclosing(self._inner.BulkDigest(permits.admit(requests), context)) as answers:
                async for answer in answers:
                    permits.give_back()
                    yield answer
        finally:
            permits.close()

    async def Summarize(self, request: articles.SummarizeRequest, context: Context) -> articles.SummarizeResponse:
        """As many articles as there are documents."""
        with self._permits.hold(len(request.documents)):
            return await self._inner.Summarize(request, context)

    async def Translate(self, request: articles.TranslateRequest, context: Context) -> articles.TranslateResponse:
        """As many articles as there are documents."""
        with self._permits.hold(len(request.documents)):
            return await self._inner.Translate(request, context)

    async def DetectLanguage(
        self, request: articles.DetectLanguageRequest, context: Context
    ) -> articles.DetectLanguageResponse:
        """Not counted: it is quick and needs no model."""
        return await self._inner.DetectLanguage(request, context)
