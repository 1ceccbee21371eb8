"""The page of faults shows what the file holds, and the file holds every row that a run recorded."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.report import PAGE, table, write
from tests.faults.results import FILE, Effort, Results
from tests.faults.table import TABLE


def test_rows_of_several_tests_are_added_up_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "reliability.json"
    first = Results()
    first.record(7, tried=3, figure="three")
    first.record(1, tried=9)
    first.write(file)
    second = Results()
    second.record(7, tried=2, failed=1, figure="two")
    second.record(7, tried=5, figure="five")
    second.write(file)
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert [(row["id"], row["tried"], row["failed"], row["figure"]) for row in rows] == [
        (1, 9, 0, ""),
        (7, 7, 1, "two; five"),
    ]
    assert rows[1]["fault"] == TABLE[7].fault


def test_the_short_form_is_short_and_the_long_one_takes_the_minutes_it_is_given() -> None:
    assert (Effort().count(3, 1000), Effort().seconds(2.0, 0.5)) == (3, 2.0)
    assert (Effort(10).count(3, 1000), Effort(10).seconds(2.0, 0.5)) == (1000, 300.0)


def test_the_table_says_what_was_not_measured_and_keeps_the_page_around_it(tmp_path: Path) -> None:
    page, data = tmp_path / "page.md", tmp_path / "data.json"
    page.write_text("before <!-- table -->what was there<!-- end of table --> after", encoding="utf-8")
    row = {"id": 3, "fault": "", "tried": 1200, "failed": 0, "figure": "a | b"}
    data.write_text(json.dumps({"rows": [row]}), encoding="utf-8")
    write(page, data)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "what was there" not in text
    assert "| 1,200 | 0 | a \\| b |" in text
    assert text.count("not measured here") == len(TABLE) - 1


def test_the_page_shows_the_file_as_it_is() -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    assert table(rows) in PAGE.read_text(encoding="utf-8")
    assert [row["fault"] for row in rows] == [TABLE[row["id"]].fault for row in rows]
