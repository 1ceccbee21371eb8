from __future__ import annotations

import threading

import pytest
from glossd.engine.engine import EngineLimits
from glossd.engine.pool import EnginePool
from glossd.errors import DrainingError

from tests.unit.engine.toy_model import END, EchoModel, echo_request, wait_until

LIMITS = EngineLimits(rows=4, sources=4, workers=3)


def test_every_request_is_answered_whichever_worker_has_it() -> None:
    pool = EnginePool(EchoModel(), limits=LIMITS)
    sources = [list(range(2, 2 + size)) for size in range(1, 30)]
    futures = [pool.submit(echo_request(source, num_beams=1 + len(source) % 3)) for source in sources]
    assert [future.result(60).token_ids for future in futures] == [(*source, END) for source in sources]
    pool.close()


def test_work_goes_to_the_least_loaded_worker() -> None:
    gate = threading.Semaphore(0)
    model = EchoModel(gate)
    pool = EnginePool(model, limits=LIMITS)
    futures = [pool.submit(echo_request([number] * 6)) for number in range(20, 26)]
    wait_until(lambda: pool.statistics().live_sequences == 6)
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("glossd-engine-model")]
    assert len(threads) == 3
    gate.release(1000)
    for future in futures:
        future.result(30)
    assert max(model.rows_seen) == 2  # six sequences of one length over three workers
    pool.close()


def test_an_identical_request_goes_where_the_first_one_went() -> None:
    model = EchoModel()
    pool = EnginePool(model, limits=LIMITS)
    first = pool.submit(echo_request([7, 8, 9])).result(30)
    again = [pool.submit(echo_request([7, 8, 9])).result(30) for _ in range(5)]
    assert all(generation.cached for generation in again)
    assert {generation.token_ids for generation in again} == {first.token_ids}
    assert len(model.encoded) == 1
    assert pool.statistics().cached == 5
    pool.close()


def test_a_closed_pool_takes_nothing_new_and_has_finished_what_it_took() -> None:
    pool = EnginePool(EchoModel(), limits=LIMITS)
    futures = [pool.submit(echo_request([number])) for number in range(2, 40)]
    pool.close()
    assert all(future.done() for future in futures)
    with pytest.raises(DrainingError):
        pool.submit(echo_request([99]))
