"""Callers that leave: cancelled calls, killed clients, readers that do not read, deadlines. Nothing of theirs stays."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import grpc
import pytest
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub

from tests.faults.calls import (
    channel_to,
    digest,
    failed_outcome,
    percentile,
    sentence,
    text_of,
    translate,
    translation,
    until,
)
from tests.faults.process import ROOT, ServerProcess, child_environment
from tests.faults.results import Effort, Results

STEP_SECONDS = 0.005


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    limits = ("engine.cache_entries=0", "server.max_calls_in_flight=1000")
    arguments = [word for limit in limits for word in ("--set", limit)]
    running = ServerProcess(*arguments, environment={"PACED_STEP_SECONDS": str(STEP_SECONDS)})
    yield running
    running.close()


async def cancelled(channel: grpc.aio.Channel, source: random.Random) -> None:
    """One call of any kind, given up after a moment: before it is sent, queued, in the batch, between answers."""
    stub, text = ArticleServiceStub(channel), text_of(source, source.randint(1, 12))
    kind, patience = source.randrange(4), source.choice((0.0, 0.005, 0.02, 0.1, 0.3)) * source.random()
    if kind == 0:
        call = stub.Translate(translation(text))
        await asyncio.sleep(patience)
        call.cancel()
        return
    if kind == 1:
        one = articles.DigestRequest.FromString(digest(text).SerializeToString())
        running = stub.Digest(one)
        await asyncio.sleep(patience)
        running.cancel()
        return
    stream = stub.StreamDigest(digest(text))
    await asyncio.sleep(patience)
    if kind == 3:
        await stream.read()
    stream.cancel()


async def steady(channel: grpc.aio.Channel, expected: dict[str, str], stop: asyncio.Event, seed: int) -> list[bool]:
    """Asks for known texts until told to stop; for each call, whether the translation was as it is alone."""
    source, same = random.Random(seed), []
    while not stop.is_set():
        text = source.choice(list(expected))
        same.append((await translate(channel, text)).text == expected[text])
    return same


@pytest.mark.fault(4)
async def test_cancelled_calls_leave_nothing_and_change_no_other(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    count, source, stop = effort.count(60, 1000), random.Random(4), asyncio.Event()
    async with channel_to(server.endpoint) as channel:
        texts = [text_of(source, 3) for _ in range(12)]
        expected = {text: (await translate(channel, text)).text for text in texts}
        others = [asyncio.create_task(steady(channel, expected, stop, seed)) for seed in range(4)]
        for _ in range(0, count, 20):
            await asyncio.gather(*(cancelled(channel, source) for _ in range(20)))
        stop.set()
        same = [each for some in await asyncio.gather(*others) for each in some]
        freed = await until(server.at_rest)
    samples = server.metrics()
    leaked = int(samples["glossd_rows_in_use"] + samples["glossd_queue_segments"])
    figure = (
        f"{count:,} cancelled beside {len(same):,} others: leaked rows {leaked}, "
        f"changed texts of others {same.count(False)}; all free {freed:.2f} s after the last"
    )
    results.record(4, tried=count, failed=leaked + same.count(False), figure=figure)
    assert (leaked, same.count(False)) == (0, 0)
    assert same


@pytest.mark.fault(4)
async def test_a_cancelled_call_costs_few_more_steps(server: ServerProcess, effort: Effort, results: Results) -> None:
    steps = []
    async with channel_to(server.endpoint) as channel:
        for number in range(effort.count(3, 20)):
            source = random.Random(number)
            call = ArticleServiceStub(channel).Translate(translation(text_of(source, 40, 60)))
            await until(lambda: server.metrics()["glossd_rows_in_use"] > 0)
            call.cancel()
            before = server.metrics()["glossd_decode_steps_total"]
            await until(server.at_rest)
            steps.append(server.metrics()["glossd_decode_steps_total"] - before)
    figure = f"steps after a lone call of 61 steps was cancelled: {max(steps):.0f} at most"
    results.record(4, tried=len(steps), failed=sum(each > 30 for each in steps), figure=figure)
    assert percentile(steps, 50) <= 30


def kill_clients(endpoint: str, seeds: Sequence[int]) -> int:
    """Starts client processes, waits until their calls run, kills them all with -9; how many were running."""
    environment = child_environment()
    command = [sys.executable, "-m", "tests.faults.client_process", endpoint]
    clients = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for seed in seeds
    ]
    running = 0
    for client in clients:
        assert client.stdout is not None
        running += client.stdout.readline() == "running\n"
    for client in clients:
        client.kill()
        client.communicate()
    return running


@pytest.mark.fault(5)
async def test_killed_clients_leave_nothing(server: ServerProcess, effort: Effort, results: Results) -> None:
    count, at_once = effort.count(6, 200), effort.count(6, 10)
    await asyncio.to_thread(kill_clients, server.endpoint, range(2))
    await until(server.at_rest)
    before, running = server.holdings(), 0
    for first in range(0, count, at_once):
        running += await asyncio.to_thread(kill_clients, server.endpoint, range(first, first + at_once))
    freed = await until(server.at_rest)
    await until(lambda: server.holdings().files <= before.files)
    after = server.holdings()
    figure = (
        f"{running} processes killed with two calls each: all free {freed:.2f} s after the last; "
        f"open files {before.files} before and {after.files} after, threads {before.threads} and {after.threads}"
    )
    results.record(5, tried=count, failed=count - running, figure=figure)
    assert running == count
    assert after.threads <= before.threads + 2


@pytest.mark.fault(6)
async def test_readers_that_do_not_read_cost_little_memory(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    count, source = effort.count(10, 100), random.Random(6)
    long_text = " ".join(dict.fromkeys(sentence(source, 3) for _ in range(100)))
    async with channel_to(server.endpoint) as channel:  # what one such text costs is no cost of a slow reader
        await ArticleServiceStub(channel).Translate(translation(long_text))
    before = server.holdings()
    async with channel_to(server.endpoint) as channel:
        stub = ArticleServiceStub(channel)
        streams = []
        for _ in range(0, count, 10):  # one after another: it is not the load that is tried here
            some = [stub.StreamDigest(digest(long_text)) for _ in range(10)]
            await asyncio.gather(*(stream.read() for stream in some))
            streams += some
        await until(lambda: server.metrics()["glossd_rows_in_use"] == 0, seconds=120)
        held = server.holdings()
        outcome = await asyncio.wait_for(translate(channel, "The bridge is open."), 30)
        for stream in streams:
            stream.cancel()
    freed = await until(server.at_rest)
    each = max(0, held.resident_bytes - before.resident_bytes) / count
    figure = f"{count} streams unread after the first piece: {each / 1024:.0f} KiB each; all free {freed:.2f} s later"
    results.record(6, tried=count, failed=int(outcome.code != "OK"), figure=figure)
    assert outcome.code == "OK"
    assert each < 4 << 20


@pytest.mark.fault(8)
async def test_deadlines_are_kept_and_late_work_never_reaches_the_model(
    server: ServerProcess, effort: Effort, results: Results
) -> None:
    count, source, late, bad = effort.count(40, 400), random.Random(8), [], []
    async with channel_to(server.endpoint) as channel:
        for _ in range(0, count, 20):
            limits = [source.choice((0.0, 0.001, 0.01, 0.05, 0.2, 1.0)) for _ in range(20)]
            started = time.monotonic()
            calls = (translate(channel, text_of(source, 10, 30), timeout=limit) for limit in limits)
            for limit, outcome in zip(limits, await asyncio.gather(*calls), strict=True):
                bad += [outcome.code] if outcome.code not in ("OK", "DEADLINE_EXCEEDED") else []
                late.append(max(0.0, outcome.ended - started - limit))
        await until(server.at_rest)
    figure = f"{count} calls with 0 to 1 s: answered at most {1000 * max(late):.0f} ms after their deadline"
    results.record(8, tried=count, failed=len(bad), figure=figure)
    assert bad == []


@pytest.mark.fault(8)
async def test_expired_work_costs_no_step(results: Results) -> None:
    pace = {"PACED_STEP_SECONDS": "0.05", "PACED_ROWS": "1"}
    server = ServerProcess("--set", "engine.cache_entries=0", environment=pace)
    try:
        async with channel_to(server.endpoint) as channel:
            first = asyncio.create_task(translate(channel, sentence(random.Random(0), 40)))
            await until(lambda: server.metrics()["glossd_rows_in_use"] == 1)
            calls = (translate(channel, sentence(random.Random(seed)), timeout=0.3) for seed in range(1, 21))
            codes = [outcome.code for outcome in await asyncio.gather(*calls)]
            assert (await first).code == "OK"
        await until(server.at_rest)
        read = server.metrics()["glossd_source_tokens_total"]
    finally:
        server.close()
    own = 42  # 40 words, a full stop, an end token
    figure = f"{len(codes)} calls that expired in the queue: {read - own:.0f} source tokens of theirs reached the model"
    results.record(8, tried=len(codes), failed=int(read != own), figure=figure)
    assert set(codes) == {"DEADLINE_EXCEEDED"}
    assert read == own


@pytest.mark.fault(8)
async def test_a_partial_answer_is_given_where_it_was_asked_for(server: ServerProcess, results: Results) -> None:
    request = translation(text_of(random.Random(9), 400, 40))
    request.options.allow_partial = True
    async with channel_to(server.endpoint) as channel:
        try:
            answer = await ArticleServiceStub(channel).Translate(request, timeout=2.0)
        except grpc.aio.AioRpcError as error:
            pytest.fail(f"{failed_outcome(error, 0.0)}")
    (result,) = answer.results
    done = sum(segment.finish_reason == common.FINISH_REASON_COMPLETE for segment in result.text.segments)
    share = done / len(result.text.segments)
    results.record(8, tried=1, figure=f"with allow_partial, an answer of which {share:.0%} is translated")
    assert result.text.finish_reason == common.FINISH_REASON_DEADLINE
    assert 0 < share < 1
