"""What a Ray run keeps on disk: the records as Parquet to read, outcomes as Parquet to find again. Not Ray itself.

Outcomes travel as JSON beside the key of their record, which is made of all that the record says: a record that has
changed has another key, so an outcome is never taken for that of another text.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glossd.corpus.records import Failure, Outcome, Place, Record, Row, RowSegment, RowWarning
from glossd.errors import GlossdError
from glossd.types import DocumentInput, Extraction, FinishReason, MimeType

if TYPE_CHECKING:
    import pyarrow

KEY, POSITION, OUTCOME = "key", "position", "outcome"
_SEGMENTS = ("summary_segments", "translated_summary_segments", "translated_body_segments")
_BLOCK_CHARACTERS = 16_000_000


class LostRecordError(GlossdError):
    """A run ended well by Ray's account, and a record has no outcome."""

    reason = "RECORD_LOST"


@dataclass(frozen=True, slots=True)
class Staged:
    """Records on disk: the files, in order of position, and how many records they hold."""

    files: tuple[Path, ...]
    count: int


def stage(records: Iterable[Record], directory: Path, *, block: int) -> Staged:
    """Write records to files of ``block`` each, which are what Ray reads, retries and checkpoints."""
    import pyarrow.parquet

    directory.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    count = 0
    for chunk in _chunks(records, block):
        files.append(directory / f"{len(files):08d}.parquet")
        pyarrow.parquet.write_table(to_table(chunk), files[-1])
        count += len(chunk)
    return Staged(tuple(files), count)


def to_table(records: Sequence[Record]) -> pyarrow.Table:
    """One row for each record."""
    import pyarrow

    return pyarrow.table(
        {
            KEY: [key_of(record) for record in records],
            POSITION: [record.position for record in records],
            "id": [record.id for record in records],
            "text": [record.document.text for record in records],
            "mime_type": [record.document.mime_type.value for record in records],
            "language_code": [record.document.language_code or "" for record in records],
            "extraction": [record.document.extraction.value for record in records],
            "file": [record.place.file for record in records],
            "line": [record.place.line for record in records],
        }
    )


def from_table(table: pyarrow.Table) -> list[Record]:
    """The inverse of ``to_table``."""
    return [
        Record(
            position=row[POSITION],
            id=row["id"],
            document=DocumentInput(
                row["text"], MimeType(row["mime_type"]), row["language_code"] or None, Extraction(row["extraction"])
            ),
            place=Place(row["file"], row["line"]),
        )
        for row in table.to_pylist()
    ]


def key_of(record: Record) -> str:
    """What a record is known by from run to run."""
    said = json.dumps([record.position, record.id, asdict(record.document)], default=lambda value: value.value)
    return f"{record.position}-{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def outcomes_of(staged: Staged, output: Path) -> Iterator[Outcome]:
    """The outcome of every staged record, in order of position, from all outcomes there are; others are passed over.

    Raises ``LostRecordError`` for a record that has none. Memory holds a few files at a time.
    """
    import pyarrow.parquet

    found = _in_order(sorted(output.glob("*.parquet")))
    position, key, said = -1, "", ""
    for file in staged.files:
        table = pyarrow.parquet.read_table(file, columns=[KEY, POSITION])
        for wanted in table.to_pylist():
            while position < wanted[POSITION] or (position == wanted[POSITION] and key != wanted[KEY]):
                position, key, said = next(found, (1 << 62, "", ""))
            if position != wanted[POSITION]:
                raise LostRecordError(f"record {wanted[POSITION]:,} was worked on and has no outcome in {output}")
            yield Outcome(position, result_from_json(said))


def _in_order(files: Sequence[Path]) -> Iterator[tuple[int, str, str]]:
    """The rows of all files by position. The files' ranges hardly overlap, so few are open at once."""
    import pyarrow.parquet

    first = {}
    for file in files:
        positions = pyarrow.parquet.read_table(file, columns=[POSITION])[POSITION].to_pylist()
        if positions:
            first[file] = min(positions)
    heap: list[tuple[int, str, str]] = []
    for file in sorted(first, key=lambda each: first[each]):
        while heap and heap[0][0] < first[file]:
            yield heapq.heappop(heap)
        for row in pyarrow.parquet.read_table(file, columns=[POSITION, KEY, OUTCOME]).to_pylist():
            heapq.heappush(heap, (row[POSITION], row[KEY], row[OUTCOME]))
    while heap:
        yield heapq.heappop(heap)


def result_to_json(result: Row | Failure) -> str:
    """A row or a failure as one line."""
    return json.dumps(asdict(result), ensure_ascii=True, default=lambda value: value.value)


def result_from_json(said: str) -> Row | Failure:
    """The inverse of ``result_to_json``."""
    value: dict[str, Any] = json.loads(said)
    if "reason" in value:
        return Failure(**value)
    segments = {name: tuple(_segment(each) for each in value[name]) for name in _SEGMENTS}
    return Row(**(value | segments | {"warnings": tuple(RowWarning(**each) for each in value["warnings"])}))


def _segment(value: Mapping[str, Any]) -> RowSegment:
    return RowSegment(**{**value, "finish_reason": FinishReason(value["finish_reason"])})


def _chunks(records: Iterable[Record], block: int) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    characters = 0
    for record in records:
        chunk.append(record)
        characters += record.length
        if len(chunk) >= block or characters >= _BLOCK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
