"""Questions of one stream are answered as they are done, never more at once than the window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from glossd.server.bulk import answer_as_done


async def count_to(end: int, asked: list[int]) -> AsyncIterator[int]:
    for number in range(end):
        asked.append(number)
        yield number


async def test_what_is_done_first_is_answered_first() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def work(number: int) -> int:
        await gates[number].wait()
        return number

    answers = answer_as_done(count_to(3, []), work, window=3)
    order = []
    for number in (2, 0, 1):
        gates[number].set()
        order.append(await anext(answers))
    assert order == [2, 0, 1]
    assert [answer async for answer in answers] == []


@pytest.mark.parametrize("window", [1, 4])
async def test_no_more_than_the_window_is_at_work(window: int) -> None:
    at_work, most, full = 0, 0, asyncio.Event()

    async def work(number: int) -> int:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == window:
            full.set()
        await full.wait()
        at_work -= 1
        return number

    answers = [answer async for answer in answer_as_done(count_to(50, []), work, window=window)]
    assert sorted(answers) == list(range(50))
    assert most == window


async def test_questions_are_not_read_ahead_of_the_window() -> None:
    asked: list[int] = []
    never = asyncio.Event()
    busy = asyncio.Event()

    async def work(number: int) -> int:
        if number == 1:
            busy.set()
        await never.wait()
        return number

    answers = answer_as_done(count_to(50, asked), work, window=2)
    first = asyncio.ensure_future(anext(answers))
    await busy.wait()
    assert len(asked) <= 3  # two at work and one in hand
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_failing_source_ends_the_stream_and_stops_the_work() -> None:
    stopped = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")

    async def work(number: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return number

    with pytest.raises(ValueError, match="broken"):
        await anext(answer_as_done(source(), work, window=2))
    await stopped.wait()


async def test_leaving_early_stops_the_work() -> None:
    stopped = []

    async def work(number: int) -> int:
        try:
            if number:
                await asyncio.Event().wait()
        finally:
            stopped.append(number)
        return number

    answers = answer_as_done(count_to(3, []), work, window=3)
    assert await anext(answers) == 0
    await answers.aclose()
    assert set(stopped) <= {0, 1, 2}
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("bulk")]


async def test_no_questions_have_no_answers() -> None:
    async def work(number: int) -> int:
        return number

    assert [answer async for answer in answer_as_done(count_to(0, []), work, window=1)] == []
