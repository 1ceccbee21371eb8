"""The budget: what has room is let in, the rest refused at once or made to wait, and everything held is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from glossd.engine.rate import MOST_SECONDS
from glossd.errors import OverloadedError, RequestTooLargeError
from glossd.server.admission import StreamLoads
from glossd.server.budget import WANTED_NS, Budget, Load
from glossd.server.estimate import Estimator
from glossd.types import Priority
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common

from tests.toys import toy_hub

SECOND = 1_000_000_000
BULK = Priority.BULK


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def budget(documents: int = 3, tokens: int = 1000, memory: int = 1000, clock: Clock | None = None) -> Budget:
    return Budget(Load(documents, tokens, memory), clock=clock or Clock())


def test_the_last_place_is_given_and_the_next_is_refused() -> None:
    room = budget(3)
    with room.hold(Load(2)), room.hold(Load(1)):
        with (
            pytest.raises(OverloadedError, match="3 articles are in flight; the limit is 3") as caught,
            room.hold(Load(1)),
        ):
            pass
        assert caught.value.retry_after_seconds > 0
    assert room.used == Load()


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load(1, 200), r"900 source tokens \(estimated\) are in flight; the limit is 1,000"),
        (Load(1, 0, 200), r"900 bytes of memory \(estimated\) are in use; the limit is 1,000"),
    ],
)
def test_tokens_and_memory_are_held_to_their_limits_too(load: Load, said: str) -> None:
    room = budget(100)
    with room.hold(Load(1, 900, 900)), pytest.raises(OverloadedError, match=said), room.hold(load):
        pass


def test_a_call_larger_than_the_limit_is_let_in_alone() -> None:
    room = budget(3)
    with room.hold(Load(64, 5000)):
        assert room.used.documents == 64
    with room.hold(Load(1)), pytest.raises(OverloadedError), room.hold(Load(64)):
        pass


def test_a_call_that_alone_would_take_more_memory_than_allowed_is_refused_for_good() -> None:
    refused = pytest.raises(RequestTooLargeError, match="about 1,001 bytes of memory; the limit is 1,000")
    with refused, budget().hold(Load(1, 1, 1001)):
        pass


def test_places_are_given_back_when_the_work_fails() -> None:
    room = budget(1)
    with pytest.raises(ValueError, match="x"), room.hold(Load(1, 5, 5)):
        raise ValueError("x")
    assert room.used == Load()


def test_bulk_work_leaves_a_quarter_to_interactive_work() -> None:
    room = budget(8)
    with ExitStack() as held:
        for _ in range(6):
            held.enter_context(room.hold(Load(1), BULK))
        with pytest.raises(OverloadedError, match="the limit is 6 for bulk work"), room.hold(Load(1), BULK):
            pass
        for _ in range(2):
            held.enter_context(room.hold(Load(1)))


def test_the_wait_follows_from_how_fast_the_work_was_seen_to_go() -> None:
    clock = Clock()
    room = budget(10, clock=clock)
    for _ in range(20):
        with room.hold(Load(4)):
            clock.now_ns += 2 * SECOND
    with room.hold(Load(10)):
        with pytest.raises(OverloadedError) as caught, room.hold(Load(6)):
            pass
        assert caught.value.retry_after_seconds == pytest.approx(3, rel=0.15)  # two a second, six too many
        clock.now_ns += 3600 * SECOND
        with pytest.raises(OverloadedError) as caught, room.hold(Load(6)):
            pass
        assert caught.value.retry_after_seconds == MOST_SECONDS


def test_a_crowd_is_told_to_come_again_one_after_another() -> None:
    clock = Clock()
    room = budget(10, clock=clock)
    for _ in range(20):
        with room.hold(Load(4)):
            clock.now_ns += 2 * SECOND

    def told() -> float:
        with pytest.raises(OverloadedError) as caught, room.hold(Load(1)):
            pass
        return caught.value.retry_after_seconds

    with room.hold(Load(10)):
        assert [told() for _ in range(6)] == pytest.approx([0.5, 1, 1.5, 2, 2.5, 3], rel=0.15)  # two a second
        clock.now_ns += 2 * SECOND
        assert told() < 2.5  # four of them should have come by now
        assert max(told() for _ in range(200)) == MOST_SECONDS


def begin(room: Budget, caller: str) -> ExitStack | None:
    """One more call of a caller; None where it is refused."""
    call = ExitStack()
    try:
        call.enter_context(room.hold(Load(1), caller=caller))
    except OverloadedError:
        return None
    return call


def test_a_caller_that_was_refused_gets_its_share_as_others_finish_and_no_more_is_kept_for_it() -> None:
    clock = Clock()
    room = budget(8, clock=clock)
    heavy = [call for call in (begin(room, "heavy") for _ in range(20)) if call]
    assert len(heavy) == 8
    assert begin(room, "light") is None
    light: list[ExitStack] = []
    for _ in range(4):
        heavy.pop().close()
        assert begin(room, "heavy") is None
        light += filter(None, [begin(room, "light")])
    assert (len(heavy), len(light)) == (4, 4)
    light.pop().close()
    clock.now_ns += WANTED_NS
    again = begin(room, "heavy")
    assert again is not None
    for call in (*heavy, *light, again):
        call.close()
    assert room.used == Load()


def test_who_is_alone_may_fill_every_place_and_is_not_held_back_by_its_own_refusals() -> None:
    room = budget(4)
    calls = [begin(room, "only") for _ in range(6)]
    assert calls[4:] == [None, None]
    first = calls[0]
    assert first is not None
    first.close()
    assert begin(room, "only") is not None


async def turns(count: int = 5) -> None:
    """Lets tasks that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_bulk_items_wait_in_order_until_there_is_room() -> None:
    room, order = budget(4), []

    async def item(number: int) -> None:
        await room.wait(Load(1))
        order.append(number)

    with room.hold(Load(4)):
        tasks = [asyncio.create_task(item(number)) for number in range(3)]
        await turns()
        assert order == []
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert room.used == Load(3)


async def test_bulk_items_that_wait_get_a_fifth_however_much_interactive_work_comes() -> None:
    room = budget(10)
    with ExitStack() as first:
        for _ in range(10):
            first.enter_context(room.hold(Load(1)))
        waiting = [asyncio.create_task(room.wait(Load(1))) for _ in range(5)]
        await turns()
        held = [first.pop_all()]
        refused = 0
        for _ in range(40):
            one = ExitStack()
            try:
                one.enter_context(room.hold(Load(1)))
                held.append(one)
            except OverloadedError:
                refused += 1
                if held:
                    held.pop(0).close()
            await turns()
        assert refused
        assert sum(task.done() for task in waiting) >= 2
        for one in held:
            one.close()
    await asyncio.gather(*waiting)


async def test_an_item_that_leaves_while_it_waits_holds_nothing_and_holds_nobody_up() -> None:
    room = budget(4)
    with room.hold(Load(3)):
        wide, narrow = asyncio.create_task(room.wait(Load(4))), asyncio.create_task(room.wait(Load(0, 1)))
        await turns()
        assert not narrow.done()
        wide.cancel()
        await turns()
        assert narrow.done()
    late = asyncio.create_task(room.wait(Load(1)))
    await turns()
    late.cancel()
    await asyncio.gather(wide, narrow, late, return_exceptions=True)
    assert room.used == Load(1, 1)


async def test_a_bulk_item_that_there_will_never_be_room_for_is_refused() -> None:
    with pytest.raises(RequestTooLargeError):
        await budget().wait(Load(1, 1, 1001))


async def test_a_stream_gives_back_by_key_and_the_rest_when_it_ends() -> None:
    room = Budget(Load(100, 10**6, 10**9))

    async def questions() -> AsyncIterator[articles.BulkDigestRequest]:
        for key, words in (("a", 1), ("b", 500), ("a", 1)):
            document = common.Document(text="word " * words)
            yield articles.BulkDigestRequest(key=key, request=articles.DigestRequest(document=document))

    loads = StreamLoads(room, Estimator(toy_hub()))
    assert [question.key async for question in loads.admit(questions())] == ["a", "b", "a"]
    whole = room.used
    loads.give_back("b")
    assert whole.tokens - room.used.tokens > 500
    loads.close()
    assert room.used == Load()
