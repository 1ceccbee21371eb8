"""Who takes what from a fleet's queue, and which replicas stand behind an endpoint."""

from __future__ import annotations

import asyncio

import pytest
from glossd.corpus.fleet_addresses import Address, resolve, split
from glossd.corpus.fleet_work import SUSPECT_LOSSES, Intake, Work, WorkQueue
from glossd.corpus.records import Place, Record
from glossd.errors import InvalidInputError
from glossd.types import DocumentInput


def work(position: int, **what: object) -> Work:
    return Work(Record(position, str(position), DocumentInput("The text."), Place("a", 1)), **what)  # type: ignore[arg-type]


async def at_once(queue: WorkQueue, intake: Intake) -> int | None:
    """The position of what the intake is given without waiting; -1 if it has to wait."""
    taking = asyncio.create_task(queue.take(intake))
    await asyncio.sleep(0)
    if not taking.done():
        taking.cancel()
        return -1
    taken = taking.result()
    return None if taken is None else taken.record.position


async def test_work_is_taken_in_order_and_no_more_than_a_window_of_it() -> None:
    queue, intake = WorkQueue(), Intake("a", window=2)
    queue.open(intake)
    for position in range(3):
        queue.put(work(position))
    assert [await at_once(queue, intake) for _ in range(3)] == [0, 1, -1]
    intake.at_work.clear()
    assert await at_once(queue, intake) == 2


async def test_what_was_lost_goes_first_and_to_another_replica_while_there_is_one() -> None:
    queue, first, second = WorkQueue(), Intake("a", window=9), Intake("b", window=9)
    queue.open(first)
    queue.open(second)
    queue.put(work(0))
    queue.put_back(work(1, last="a"))
    assert await at_once(queue, first) == 0
    assert await at_once(queue, first) == -1
    assert await at_once(queue, second) == 1
    queue.put_back(work(2, last="a"))
    queue.close(second)
    assert await at_once(queue, first) == 2


async def test_a_suspect_is_sent_alone() -> None:
    queue, intake = WorkQueue(), Intake("a", window=9)
    queue.open(intake)
    queue.put(work(0, losses=SUSPECT_LOSSES))
    queue.put(work(1))
    assert await at_once(queue, intake) == 0
    assert await at_once(queue, intake) == -1
    intake.at_work.clear()
    assert await at_once(queue, intake) == 1
    queue.put(work(2, losses=SUSPECT_LOSSES))
    assert await at_once(queue, intake) == -1


async def test_a_resting_stream_takes_nothing_and_a_closed_one_ends() -> None:
    queue, intake = WorkQueue(), Intake("a", window=9, resting=True)
    queue.open(intake)
    queue.put(work(0))
    assert await at_once(queue, intake) == -1
    waiting = asyncio.create_task(queue.take(intake))
    await asyncio.sleep(0)
    queue.close(intake)
    assert await waiting is None
    assert intake.at_work == {}


def test_a_name_is_as_many_replicas_as_it_has_addresses_and_each_counts_once() -> None:
    endpoints = ("127.0.0.1:1", "dns:///127.0.0.1:1", "127.0.0.2:1", "unix:/run/glossd.sock")
    targets = [address.target for address in resolve(endpoints)]
    assert targets == ["ipv4:127.0.0.1:1", "ipv4:127.0.0.2:1", "unix:/run/glossd.sock"]
    assert resolve(["[::1]:2"]) == (Address("ipv6:[::1]:2", "::1"),)


def test_a_name_that_nobody_knows_is_left_out_unless_it_is_the_only_one() -> None:
    assert len(resolve(["127.0.0.1:1", "nobody.invalid:1"])) == 1
    with pytest.raises(InvalidInputError, match=r"no replica behind nobody\.invalid:1"):
        resolve(["nobody.invalid:1"])


@pytest.mark.parametrize("endpoint", ["", "host", "host:", ":1", "host:0", "host:65536", "http://host:1", "host:x"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInputError, match="neither HOST:PORT nor"):
        split(endpoint)


def test_an_endpoint_has_a_host_and_a_port() -> None:
    assert split("dns:///replicas.example:50051") == ("replicas.example", 50051)
    assert split("[::1]:50051") == ("::1", 50051)
