"""Many questions over one stream, answered as each is done. Knows nothing of what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


async def answer_as_done(
    questions: AsyncIterator[Question],
    work: Callable[[Question], Coroutine[Any, Any, Answer]],
    *,
    window: int,
) -> AsyncGenerator[Answer, None]:
    """Answers in the order they are done, with at most ``window`` questions at work; reads no further meanwhile.

    Ends when the questions have ended and all are answered. Whatever ``work`` or ``questions`` raises ends it;
    everything still at work is cancelled and waited for when it ends, however that is.
    """
    reading: asyncio.Task[Question | None] | None = asyncio.create_task(_next(questions), name="bulk reader")
    working: set[asyncio.Task[Answer]] = set()
    try:
        while reading or working:
            waiting: set[asyncio.Task[Any]] = set(working)
            if reading and len(working) < window:
                waiting.add(reading)
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading in done:
                question, reading = reading.result(), None
                if question is not None:
                    working.add(asyncio.create_task(work(question), name="bulk item"))
                    reading = asyncio.create_task(_next(questions), name="bulk reader")
            for finished in working & done:
                working.discard(finished)
                yield finished.result()
    finally:
        left = [*working, *([reading] if reading else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _next(questions: AsyncIterator[Question]) -> Question | None:
    """The next question; None when there are no more (a task cannot raise ``StopAsyncIteration``)."""
    return await anext(questions, None)
