"""Fair queueing: who has been served the fewest tokens goes next, first among callers, then among one caller's keys."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

import pytest
from glossd.engine.fair import MOST_REMEMBERED, FairQueue, Turns
from glossd.engine.sequence import Sequence
from hypothesis import given, strategies

from tests.unit.engine.toy_model import echo_request


def fair_queue() -> FairQueue:
    return FairQueue([lambda entry: entry.request.caller, lambda entry: entry.request.fairness_key])


def entry(length: int, *, caller: str = "", key: str = "", beams: int = 1) -> Sequence:
    request = echo_request([5] * length, caller=caller, fairness_key=key, num_beams=beams)
    return Sequence(request, 0, [Future()])


def served(queue: FairQueue, turns: int) -> list[Sequence]:
    return [queue.pop() for _ in range(turns)]


def test_a_light_key_does_not_wait_for_all_that_a_heavy_one_has_queued() -> None:
    queue = fair_queue()
    for _ in range(50):
        queue.put(entry(4, key="heavy"))
    queue.put(entry(4, key="light"))
    assert [one.request.fairness_key for one in served(queue, 2)] == ["heavy", "light"]


def test_keys_get_the_same_number_of_tokens_whatever_the_length_of_their_segments() -> None:
    queue = fair_queue()
    for _ in range(400):
        queue.put(entry(40, key="long"))
        queue.put(entry(4, key="short"))
    tokens: Counter[str] = Counter()
    for one in served(queue, 220):
        tokens[one.request.fairness_key] += one.length
    assert tokens["long"] == pytest.approx(tokens["short"], abs=40)


def test_a_beam_costs_what_a_row_costs() -> None:
    queue = fair_queue()
    for _ in range(100):
        queue.put(entry(4, key="wide", beams=4))
        queue.put(entry(4, key="greedy"))
    counts = Counter(one.request.fairness_key for one in served(queue, 50))
    assert counts["greedy"] == 4 * counts["wide"]


def test_a_caller_gets_no_larger_share_by_using_many_keys() -> None:
    queue = fair_queue()
    for number in range(100):
        queue.put(entry(4, caller="many", key=str(number)))
        queue.put(entry(4, caller="one"))
    counts = Counter(one.request.caller for one in served(queue, 60))
    assert counts == {"many": 30, "one": 30}


def test_keys_of_one_caller_share_what_the_caller_gets() -> None:
    queue = fair_queue()
    for _ in range(100):
        for caller, key in (("a", "x"), ("a", "y"), ("b", "")):
            queue.put(entry(4, caller=caller, key=key))
    counts = Counter((one.request.caller, one.request.fairness_key) for one in served(queue, 80))
    assert counts == {("a", "x"): 20, ("a", "y"): 20, ("b", ""): 40}


def test_who_had_nothing_to_send_has_not_saved_up_for_later() -> None:
    queue = fair_queue()
    for _ in range(200):
        queue.put(entry(4, key="steady"))
    served(queue, 100)
    for _ in range(200):
        queue.put(entry(4, key="late"))
    counts = Counter(one.request.fairness_key for one in served(queue, 20))
    assert counts == {"steady": 10, "late": 10}


def test_sending_one_at_a_time_gives_no_more_than_ones_share() -> None:
    queue = fair_queue()
    for _ in range(100):
        queue.put(entry(4, key="steady"))
    counts: Counter[str] = Counter()
    queue.put(entry(40, key="in and out"))
    for _ in range(55):
        (one,) = served(queue, 1)
        counts[one.request.fairness_key] += one.length
        if one.request.fairness_key == "in and out":
            queue.put(entry(40, key="in and out"))
    assert counts["in and out"] == pytest.approx(counts["steady"], abs=40)


def test_keys_that_left_are_forgotten() -> None:
    turns = Turns()
    for number in range(3 * MOST_REMEMBERED):
        turns.join(str(number))
        turns.charge(str(number), 1_000_000)
        turns.leave(str(number))
    assert len(turns._left) <= MOST_REMEMBERED


keys = strategies.sampled_from(["", "a", "b"])


@given(strategies.lists(strategies.tuples(keys, keys, strategies.integers(1, 20)), max_size=60))
def test_nothing_is_lost_and_one_key_keeps_its_order(entries: list[tuple[str, str, int]]) -> None:
    queue = fair_queue()
    put = [entry(length, caller=caller, key=key) for caller, key, length in entries]
    for one in put:
        queue.put(one)
    assert set(queue) == set(put)
    unwanted = set(put[::3])
    assert set(queue.remove(unwanted.__contains__)) == unwanted
    left = [one for one in put if one not in unwanted]
    out = served(queue, len(queue))
    assert set(out) == set(left)
    for pair in {(one.request.caller, one.request.fairness_key) for one in left}:
        mine = [one for one in left if (one.request.caller, one.request.fairness_key) == pair]
        assert [one for one in out if (one.request.caller, one.request.fairness_key) == pair] == mine
