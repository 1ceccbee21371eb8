"""The process that users run: ready when it says so, drained by SIGTERM, hurried by a second one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from glossd.client import Client
from glossd.digests import DigestResult
from glossd.errors import RemoteError
from glossd.types import DetectedLanguage

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A running ``glossd serve`` and what it logs."""

    def __init__(self, *settings: str) -> None:
        command = [sys.executable, "-m", "tests.e2e.toy_process", "serve", "--port", "0"]
        command += [word for setting in settings for word in ("--set", setting)]
        path = os.pathsep.join([str(ROOT / "service"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path}
        self.popen = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.endpoint = str(self.wait_for("ready")["address"])

    def wait_for(self, message: str) -> dict[str, Any]:
        """The log line with that message; the process must not end before."""
        assert self.popen.stderr is not None
        seen = []
        for line in self.popen.stderr:
            seen.append(line)
            if line.startswith("{") and json.loads(line)["message"] == message:
                entry: dict[str, Any] = json.loads(line)
                return entry
        raise AssertionError("".join(seen))

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)


@pytest.fixture
def process() -> Iterator[Process]:
    running = Process()
    yield running
    running.popen.kill()
    running.popen.communicate()


def test_sigterm_lets_a_call_finish_and_the_process_ends_well(process: Process) -> None:
    with Client(process.endpoint) as client:
        assert client.health() == "SERVING"
        events = client.stream_digest("The council met. It will build a bridge.")
        assert isinstance(next(events), DetectedLanguage)
        process.send(signal.SIGTERM)
        assert process.wait_for("draining")["calls"] == 1
        process.send(signal.SIGUSR1)
        *_, last = events
        assert isinstance(last, DigestResult)
    assert process.wait_for("drained")["calls"] == 0
    assert process.popen.wait() == 0


def test_a_second_sigterm_cuts_the_call_and_the_process_ends_well(process: Process) -> None:
    with Client(process.endpoint) as client:
        events = client.stream_digest("The council met. It will build a bridge.")
        assert isinstance(next(events), DetectedLanguage)
        process.send(signal.SIGTERM)
        process.wait_for("draining")
        process.send(signal.SIGTERM)
        with pytest.raises(RemoteError, match=r"UNAVAILABLE|CANCELLED"):
            list(events)
    assert process.wait_for("drained")["calls"] == 0
    assert process.popen.wait() == 0


def test_a_call_that_outlasts_the_grace_is_cut_and_the_process_ends_well() -> None:
    running = Process("server.drain_seconds=0.2")
    try:
        with Client(running.endpoint) as client:
            events = client.stream_digest("The council met. It will build a bridge.")
            assert isinstance(next(events), DetectedLanguage)
            running.send(signal.SIGTERM)
            with pytest.raises(RemoteError, match=r"UNAVAILABLE|CANCELLED"):
                list(events)
        assert running.wait_for("drained")["calls"] == 0
        assert running.popen.wait() == 0
    finally:
        running.popen.kill()
        running.popen.communicate()
