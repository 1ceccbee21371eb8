"""Writes the table of ``docs/reliability.md`` from what was recorded: ``python -m tests.faults.report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faults.results import FILE
from tests.faults.table import TABLE

PAGE = FILE.parents[1] / "reliability.md"
START, END = "<!-- table -->", "<!-- end of table -->"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows that were measured, in order."""
    known = {row["id"]: row for row in rows}
    lines = ["| # | tried | promised | cases | broken | seen |", "|---:|---|---|---:|---:|---|"]
    for number, fault in TABLE.items():
        row = known.get(number)
        if row is None:
            lines.append(f"| {number} | {fault.fault} | {fault.promise} | – | – | not measured here |")
        else:
            figure = row["figure"].replace("|", "\\|")
            cells = (str(number), fault.fault, fault.promise, f"{row['tried']:,}", f"{row['failed']:,}", figure)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(page: Path = PAGE, data: Path = FILE) -> None:
    """Puts the table between its marks."""
    rows = json.loads(data.read_text(encoding="utf-8"))["rows"]
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{table(rows)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write()
