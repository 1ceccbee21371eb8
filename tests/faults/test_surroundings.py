"""A poor machine: stopped for a while, few open files, nowhere to write, no network, a locale without Unicode."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults import raw
from tests.faults.calls import channel_to, text_of, translate, until
from tests.faults.process import GLOSSD, ServerProcess
from tests.faults.results import Effort, Results

SENTENCE = "The council decided on Monday to build a new bridge over the river."
# Anything but loopback raises, from the first import on: in Python, where every library of ours asks.
NO_NETWORK = """
import socket, sys
connect = socket.socket.connect
def refuse(self, address):
    if self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"):
        return connect(self, address)
    print("NETWORK", address, file=sys.stderr, flush=True)
    raise OSError("no network here")
def lookup(*question, **more):
    if question[0] not in ("127.0.0.1", "localhost", "::1", None):
        print("NETWORK", question, file=sys.stderr, flush=True)
        raise socket.gaierror("no network here")
    return getaddrinfo(*question, **more)
getaddrinfo, socket.getaddrinfo = socket.getaddrinfo, lookup
socket.socket.connect = refuse
from glossd.cli.main import main
main()
"""


@pytest.fixture
def started() -> Iterator[list[ServerProcess]]:
    """Servers to end with the test."""
    servers: list[ServerProcess] = []
    yield servers
    for server in servers:
        server.close()


async def answered(server: ServerProcess) -> str:
    """What the embedded model makes of a sentence."""
    async with channel_to(server.endpoint) as channel:
        outcome = await translate(channel, SENTENCE)
    assert outcome.code == "OK", outcome
    return outcome.text


@pytest.mark.fault(30)
async def test_a_stopped_process_goes_on_where_it_stood(
    started: list[ServerProcess], effort: Effort, results: Results
) -> None:
    server, pause = ServerProcess(environment={"PACED_STEP_SECONDS": "0.02"}), effort.seconds(1.0, 0.05)
    started.append(server)
    async with channel_to(server.endpoint) as channel:
        source = random.Random(30)
        calls = [asyncio.create_task(translate(channel, text_of(source, 2, 20))) for _ in range(20)]
        await until(lambda: server.metrics()["glossd_rows_in_use"] > 0)
        server.send(signal.SIGSTOP)
        await asyncio.sleep(pause)
        server.send(signal.SIGCONT)
        codes = {outcome.code for outcome in await asyncio.gather(*calls)}
        await until(server.at_rest)
        after = await translate(channel, text_of(source))
    failed = int(codes != {"OK"} or after.code != "OK")
    results.record(
        30, tried=1, failed=failed, figure=f"stopped for {pause:.0f} s with 20 calls under way: all answered"
    )
    assert failed == 0


@pytest.mark.fault(30)
async def test_few_open_files_are_enough_for_few_callers(started: list[ServerProcess], results: Results) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    server = ServerProcess(prepare=limit, environment={"PACED_STEP_SECONDS": "0.001"})
    started.append(server)
    for _ in range(2):
        writers = []
        for _ in range(100):
            _, writer = await asyncio.open_connection("127.0.0.1", int(server.endpoint.rpartition(":")[2]))
            writer.write(raw.opening())
            writers.append(writer)
        await asyncio.sleep(0.2)
        assert server.alive()
        for writer in writers:
            writer.close()
        deadline = time.monotonic() + 60
        while True:
            async with channel_to(server.endpoint) as channel:
                outcome = await translate(channel, "The bridge is open.", timeout=5)
            if outcome.code == "OK":
                break
            assert time.monotonic() < deadline, outcome
    results.record(
        30, tried=1, figure="64 open files and 100 connections, twice: lives, and serves when they have gone"
    )


POOR: dict[str, dict[str, Any]] = {
    "no /tmp, no home, read-only working folder": {
        "environment": {"TMPDIR": "/nonexistent", "HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"},
        "cwd": Path("/proc"),
    },
    "C locale without UTF-8": {
        "environment": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    },
    "a Chinese locale": {"environment": {"LC_ALL": "zh_CN.GB18030", "LANG": "zh_CN.GB18030"}},
    "no network": {"program": ("-c", NO_NETWORK)},
}


@pytest.mark.fault(30)
async def test_the_embedded_model_answers_alike_on_a_poor_machine(
    started: list[ServerProcess], effort: Effort, results: Results
) -> None:
    kinds = POOR if effort.long else {"all at once": _together()}
    usual = ServerProcess(program=GLOSSD)
    started.append(usual)
    expected = await answered(usual)
    usual.stop()
    assert any("\u4e00" <= character <= "\u9fff" for character in expected)
    wrong = []
    for name, poverty in kinds.items():
        server = await asyncio.to_thread(partial(ServerProcess, **({"program": GLOSSD} | poverty)))
        started.append(server)
        if await answered(server) != expected or server.stop() != 0 or "NETWORK" in server.log:
            wrong.append(name)
    results.record(30, tried=len(kinds), failed=len(wrong), figure=f"{'; '.join(kinds)}: the same answer")
    assert wrong == []


def _together() -> dict[str, Any]:
    """Everything that is poor in one server."""
    environment: dict[str, str] = {}
    for name, poverty in POOR.items():
        environment |= poverty.get("environment", {}) if "Chinese" not in name else {}
    return {"environment": environment, "cwd": Path("/proc"), "program": ("-c", NO_NETWORK)}


@pytest.mark.fault(30)
def test_a_port_that_is_taken_is_named_at_once(started: list[ServerProcess], results: Results) -> None:
    first = ServerProcess(environment={"PACED_STEP_SECONDS": "0.001"})
    started.append(first)
    second = ServerProcess("--port", first.endpoint.rpartition(":")[2], wait=False)
    started.append(second)
    code, named = second.wait(), first.endpoint in second.log
    results.record(30, tried=1, failed=int(code == 0 or not named), figure="a port that is taken: said, and no start")
    assert code != 0
    assert named
    assert "Traceback" not in second.log
    assert os.path.exists(f"/proc/{first.popen.pid}")
