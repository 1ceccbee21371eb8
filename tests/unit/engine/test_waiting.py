from __future__ import annotations

from concurrent.futures import Future

from glossd.engine.scheduler import Scheduler, bucket
from glossd.engine.sequence import Sequence
from glossd.engine.slots import Slots
from glossd.engine.waiting import Room, WaitingQueue
from glossd.types import Priority
from hypothesis import given, strategies

from tests.unit.engine.toy_model import echo_request

ROOMY = Room(rows=64, sources=64, tokens=10_000)


def waiting(length: int, *, arrival_ns: int = 0, **changes: object) -> Sequence:
    return Sequence(echo_request([5] * length, **changes), arrival_ns, [Future()])


def take_one_by_one(queue: WaitingQueue, now_ns: int = 0) -> list[Sequence]:
    taken: list[Sequence] = []
    while len(queue):
        taken += queue.take(Room(rows=8, sources=1, tokens=100), now_ns=now_ns)
    return taken


def test_interactive_work_goes_before_bulk_until_bulk_has_aged() -> None:
    for now_ns, first in ((50, Priority.INTERACTIVE), (200, Priority.BULK)):
        queue = WaitingQueue(ageing_ns=100)
        queue.put(waiting(3, arrival_ns=0, priority=Priority.BULK))
        queue.put(waiting(3, arrival_ns=10, priority=Priority.INTERACTIVE))
        assert take_one_by_one(queue, now_ns)[0].request.priority is first


def test_sequences_of_like_length_are_encoded_together_with_little_padding() -> None:
    lengths = (10, 50, 11, 49, 9, 30, 10, 51, 1)
    batches = bucket([waiting(length) for length in lengths], batch_tokens=10_000)
    assert [[entry.length for entry in batch] for batch in batches] == [[1], [9, 10, 10, 11], [30], [49, 50, 51]]


@given(strategies.lists(strategies.integers(1, 400), max_size=60), strategies.integers(50, 2000))
def test_every_batch_keeps_its_budget_and_padding_and_none_is_lost(lengths: list[int], budget: int) -> None:
    batches = bucket([waiting(length) for length in lengths], batch_tokens=budget)
    assert sorted(entry.length for batch in batches for entry in batch) == sorted(lengths)
    for batch in batches:
        padded = max(entry.length for entry in batch) * len(batch)
        assert len(batch) == 1 or padded <= budget
        assert padded - sum(entry.length for entry in batch) <= 0.1 * padded


def test_a_step_takes_source_tokens_within_its_budget() -> None:
    queue = WaitingQueue(ageing_ns=100)
    for length in (10, 12, 14, 16, 18):
        queue.put(waiting(length))
    batch = queue.take(Room(rows=64, sources=64, tokens=40), now_ns=0)
    assert [entry.length for entry in batch] == [10, 12, 14]


def test_a_sequence_longer_than_the_budget_goes_alone() -> None:
    queue = WaitingQueue(ageing_ns=100)
    queue.put(waiting(50))
    queue.put(waiting(50))
    assert len(queue.take(Room(rows=64, sources=64, tokens=40), now_ns=0)) == 1


def test_a_wide_search_is_not_overtaken_for_ever() -> None:
    queue = WaitingQueue(ageing_ns=100)
    queue.put(waiting(4, num_beams=8))
    for _ in range(10):
        queue.put(waiting(4))
    assert queue.take(Room(rows=4, sources=4, tokens=1000), now_ns=0) == []
    assert len(queue) == 11
    assert queue.take(Room(rows=8, sources=4, tokens=1000), now_ns=0)[0].beams == 8


def test_what_is_removed_is_counted_out() -> None:
    queue = WaitingQueue(ageing_ns=100)
    for length in (3, 4, 5):
        queue.put(waiting(length))
    assert [entry.length for entry in queue.remove(lambda entry: entry.length == 4)] == [4]
    assert (len(queue), queue.tokens) == (2, 8)


def test_a_few_free_rows_wait_for_more_but_not_for_long() -> None:
    queue = WaitingQueue(ageing_ns=100)
    scheduler = Scheduler(queue, rows=64, batch_tokens=1000, patience=2)
    queue.put(waiting(4))
    turns = [scheduler.next(free_rows=2, free_sources=2, live=62, now_ns=0).admit for _ in range(3)]
    assert [len(admit) for admit in turns] == [0, 0, 1]


@given(strategies.lists(strategies.sets(strategies.integers(0, 11), min_size=1), max_size=6))
def test_slots_stay_dense_and_every_survivor_keeps_its_content(leaving: list[set[int]]) -> None:
    slots = Slots(12)
    content = {number: f"owner {number}" for number in slots.take(12)}
    for asked in leaving:
        freed = {number for number in asked if number < slots.live}
        survivors = sorted(owner for number, owner in content.items() if number not in freed)
        moves = slots.give_back(freed)
        targets, origins = {move.target for move in moves}, {move.origin for move in moves}
        assert not targets & origins
        for move in moves:
            content[move.target] = content[move.origin]
        content = {number: content[number] for number in range(slots.live)}
        assert sorted(content.values()) == survivors


def both_lanes(count: int, *, ageing_ns: int, bulk_share: float) -> WaitingQueue:
    queue = WaitingQueue(ageing_ns=ageing_ns, bulk_share=bulk_share)
    for _ in range(count):
        queue.put(waiting(10, priority=Priority.BULK))
        queue.put(waiting(10, priority=Priority.INTERACTIVE))
    return queue


def test_aged_bulk_gets_its_share_and_interactive_work_the_rest() -> None:
    queue = both_lanes(200, ageing_ns=100, bulk_share=0.2)
    room = Room(rows=1, sources=1, tokens=100)
    taken = [queue.take(room, now_ns=1000)[0].request.priority for _ in range(200)]
    assert taken.count(Priority.BULK) == 40


def test_bulk_that_has_not_aged_gets_what_interactive_work_leaves() -> None:
    queue = both_lanes(20, ageing_ns=100, bulk_share=0.2)
    priorities = [sequence.request.priority for sequence in take_one_by_one(queue, now_ns=50)]
    assert priorities == [Priority.INTERACTIVE] * 20 + [Priority.BULK] * 20


def test_bulk_leaves_rows_to_interactive_work_for_a_while_after_there_was_some() -> None:
    queue = WaitingQueue(ageing_ns=100)
    scheduler = Scheduler(queue, rows=8, batch_tokens=1000, interactive_share=0.25)
    queue.put(waiting(3, priority=Priority.INTERACTIVE))
    for _ in range(20):
        queue.put(waiting(3, priority=Priority.BULK))
    first = [entry for batch in scheduler.next(free_rows=8, free_sources=8, live=0, now_ns=1).admit for entry in batch]
    bulk_rows = sum(entry.request.priority is Priority.BULK for entry in first)
    assert (len(first), bulk_rows) == (7, 6)
    queue.put(waiting(3, arrival_ns=2, priority=Priority.INTERACTIVE))
    (batch,) = scheduler.next(free_rows=1, free_sources=1, live=7, now_ns=2, bulk_rows=6).admit
    assert batch[0].request.priority is Priority.INTERACTIVE
    later = scheduler.next(free_rows=2, free_sources=2, live=6, now_ns=11_000_000_000, bulk_rows=6).admit
    assert sum(map(len, later)) == 2


def test_a_bulk_search_wider_than_the_rows_for_bulk_runs_when_no_other_does() -> None:
    queue = WaitingQueue(ageing_ns=100)
    queue.put(waiting(4, priority=Priority.BULK, num_beams=8))
    tight = Room(rows=8, sources=8, tokens=100, bulk_rows=6, bulk_live=True)
    assert queue.take(tight, now_ns=0) == []
    assert len(queue.take(Room(rows=8, sources=8, tokens=100, bulk_rows=6), now_ns=0)) == 1
