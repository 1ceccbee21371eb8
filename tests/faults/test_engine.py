"""A model that fails in the process that users run: what its callers are told, when health turns, when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.faults.calls import channel_to, translate
from tests.faults.process import ServerProcess
from tests.faults.results import Effort, Results
from tests.faulty import SECRET, Faults

FAULTY = ("-m", "tests.e2e.faulty_process")
SETTINGS = (
    "engine.workers=1",
    "engine.cache_entries=0",
    "engine.hang_seconds=1",
    "engine.exit_seconds=30",
    "server.drain_seconds=1",
)


class Faulty:
    """A server over the faulty toy, and the switch for its faults."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults(path)
        self.faults.set("none")
        arguments = [word for setting in SETTINGS for word in ("--set", setting)]
        self.server = ServerProcess(*arguments, program=FAULTY, environment={"TOY_FAULTS": str(path)})

    async def serving(self) -> bool:
        """Whether health says so; a server that is gone does not."""
        async with channel_to(self.server.endpoint) as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def seconds_until_serving(self, wanted: bool) -> float:
        """How long it takes until health says ``wanted``."""
        started = time.monotonic()
        while await self.serving() is not wanted:
            assert time.monotonic() - started < 60
            await asyncio.sleep(0.05)
        return time.monotonic() - started


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    running = Faulty(tmp_path / "fault")
    yield running
    assert SECRET not in running.server.log
    running.server.close()


async def codes_of(endpoint: str, count: int, name: str) -> list[str]:
    """What so many calls at once are answered."""
    async with channel_to(endpoint) as channel:
        texts = (f"{name} number {number} met here." for number in range(count))
        return [each.code for each in await asyncio.gather(*(translate(channel, text, timeout=30) for text in texts))]


@pytest.mark.fault(16)
async def test_too_little_memory_halves_the_batch_and_the_next_call_is_served(
    faulty: Faulty, effort: Effort, results: Results
) -> None:
    count, failed, seen = effort.count(8, 64), 0, []
    for rows in (1, 2, 5):
        faulty.faults.set(f"memory {rows}")
        codes = await codes_of(faulty.server.endpoint, count, f"Memory {rows}")
        failed += sum(code != "OK" for code in codes)
    seen.append(f"room for 1, 2 and 5 rows of {count}: all answered but {failed}")
    faulty.faults.set("memory 0")
    none = await codes_of(faulty.server.endpoint, count, "Nothing")
    faulty.faults.set("none")
    took = await faulty.seconds_until_serving(True)
    after = await codes_of(faulty.server.endpoint, 1, "After")
    # Enough failures in a row make the engine unwell, and the rest are told that.
    failed += sum(code not in ("RESOURCE_EXHAUSTED", "UNAVAILABLE") for code in none) + (after != ["OK"])
    seen.append(
        f"room for none: {' and '.join(sorted(set(none)))}; well again {1000 * took:.0f} ms after there was some"
    )
    results.record(16, tried=4 * count + 1, failed=failed, figure="; ".join(seen))
    assert failed == 0


@pytest.mark.fault(17)
async def test_a_model_that_raises_or_hangs_turns_health_and_comes_back(faulty: Faulty, results: Results) -> None:
    faulty.faults.set("raise")
    raised = await codes_of(faulty.server.endpoint, 4, "Raise")
    faulty.faults.set("none")
    await faulty.seconds_until_serving(True)
    faulty.faults.set("hang")
    hanging = asyncio.create_task(codes_of(faulty.server.endpoint, 2, "Hang"))
    turned = await faulty.seconds_until_serving(False)
    refused = await codes_of(faulty.server.endpoint, 2, "Refused")
    faulty.faults.set("none")
    back = await faulty.seconds_until_serving(True)
    held = await hanging
    again = await codes_of(faulty.server.endpoint, 2, "Again")
    figure = (
        f"a step that raises: {' and '.join(sorted(set(raised)))}; a step that hangs: NOT_SERVING after {turned:.1f} s "
        f"with engine.hang_seconds=1, new calls {' and '.join(sorted(set(refused)))}, "
        f"SERVING {back:.1f} s after it went on"
    )
    bad = not set(raised) <= {"INTERNAL", "UNAVAILABLE"} or set(refused) != {"UNAVAILABLE"} or set(again) != {"OK"}
    results.record(17, tried=10, failed=int(bad), figure=figure)
    assert not bad
    assert set(held) <= {"OK", "UNAVAILABLE"}


@pytest.mark.fault(17)
@pytest.mark.parametrize("fault", ["nan", "die", "crash"])
async def test_a_model_that_is_lost_is_never_served_as_well(fault: str, faulty: Faulty, results: Results) -> None:
    faulty.faults.set(fault)
    async with channel_to(faulty.server.endpoint) as channel:
        codes, ended = set(), False
        for number in range(200):
            codes.add((await translate(channel, f"Lost {number}.", timeout=10)).code)
            ended = not faulty.server.alive()
            if ended or not await faulty.serving():
                break
    with contextlib.suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(faulty.server.popen.wait, 1.0)
        ended = True
    end = f"the process ended with {faulty.server.wait()}" if ended else "NOT_SERVING"
    names = {"nan": "scores that are no numbers", "die": "a dead engine thread", "crash": "SIGSEGV"}
    figure = f"{names[fault]}: {' and '.join(sorted(codes))}, then {end}"
    bad = not codes <= {"INTERNAL", "UNAVAILABLE"}
    results.record(17, tried=1, failed=int(bad), figure=figure)
    assert not bad
    assert ended or not await faulty.serving()
