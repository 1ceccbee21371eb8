"""What a run counts for its report, shard by shard, so that counts of a run that was interrupted can be added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from glossd.corpus.records import Failure, Row

RATIO_STEP = 0.05


@dataclass(slots=True)
class Tally:
    """Counts over rows and failures. Keys of ``lengths`` are powers of two: 4096 for 4,096 to 8,191 characters of a
    source; keys of ``compression`` the lower end of a range of ``RATIO_STEP``: summary by source, in characters.
    """

    rows: int = 0
    errors: int = 0
    source_characters: int = 0
    summary_characters: int = 0
    translated_characters: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    compression: Counter[str] = field(default_factory=Counter)

    def count(self, results: Iterable[Row | Failure]) -> Tally:
        """Count these too; returns itself."""
        for result in results:
            if isinstance(result, Row):
                self._count_row(result)
            else:
                self.errors += 1
                self.reasons[result.reason] += 1
        return self

    def _count_row(self, row: Row) -> None:
        self.rows += 1
        self.source_characters += row.input_characters
        self.summary_characters += len(row.summary or "")
        self.translated_characters += len(row.translated_summary or "") + len(row.translated_body or "")
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.languages[row.language_code] += 1
        self.warnings.update({warning.code for warning in row.warnings})
        self.lengths[str(1 << (row.input_characters.bit_length() - 1))] += 1
        if row.summary is not None:
            ratio = min(1.0, len(row.summary) / row.input_characters)
            self.compression[f"{int(ratio / RATIO_STEP) * RATIO_STEP:.2f}"] += 1

    def add(self, other: Tally) -> None:
        """Take another's counts in."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def as_json(self) -> dict[str, object]:
        """For the journal and the report; counters with their largest first."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: dict(value.most_common()) if isinstance(value, Counter) else value for name, value in values.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """The inverse of :meth:`as_json`."""
        known: Any = {name: Counter(value) if isinstance(value, dict) else value for name, value in values.items()}
        return cls(**known)
