"""What a Ray run keeps on disk says what was put there, finds each record's own outcome, and misses none silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from glossd.corpus.local import LocalEngine
from glossd.corpus.ray_files import (
    KEY,
    OUTCOME,
    POSITION,
    LostRecordError,
    Staged,
    from_table,
    key_of,
    outcomes_of,
    result_from_json,
    result_to_json,
    stage,
    to_table,
)
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Place, Record
from glossd.types import DocumentInput, Extraction, MimeType

from tests.toys import toy_model, toy_services

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'glossd[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")


def record(position: int, text: str = "The ship is free. A port official said so.") -> Record:
    return Record(position, f"r{position}", DocumentInput(f"{text} {position}"), Place("a.jsonl", position))


def keep(folder: Path, name: str, outcomes: list[tuple[Record, str]]) -> None:
    """A file of outcomes as Ray writes it; the reason of the failure is what tells them apart."""
    folder.mkdir(exist_ok=True)
    table = {
        KEY: [key_of(each) for each, _ in outcomes],
        POSITION: [each.position for each, _ in outcomes],
        OUTCOME: [result_to_json(Failure(reason, "")) for _, reason in outcomes],
    }
    parquet.write_table(pyarrow.table(table), folder / f"{name}.parquet")


def found(staged: Staged, folder: Path) -> list[tuple[int, str]]:
    outcomes = list(outcomes_of(staged, folder))
    return [(each.position, each.result.reason) for each in outcomes if isinstance(each.result, Failure)]


def test_records_come_back_from_a_table_as_they_were() -> None:
    html = DocumentInput("<p>Émile 中文</p>", MimeType.HTML, "fr", Extraction.MAIN_CONTENT)
    records = [record(3), replace(record(7), document=html)]
    assert from_table(to_table(records)) == records


def test_rows_and_failures_come_back_from_json_as_they_were() -> None:
    engine = LocalEngine(toy_services(toy_model()), Recipe("zh-Hans", segments=True))
    results = [outcome.result for outcome in engine.run([record(0), record(1, "Le chat est une bête.")])]
    engine.close()
    assert any(isinstance(result, Failure) for result in results)
    assert [result_from_json(result_to_json(result)) for result in results] == results


def test_a_record_that_says_anything_else_has_another_key() -> None:
    one = record(1)
    others = [
        replace(one, position=2),
        replace(one, id="r2"),
        replace(one, document=replace(one.document, text="The ship.")),
        replace(one, document=replace(one.document, language_code="en")),
        replace(one, document=replace(one.document, extraction=Extraction.MAIN_CONTENT)),
    ]
    assert len({key_of(each) for each in [one, *others]}) == 6
    assert key_of(replace(one, place=Place("b.jsonl", 1))) == key_of(one)


def test_outcomes_come_in_order_of_position_whatever_file_they_are_in(tmp_path: Path) -> None:
    records = [record(number) for number in range(10)]
    staged = stage(records, tmp_path / "input", block=3)
    assert (staged.count, len(staged.files)) == (10, 4)
    keep(tmp_path / "output", "b", [(records[number], "X") for number in (8, 1, 0)])
    keep(tmp_path / "output", "a", [(records[number], "Y") for number in (2, 3, 4, 9, 5, 6, 7)])
    expected = [(number, "X" if number in (0, 1, 8) else "Y") for number in range(10)]
    assert found(staged, tmp_path / "output") == expected


def test_what_a_killed_run_left_twice_or_for_other_records_is_passed_over(tmp_path: Path) -> None:
    records = [record(number) for number in range(4, 8)]
    staged = stage(records, tmp_path / "input", block=9)
    keep(tmp_path / "output", "earlier", [(record(number), "OLD") for number in range(4)])
    keep(tmp_path / "output", "changed", [(record(5, "Another text."), "OTHER")])
    keep(tmp_path / "output", "once", [(each, "X") for each in records])
    keep(tmp_path / "output", "twice", [(each, "X") for each in records])
    assert found(staged, tmp_path / "output") == [(number, "X") for number in range(4, 8)]


def test_a_record_without_an_outcome_is_an_error_that_names_it(tmp_path: Path) -> None:
    records = [record(number) for number in range(3)]
    staged = stage(records, tmp_path / "input", block=9)
    keep(tmp_path / "output", "a", [(records[0], "X"), (records[2], "X")])
    with pytest.raises(LostRecordError, match="record 1 was worked on"):
        found(staged, tmp_path / "output")
