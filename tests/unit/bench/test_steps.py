"""What a decode step's time goes into is found out by wrapping the calls it is made of: they must be there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from glossd.errors import ModelFilesError
from glossd.models.hub import EMBEDDED, locate

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_every_part_of_a_step_is_measured(kind: str, tmp_path: Path) -> None:
    try:
        locate(EMBEDDED)
    except ModelFilesError:
        pytest.skip("the checkout carries no embedded model")
    command = [sys.executable, "-m", "bench.steps", "--checkpoint", "embedded", "--format", kind, "--beams", "2"]
    options = ["--segments", "4", "--json", str(tmp_path / "steps.json"), "--work", str(tmp_path)]
    subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True, timeout=300)
    (result,) = json.loads((tmp_path / "steps.json").read_text(encoding="utf-8"))["results"]
    assert all(share > 0 for share in result["share"].values()), result
    assert sum(result["share"].values()) == pytest.approx(1, abs=0.01)
    assert 0 < result["share_of_arithmetic_limit"] < 1
