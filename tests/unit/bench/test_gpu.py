"""The measurement for GPUs runs through on a toy, and says plainly when there is nothing to measure on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import gpu


def test_the_rehearsal_decodes_the_same_with_every_system_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    gpu.main(["--device", "cpu", "--tiny", "--rounds", "1", "--work", str(tmp_path), "--json", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["device"] == "cpu (a rehearsal)"
    results = {entry["system"]: entry for entry in report["results"]}
    assert {"transformers", "glossd", "glossd-graphs"} <= set(results)
    for name in ("glossd", "glossd-graphs"):
        assert results[name]["output_tokens"] == 16 * 12
        assert results[name]["outputs_equal_to_transformers"] == 1.0
    assert "x glossd-graphs" in capsys.readouterr().out


def test_without_a_gpu_nothing_is_measured_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main(["--json", str(tmp_path / "gpu.json")])
    assert "nothing was measured" in capsys.readouterr().out
    assert not (tmp_path / "gpu.json").exists()
