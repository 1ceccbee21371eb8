"""What a worker says of itself is its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LARGE = 400 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_peak_memory_of_a_worker_does_not_begin_with_its_parent_s() -> None:
    parent = (
        "import subprocess, sys\n"
        f"kept = b'x' * {LARGE}\n"
        "told = subprocess.run([sys.executable, '-c', 'from bench.worker import peak_memory; print(peak_memory())'],"
        " stdout=subprocess.PIPE, check=True, preexec_fn=lambda: None)\n"
        "print(told.stdout.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < LARGE
