"""Calls as a client makes them that is not ours: texts of any size, what became of a call, load at a set rate."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub
from glossd.wire.status import status_to_error
from google.rpc.status_pb2 import Status

STATUS_KEY, PUSHBACK_KEY = "grpc-status-details-bin", "grpc-retry-pushback-ms"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_WORDS = (
    "council bridge river school winter market doctor garden letter window morning station captain village mountain "
    "island teacher harbour library kitchen factory engine railway museum theatre college concert minister committee"
)


def sentence(source: random.Random, words: int = 8) -> str:
    """A sentence of so many words that is hardly ever said twice."""
    return f"The {' '.join(source.choices(_WORDS.split(), k=words - 1))}."


def text_of(source: random.Random, sentences: int = 2, words: int = 8) -> str:
    """A text of so many sentences."""
    return " ".join(sentence(source, words) for _ in range(sentences))


def document(text: str) -> common.Document:
    """The text, said to be English so that nothing has to be detected."""
    return common.Document(text=text, language_code="en")


def translation(text: str, *, bulk: bool = False, key: str = "") -> articles.TranslateRequest:
    """A request for one translation."""
    priority = common.PRIORITY_BULK if bulk else common.PRIORITY_INTERACTIVE
    options = common.RequestOptions(priority=priority, fairness_key=key)
    return articles.TranslateRequest(documents=[document(text)], target_language_code="zh", options=options)


def digest(text: str) -> articles.StreamDigestRequest:
    """A request for a digest in pieces."""
    target = articles.TranslationOptions(target_language_code="zh")
    return articles.StreamDigestRequest(document=document(text), translation=target)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call. ``retry`` is the time its refusal asked to wait, None where it asked nothing."""

    code: str
    seconds: float
    text: str = ""
    reason: str = ""
    retry: float | None = None
    pushback: bool = False
    ended: float = 0.0

    @property
    def refused_well(self) -> bool:
        """Whether it is a refusal that says when to come back, to those who read details and to those who do not."""
        return self.code == "RESOURCE_EXHAUSTED" and self.retry is not None and self.pushback


def failed_outcome(error: grpc.aio.AioRpcError, seconds: float) -> Outcome:
    """The outcome of a call that ended with an error."""
    trailers = dict([*(error.trailing_metadata() or ())])
    details = trailers.get(STATUS_KEY)
    pushback = PUSHBACK_KEY in trailers
    name, now = error.code().name, time.monotonic()
    if not isinstance(details, bytes):
        return Outcome(name, seconds, reason=error.details() or "", pushback=pushback, ended=now)
    told = status_to_error(Status.FromString(details))
    return Outcome(
        name, seconds, reason=told.remote_reason, retry=told.retry_after_seconds, pushback=pushback, ended=now
    )


async def translate(channel: grpc.aio.Channel, text: str, *, timeout: float | None = 60.0, **options: Any) -> Outcome:
    """One translation; the document's own error counts as the call's."""
    started = time.monotonic()
    try:
        answer = await ArticleServiceStub(channel).Translate(translation(text, **options), timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return failed_outcome(error, time.monotonic() - started)
    ended = time.monotonic()
    (result,) = answer.results
    if result.HasField("error"):
        told = status_to_error(result.error)
        return Outcome(told.code, ended - started, reason=told.remote_reason, ended=ended)
    return Outcome("OK", ended - started, result.text.text, ended=ended)


@asynccontextmanager
async def channel_to(endpoint: str) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with a connection of its own, that never sends a call twice."""
    async with grpc.aio.insecure_channel(endpoint, OPTIONS) as channel:
        yield channel


Call = Callable[[], Coroutine[Any, Any, Outcome]]


async def at_rate(call: Call, *, rate: float, seconds: float) -> list[Outcome]:
    """Start ``rate`` calls a second whatever becomes of them; all outcomes, when the last has ended."""
    started, number = time.monotonic(), 0
    calls: list[asyncio.Task[Outcome]] = []
    while (now := time.monotonic() - started) < seconds:
        for _ in range(int(now * rate) + 1 - number):
            calls.append(asyncio.create_task(call()))
            number += 1
        await asyncio.sleep(min(0.01, 1 / rate))
    return list(await asyncio.gather(*calls))


async def closed_loop(call: Call, *, clients: int, seconds: float) -> list[Outcome]:
    """So many clients, each sending its next call when the last one is answered."""
    end = time.monotonic() + seconds

    async def one() -> list[Outcome]:
        outcomes = []
        while time.monotonic() < end:
            outcomes.append(await call())
        return outcomes

    return [outcome for outcomes in await asyncio.gather(*(one() for _ in range(clients))) for outcome in outcomes]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent of them do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))] if ordered else 0.0


async def until(condition: Callable[[], bool], *, seconds: float = 30.0) -> float:
    """Seconds until ``condition`` holds; fails after ``seconds``. For facts that another process makes true."""
    started = time.monotonic()
    while True:
        if await asyncio.to_thread(condition):
            return time.monotonic() - started
        assert time.monotonic() - started < seconds, "the condition never came true"
        await asyncio.sleep(0.02)
