"""The picture of a run."""

from __future__ import annotations

import json
from pathlib import Path

from training.plot import curves, main, monotonic


def test_a_resumed_runs_repeated_steps_count_once() -> None:
    records = [{"step": 2, "loss": 3.0}, {"step": 4, "loss": 2.0}, {"step": 4, "loss": 1.9}]
    assert monotonic(records) == [{"step": 2, "loss": 3.0}, {"step": 4, "loss": 1.9}]


def test_curves_are_split_by_set() -> None:
    scores = [{"set": "a", "hours": 1.0, "bleu": 5.0}, {"set": "b", "hours": 1.0, "bleu": 7.0}]
    assert curves(scores, "bleu") == {"a": ([1.0], [5.0]), "b": ([1.0], [7.0])}


def test_picture_and_figures_are_written(tmp_path: Path) -> None:
    loss = {"step": 2, "hours": 0.1, "loss": 5.0, "data": "general"}
    score = {"set": "a", "hours": 0.1, "bleu": 5.0, "chrf": 4.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(loss) + "\n", encoding="utf-8")
    (tmp_path / "dev.jsonl").write_text(json.dumps(score) + "\n", encoding="utf-8")
    picture, data = tmp_path / "docs" / "curve.png", tmp_path / "docs" / "curve.jsonl"
    main(["--work", str(tmp_path), "--picture", str(picture), "--data", str(data)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()] == [loss, score]
