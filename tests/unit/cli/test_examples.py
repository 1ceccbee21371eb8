"""The examples run as they are, against a server of toys."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["digest.py", "stream.py"])
def test_an_example_runs_as_it_stands(name: str, endpoint: str) -> None:
    command = [sys.executable, f"examples/{name}", "examples/article.txt", endpoint]
    environment = {**os.environ, "PYTHONPATH": "service"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Suez Canal" in done.stdout
    assert any("\u4e00" <= character <= "\u9fff" for character in done.stdout)
