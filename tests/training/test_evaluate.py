"""Checks on outputs and the tables made of scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.card import licence_text, score_table
from training.evaluate import EvaluationSet, is_looping, is_wrong_script, read_set, score
from training.sources import SOURCES


@pytest.mark.parametrize(
    ("text", "looping"), [("好好好好好好", True), ("他说他来了。", False), ("1000000", False), ("哈哈", False)]
)
def test_loops_are_found(text: str, looping: bool) -> None:
    assert is_looping(text) == looping


def test_wrong_scripts_are_found() -> None:
    assert is_wrong_script("The talks will go on", "The talks will go on")
    assert is_wrong_script("The talks will go on", "会谈が続く")
    assert not is_wrong_script("The talks will go on", "会谈将继续")
    assert not is_wrong_script("IBM", "IBM")


def test_sets_are_read_from_both_formats(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("d1\tOne.\t一。\nd1\tTwo.\t二。\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"source": "One.", "target": "一。"}) + "\n", encoding="utf-8")
    assert read_set(tmp_path / "a.tsv") == EvaluationSet("a", ["One.", "Two."], ["一。", "二。"])
    assert read_set(tmp_path / "b.jsonl") == EvaluationSet("b", ["One."], ["一。"])
    assert read_set(tmp_path / "a.tsv").first(1).sources == ["One."]


def test_a_perfect_output_scores_full_marks_with_signatures() -> None:
    references = ["会谈将于下周恢复。", "价格将继续上涨。"]
    row, signatures = score(EvaluationSet("toy", ["a", "b"], references), references, "greedy", 1.0)
    assert row.bleu == pytest.approx(100.0)
    assert row.length_ratio == 1.0
    assert "tok:zh" in signatures["BLEU"]


def test_card_parts_name_every_source_and_score() -> None:
    assert all(source.name in licence_text() for source in SOURCES)
    row, signatures = score(EvaluationSet("toy", ["a"], ["会谈继续。"]), ["会谈继续。"], "beam 4", 1.0)
    rows = [{name: getattr(row, name) for name in row.__slots__}]
    assert "| toy | beam 4 |" in score_table({"rows": rows, "signatures": signatures})
