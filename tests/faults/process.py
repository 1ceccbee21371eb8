"""A real server process: started, asked how much it holds, signalled, ended. What is sent to it is elsewhere."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
PACED = ("-m", "tests.faults.paced")
GLOSSD = ("-m", "glossd")
START_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds at a moment."""

    resident_bytes: int
    files: int
    threads: int


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def child_environment(**changes: str) -> dict[str, str]:
    """The environment of a child that imports this tree and never the network."""
    path = os.pathsep.join([str(ROOT / "service"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **changes}


class ServerProcess:
    """A running ``glossd serve``, by default over the paced toy. Its log is read all the time, so it never waits."""

    def __init__(
        self,
        *arguments: str,
        program: Sequence[str] = PACED,
        environment: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        prepare: Callable[[], None] | None = None,
        wait: bool = True,
    ) -> None:
        self.metrics_port = free_port()
        settings = ["--set", "metrics.enabled=true", "--set", f"metrics.port={self.metrics_port}"]
        port = [] if "--port" in arguments else ["--port", "0"]
        self.popen = subprocess.Popen(
            [sys.executable, *program, "serve", *port, *settings, *arguments],
            cwd=cwd,
            env=child_environment(**(environment or {})),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=prepare,
        )
        self._lines: deque[str] = deque(maxlen=50_000)
        self._read = 0
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read_log, name="server log", daemon=True)
        self._reader.start()
        self.endpoint = str(self.wait_for("ready")["address"]) if wait else ""

    def _read_log(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            with self._changed:
                self._lines.append(line)
                self._read += 1
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        with self._changed:
            return "".join(self._lines)

    def entries(self) -> list[dict[str, Any]]:
        """The log lines that are JSON."""
        with self._changed:
            lines = list(self._lines)
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for(self, message: str, *, timeout: float = START_SECONDS) -> dict[str, Any]:
        """The first log line with that message; the process must not end before."""

        def found() -> dict[str, Any] | None:
            lines = [json.loads(line) for line in self._lines if line.startswith("{")]
            return next((entry for entry in lines if entry.get("message") == message), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._ended, timeout)
            entry = found()
        if entry is None:
            self.kill()
            raise AssertionError(f"never said {message!r}:\n{self.log[-4000:]}")
        return entry

    def holdings(self) -> Holdings:
        """Memory, open files and threads, as the kernel counts them."""
        home = Path(f"/proc/{self.popen.pid}")
        status = dict(line.split(":", 1) for line in (home / "status").read_text(encoding="ascii").splitlines())
        resident = int(status["VmRSS"].split()[0]) * 1024
        return Holdings(resident, len(list((home / "fd").iterdir())), int(status["Threads"]))

    def peak_bytes(self) -> int:
        """The most memory it ever had resident."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel tells no peak")

    def metrics(self) -> defaultdict[str, float]:
        """Every sample of its metrics endpoint by name, summed over labels; 0 for what there is not yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        samples: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name] += sample.value
        return samples

    def at_rest(self) -> bool:
        """Whether no row, no queue place and no call is held."""
        samples = self.metrics()
        held = ("glossd_rows_in_use", "glossd_queue_segments", "glossd_requests_in_flight")
        return all(samples[name] == 0 for name in held)

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code, when it has ended and said its last words."""
        code = self.popen.wait(timeout)
        self._reader.join(timeout)
        return code

    def stop(self) -> int:
        """End it in good order; answers its exit code."""
        if self.alive():
            self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it at once."""
        self.popen.kill()
        self.wait()

    def close(self) -> None:
        """End it at once if it still runs, and free its pipe."""
        if self.alive():
            self.popen.kill()
        self.wait()
        assert self.popen.stderr is not None
        self.popen.stderr.close()
