"""Formats of the output: rows of a shard to bytes, and shards to one file. Which one is told by a suffix."""

from __future__ import annotations

import gzip
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from glossd.corpus.parquet import load_pyarrow, merge_tables, row_schema, table_bytes
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Row, RowSegment
from glossd.errors import InvalidInputError

TEXTS = ("summary", "translated_summary", "translated_body")


class OutputFormat(ABC):
    """How rows lie in a file. The same rows give the same bytes."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._texts = tuple(name for name in TEXTS if getattr(recipe, name))

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> bytes:
        """A shard's rows."""

    @abstractmethod
    def merge(self, shards: Iterator[bytes], path: Path) -> None:
        """Write the rows of all shards, in order, to ``path``."""

    def fields(self, row: Row) -> dict[str, object]:
        """A row as it is written: what the recipe asks for, in a fixed order."""
        values: dict[str, object] = {
            "id": row.id,
            "language": row.language_code,
            "language_confidence": row.language_confidence,
            "title": row.title,
            "date": row.date,
        }
        values |= {name: getattr(row, name) for name in self._texts}
        if self._recipe.segments:
            values |= {
                f"{name}_segments": [_segment(each) for each in getattr(row, f"{name}_segments")]
                for name in self._texts
            }
        values["warnings"] = [
            {"about": each.about, "code": each.code, "message": each.message} for each in row.warnings
        ]
        values |= {name: getattr(row, name) for name in ("input_characters", "input_tokens", "output_tokens")}
        return values


def _segment(segment: RowSegment) -> dict[str, object]:
    return {
        "text": segment.text,
        "source_start": segment.source_start,
        "source_end": segment.source_end,
        "target_start": segment.target_start,
        "target_end": segment.target_end,
        "score": segment.score,
        "finish_reason": segment.finish_reason.value,
    }


class Jsonl(OutputFormat):
    """One JSON object a line, UTF-8."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """See :class:`OutputFormat`."""
        return json_lines(self.fields(row) for row in rows)

    def merge(self, shards: Iterator[bytes], path: Path) -> None:
        """See :class:`OutputFormat`."""
        with path.open("wb") as file:
            for shard in shards:
                file.write(shard)


class CompressedJsonl(Jsonl):
    """The same through gzip: a member for each shard."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        """See :class:`OutputFormat`."""
        return gzip.compress(super().encode(rows), compresslevel=6, mtime=0)


class Parquet(OutputFormat):
    """Typed columns, compressed with zstd."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        load_pyarrow()

    def encode(self, rows: Sequence[Row]) -> bytes:
        """See :class:`OutputFormat`."""
        return table_bytes([self.fields(row) for row in rows], self._schema())

    def merge(self, shards: Iterator[bytes], path: Path) -> None:
        """See :class:`OutputFormat`."""
        merge_tables(shards, path, self._schema())

    def _schema(self) -> object:
        return row_schema(texts=self._texts, segments=self._recipe.segments)


FORMATS: dict[str, type[OutputFormat]] = {
    ".jsonl": Jsonl,
    ".ndjson": Jsonl,
    ".jsonl.gz": CompressedJsonl,
    ".parquet": Parquet,
}


def choose_format(path: Path, recipe: Recipe) -> OutputFormat:
    """The format that a path's suffix asks for. Raises ``InvalidInputError`` where none does."""
    for suffix, format_ in FORMATS.items():
        if path.name.lower().endswith(suffix) and path.name.lower() != suffix:
            return format_(recipe)
    raise InvalidInputError("--out", f"{path}: its suffix is none of {', '.join(FORMATS)}")


def json_lines(objects: Iterable[dict[str, object]]) -> bytes:
    """Objects as JSON, one a line."""
    lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in objects)
    return "".join(lines).encode("utf-8", errors="replace")
