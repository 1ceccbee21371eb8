"""`glossd serve` and `glossd demo` as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Checkpoints

ENVIRONMENT = {**os.environ, "GLOSSD_MODELS__CANARY": "false", "OMP_NUM_THREADS": "1", "PYTHONPATH": "service"}
COMMAND = [sys.executable, "-m", "glossd"]


@pytest.fixture
def server(checkpoints: Checkpoints) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "serve", "--port", "0", "--model", str(checkpoints("marian"))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT)
    yield process
    process.kill()
    process.communicate()


def address_of(process: subprocess.Popen[str]) -> str:
    """The address in the one line that says the server is ready."""
    assert process.stderr is not None
    entries = (json.loads(line) for line in process.stderr)
    return str(next(entry["address"] for entry in entries if entry["message"] == "ready"))


def test_a_server_says_where_it_is_and_drains_on_an_interrupt(server: subprocess.Popen[str]) -> None:
    from glossd import Client

    with Client(address_of(server)) as client:
        assert client.health(timeout_seconds=30) == "SERVING"
        assert client.translate("The ship is free.", to="zh").language_code == "zh-Hans"
    server.send_signal(signal.SIGINT)
    _, log = server.communicate(timeout=60)
    assert server.returncode == 0
    assert "Traceback" not in log
    assert "The ship" not in log


def test_a_server_whose_model_can_run_no_more_ends_with_a_failure(checkpoints: Checkpoints) -> None:
    from glossd import Client, RemoteError

    script = (
        "from glossd.engine.runner import Runner\nfrom glossd.cli.main import main\n"
        "def fail(self, sequences):\n    raise RuntimeError('CUDA error: a fault inside')\nRunner.admit = fail\nmain()"
    )
    command = [sys.executable, "-c", script, "serve", "--port", "0", "--model", str(checkpoints("marian"))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT)
    try:
        with Client(address_of(process)) as client, pytest.raises(RemoteError):
            client.translate("The ship is free.", to="zh")
        process.communicate(timeout=60)
        assert process.returncode == 1
    finally:
        process.kill()
        process.communicate()


def test_the_demo_starts_a_server_shows_the_road_and_stops_it(checkpoints: Checkpoints) -> None:
    command = [*COMMAND, "demo", "--model", str(checkpoints("marian"))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    for said in ("Language: English [en]", "Summary in English", "Summary in Chinese", "Article in Chinese", "Done: "):
        assert said in done.stdout
    assert done.stdout.rstrip().endswith("The server has stopped.")


def test_a_demo_that_cannot_start_its_server_says_why() -> None:
    command = [*COMMAND, "demo", "--model", "nobody/nothing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "run `glossd models fetch nobody/nothing`" in done.stderr
