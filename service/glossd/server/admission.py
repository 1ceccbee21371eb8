"""A servicer around the article servicer that holds calls to a budget. What the budget is: ``budget``."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractContextManager, aclosing

from glossd.server.access import current_caller
from glossd.server.articles import Articles
from glossd.server.budget import Budget, Load
from glossd.server.errors import Context
from glossd.server.estimate import Estimator
from glossd.types import Priority
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceServicer

AnyRequest = (
    articles.DigestRequest | articles.StreamDigestRequest | articles.SummarizeRequest | articles.TranslateRequest
)


class StreamLoads:
    """What one bulk stream holds: each question's load from when it is read until it is answered."""

    def __init__(self, budget: Budget, estimator: Estimator) -> None:
        self._budget = budget
        self._estimator = estimator
        self._held: defaultdict[str, deque[Load]] = defaultdict(deque)

    async def admit(
        self, requests: AsyncIterator[articles.BulkDigestRequest]
    ) -> AsyncGenerator[articles.BulkDigestRequest, None]:
        """The requests, each as soon as there is room for it. Waiting here stops the sender, not the server."""
        async for request in requests:
            load = self._estimator.load([request.request.document], request.request.decode)
            await self._budget.wait(load)
            self._held[request.key].append(load)
            yield request

    def give_back(self, key: str) -> None:
        """The question with that key, or one of those with it, is answered."""
        self._budget.give_back(self._held[key].popleft(), Priority.BULK)
        if not self._held[key]:
            del self._held[key]

    def close(self) -> None:
        """Gives back whatever is still held."""
        for key, loads in list(self._held.items()):
            for _ in range(len(loads)):
                self.give_back(key)


class AdmittedArticles(ArticleServiceServicer):
    """``Articles``, held to ``budget``."""

    def __init__(self, inner: Articles, budget: Budget, estimator: Estimator) -> None:
        self._inner = inner
        self._budget = budget
        self._estimator = estimator

    async def Digest(self, request: articles.DigestRequest, context: Context) -> articles.DigestResponse:
        """One article."""
        with self._hold([request.document], request):
            return await self._inner.Digest(request, context)

    async def StreamDigest(
        self, request: articles.StreamDigestRequest, context: Context
    ) -> AsyncGenerator[articles.StreamDigestResponse, None]:
        """One article."""
        with self._hold([request.document], request):
            async with aclosing(self._inner.StreamDigest(request, context)) as events:
                async for event in events:
                    yield event

    async def BulkDigest(
        self, requests: AsyncIterator[articles.BulkDigestRequest], context: Context
    ) -> AsyncGenerator[articles.BulkDigestResponse, None]:
        """As many articles as come, each when there is room."""
        loads = StreamLoads(self._budget, self._estimator)
        try:
            async with aclosing(self._inner.BulkDigest(loads.admit(requests), context)) as answers:
                async for answer in answers:
                    loads.give_back(answer.key)
                    yield answer
        finally:
            loads.close()

    async def Summarize(self, request: articles.SummarizeRequest, context: Context) -> articles.SummarizeResponse:
        """As many articles as there are documents."""
        with self._hold(request.documents, request):
            return await self._inner.Summarize(request, context)

    async def Translate(self, request: articles.TranslateRequest, context: Context) -> articles.TranslateResponse:
        """As many articles as there are documents."""
        with self._hold(request.documents, request):
            return await self._inner.Translate(request, context)

    async def DetectLanguage(
        self, request: articles.DetectLanguageRequest, context: Context
    ) -> articles.DetectLanguageResponse:
        """Not counted: it is quick and needs no model."""
        return await self._inner.DetectLanguage(request, context)

    def _hold(self, documents: Sequence[common.Document], request: AnyRequest) -> AbstractContextManager[None]:
        """Room for these documents; an unknown priority is refused later, by its field."""
        bulk = request.options.priority == common.PRIORITY_BULK
        load = self._estimator.load(documents, request.decode)
        priority = Priority.BULK if bulk else Priority.INTERACTIVE
        return self._budget.hold(load, priority, caller=current_caller())
