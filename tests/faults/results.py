"""What the fault tests tried and saw, one row for each line of the table, and the file that ``make soak`` writes.

``GLOSSD_SOAK=MINUTES`` in the environment asks for the long form: larger counts, timed parts that share these minutes,
and the file. Without it the tests are short and nothing is written.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

SOAK = "GLOSSD_SOAK"
FILE = Path(__file__).resolve().parents[2] / "docs" / "data" / "reliability.json"


@dataclass(slots=True)
class Row:
    """One line of the table: how many cases were tried, how many broke the promise, and what was measured."""

    id: int
    fault: str
    tried: int = 0
    failed: int = 0
    figure: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to try. ``minutes`` is 0 for the short form."""

    minutes: float = 0.0

    @property
    def long(self) -> bool:
        """Whether this is the long form."""
        return self.minutes > 0

    def count(self, short: int, long: int) -> int:
        """How many cases."""
        return long if self.long else short

    def seconds(self, short: float, share: float) -> float:
        """How long a timed part runs: ``short``, or its share of the long form's minutes."""
        return max(short, 60 * self.minutes * share)


@dataclass(slots=True)
class Results:
    """The rows of one run. Parts of a row that several tests try are added up."""

    rows: dict[int, Row] = field(default_factory=dict)

    def record(self, number: int, *, tried: int, failed: int = 0, figure: str = "") -> None:
        """Add what a test tried, before it asserts anything."""
        from tests.faults.table import TABLE

        row = self.rows.setdefault(number, Row(number, TABLE[number].fault))
        row.tried += tried
        row.failed += failed
        row.figure = "; ".join(part for part in (row.figure, figure) if part)

    def write(self, file: Path = FILE) -> None:
        """Replace the rows of this run in the file; the others stay."""
        known = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
        rows = {entry["id"]: entry for entry in known} | {number: asdict(row) for number, row in self.rows.items()}
        content = {"rows": [rows[number] for number in sorted(rows)]}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


EFFORT = Effort(float(os.environ.get(SOAK) or 0))
"""What the environment asks for."""
