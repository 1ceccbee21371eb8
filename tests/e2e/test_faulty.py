"""Health stays true and calls stay answered in the process that users run, while its model fails in every known way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from glossd.client import CallSettings, Client
from glossd.errors import RemoteError
from glossd.telemetry.catalogue import ENGINE_METRICS, MODEL_READY, SERVING
from glossd.telemetry.scrape import scrape

from tests.faulty import NAME, SECRET, Faults

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The council met. It will build a bridge."
PATIENT = CallSettings(timeout_seconds=30.0)


class Faulty:
    """A running server with the faulty model. ``log`` is what it has written so far."""

    def __init__(self, path: Path, *settings: str, fault: str = "none") -> None:
        self.faults = Faults(path)
        self.faults.set(fault)
        command = [sys.executable, "-m", "tests.e2e.faulty_process", "serve", "--port", "0"]
        command += [word for setting in ("server.drain_seconds=2", *settings) for word in ("--set", setting)]
        places = os.pathsep.join([str(ROOT / "service"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": places, "TOY_FAULTS": str(path)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)

    def entries(self, message: str) -> list[dict[str, Any]]:
        """The log lines with that message."""
        lines = [json.loads(line) for line in list(self.log) if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    @property
    def endpoint(self) -> str:
        """Where it listens, once it is ready."""
        self.wait_until(lambda: bool(self.entries("ready")))
        return str(self.entries("ready")[0]["address"])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds; fail with the log when it never does."""
        tick = threading.Event()
        for _ in range(1200):
            if condition():
                return
            if self.process.poll() is not None and not condition():
                break
            tick.wait(0.05)
        raise AssertionError("".join(self.log))

    def exit_code(self) -> int:
        """How it ended, within a minute."""
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    def stop(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()


Start = Callable[..., Faulty]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Faulty] = []

    def make(*settings: str, fault: str = "none") -> Faulty:
        running.append(Faulty(tmp_path / f"faults-{len(running)}", *settings, fault=fault))
        return running[-1]

    yield make
    for each in running:
        each.stop()
        assert SECRET not in "".join(each.log)


def translate(client: Client, text: str = TEXT) -> str:
    return client.translate(text, to="zh", settings=PATIENT).text


def code_of(client: Client, text: str = TEXT) -> str:
    with pytest.raises(RemoteError) as caught:
        translate(client, text)
    assert SECRET not in str(caught.value)
    return caught.value.code


def test_a_bad_text_gets_its_error_and_nobody_else_notices(start: Start) -> None:
    server = start("engine.workers=1")
    with Client(server.endpoint) as client:
        good = translate(client)
        assert code_of(client, "A ~ raises.") == "INTERNAL"
        assert code_of(client, "A ^ is not a number.") == "INTERNAL"
        assert code_of(client, "A % is too large.") == "RESOURCE_EXHAUSTED"
        assert client.health() == "SERVING"
        assert translate(client) == good


def test_too_little_memory_makes_batches_smaller_and_is_told_only_to_who_needs_it_alone(start: Start) -> None:
    server = start("engine.workers=1", "engine.cache_entries=0")
    with Client(server.endpoint) as client:
        good = translate(client)
        server.faults.set("memory 1")
        assert translate(client) == good
        server.faults.set("memory 0")
        assert code_of(client) == "RESOURCE_EXHAUSTED"
        server.faults.set("none")
        assert translate(client) == good
        assert client.health() == "SERVING"


def test_a_hang_turns_health_and_it_turns_back_when_the_step_ends(start: Start) -> None:
    server = start("engine.workers=1", "engine.cache_entries=0", "engine.hang_seconds=0.5")
    with Client(server.endpoint) as client:
        server.faults.set("hang")
        results: list[str] = []
        caller = threading.Thread(target=lambda: results.append(translate(client)))
        caller.start()
        server.wait_until(lambda: client.health() == "NOT_SERVING")
        assert client.health("models/faulty-en-zh") == "NOT_SERVING"
        assert code_of(client) == "UNAVAILABLE"
        server.faults.set("none")
        caller.join(30)
        assert len(results) == 1
        server.wait_until(lambda: client.health() == "SERVING")


def test_a_hang_that_does_not_end_ends_the_process_with_an_error(start: Start) -> None:
    server = start("engine.workers=1", "engine.hang_seconds=0.5", "engine.exit_seconds=0.5")
    with Client(server.endpoint) as client:
        server.faults.set("hang")
        assert code_of(client) == "UNAVAILABLE"
    assert server.exit_code() == 1
    assert "has not moved for" in str(server.entries("engine given up")[0])


def test_a_process_that_was_stopped_and_continued_has_not_hung(start: Start) -> None:
    server = start("engine.workers=1", "engine.hang_seconds=0.5", "engine.exit_seconds=0.5")
    with Client(server.endpoint) as client:
        good = translate(client)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)  # longer than a hang takes to end the process
        server.process.send_signal(signal.SIGCONT)
        assert client.health() == "SERVING"
        assert translate(client) == good
    assert not server.entries("engine given up")


def test_sigterm_ends_the_process_while_its_engine_hangs(start: Start) -> None:
    server = start("engine.workers=1", "engine.hang_seconds=0.5", "server.drain_seconds=0.2")
    with Client(server.endpoint) as client:
        server.faults.set("hang")
        codes: list[str] = []
        caller = threading.Thread(target=lambda: codes.append(code_of(client)))
        caller.start()
        server.wait_until(lambda: client.health() == "NOT_SERVING")
        server.process.terminate()
        caller.join(30)
    assert codes
    assert server.exit_code() == 0


def test_a_dead_engine_is_replaced_and_at_last_the_process_ends_with_an_error(start: Start) -> None:
    server = start("engine.workers=1", "engine.cache_entries=0", "engine.restarts=2")
    with Client(server.endpoint) as client:
        good = translate(client)
        server.faults.set("die")
        assert code_of(client) == "UNAVAILABLE"
        # The test that a replacement has to answer may meet the fault, too, until it has gone.
        server.faults.set("none")
        server.wait_until(lambda: client.health() == "SERVING")
        assert translate(client) == good
        assert 1 <= len(server.entries("engine started again")) <= 2
        server.faults.set("die")
        assert code_of(client) == "UNAVAILABLE"
    assert server.exit_code() == 1
    assert server.entries("engine given up")


def test_a_model_of_nothing_but_nan_is_not_served(start: Start) -> None:
    server = start(fault="nan")
    assert server.exit_code() != 0
    assert "fails on its test sentence" in "".join(server.log)
    assert not server.entries("ready")


def test_a_model_that_turns_to_nan_turns_health_and_is_well_when_it_answers_again(start: Start) -> None:
    server = start("engine.workers=1", "engine.cache_entries=0", "engine.hang_seconds=0.5")
    with Client(server.endpoint) as client:
        good = translate(client)
        server.faults.set("nan")
        codes = {code_of(client, f"Case {number} failed.") for number in range(10)}
        assert codes <= {"INTERNAL", "UNAVAILABLE"}
        server.wait_until(lambda: client.health() == "NOT_SERVING")
        server.faults.set("none")
        server.wait_until(lambda: client.health() == "SERVING")
        assert translate(client) == good


def test_a_crash_of_the_process_is_no_success(start: Start) -> None:
    server = start()
    with Client(server.endpoint) as client:
        server.faults.set("crash")
        assert code_of(client) == "UNAVAILABLE"
    assert server.exit_code() not in (0, 1)


def test_the_metrics_tell_what_went_wrong(start: Start) -> None:
    server = start("engine.workers=1", "engine.cache_entries=0", "metrics.enabled=true", "metrics.port=0")
    with Client(server.endpoint) as client:
        endpoint = f"127.0.0.1:{server.entries('serving metrics')[0]['port']}"
        translate(client)
        server.faults.set("memory 1")
        translate(client)
        server.faults.set("die")
        assert code_of(client) == "UNAVAILABLE"
        server.faults.set("none")
        server.wait_until(lambda: client.health() == "SERVING")
        translate(client)
    seen = scrape(endpoint)
    figures = {field: seen.total(spec, model=NAME) for field, spec in ENGINE_METRICS.items()}
    assert figures["memory_failures"] >= 1
    assert figures["failed_model_calls"] == figures["memory_failures"]
    assert 1 <= figures["restarts"] <= 2
    assert figures["alive"] == 1
    assert 0 <= figures["beat_age_seconds"] < 60
    assert figures["source_tokens"] > 3 * len("The council met.")  # those of the engine that died are still counted
    assert figures["rows"] == figures["row_limit"] == 64
    assert seen.total(SERVING) == 1
    assert seen.total(MODEL_READY, model=NAME) == 1
    for line in server.entries("call"):
        assert line["code"] == "OK"
