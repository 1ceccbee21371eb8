"""From files to entries, one reader for each kind of file. What cannot be read is an entry too, and reading goes on."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from glossd.corpus.entries import (
    BAD_RECORD,
    UNREADABLE,
    Entry,
    ReadSettings,
    bad_utf8,
    record_entry,
    text_entry,
    too_long,
)
from glossd.corpus.parquet import ParquetSource
from glossd.corpus.records import Failure, Place
from glossd.corpus.sources import Corpus, FileKind, ReadCount, SourceFile, open_source
from glossd.errors import InvalidInputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SKIPPED_AT_A_TIME = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end. ``size`` is in bytes; the content of a line over the limit is empty."""

    number: int
    content: bytes
    size: int


@dataclass(slots=True)
class Progress:
    """The line that a reader has come to, for telling where a file went wrong."""

    line: int = 0


def read_corpus(corpus: Corpus, settings: ReadSettings, count: ReadCount) -> Iterator[Entry]:
    """Every entry of every file, in order. ``count`` is added to as bytes are read.

    Raises ``InvalidInputError`` where a file can have no entries at all: a table without the field of the text, a
    library that is missing.
    """
    for file in corpus.files:
        progress = Progress()
        try:
            yield from _READERS[file.kind](file, settings, count, progress)
        except (OSError, EOFError, zlib.error) as error:
            where = f" after line {progress.line:,}" if progress.line else ""
            problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
            yield Entry(Place(file.name, progress.line), "", Failure(UNREADABLE, f"{problem}{where}"))


def read_lines(stream: IO[bytes], limit: int, progress: Progress) -> Iterator[Line]:
    """Lines with their ends, without a byte order mark. Of a line longer than ``limit`` bytes nothing is kept."""
    while content := stream.readline(limit + 2):
        progress.line += 1
        if progress.line == 1:
            content = content.removeprefix(BYTE_ORDER_MARK)
        size = len(content)
        if len(content.rstrip(b"\r\n")) > limit:
            while not content.endswith(b"\n") and (content := stream.readline(_SKIPPED_AT_A_TIME)):
                size += len(content)
            content = b""
        yield Line(progress.line, content, size)


def _read_text(file: SourceFile, settings: ReadSettings, count: ReadCount, progress: Progress) -> Iterator[Entry]:
    place = Place(file.name, 0)
    with open_source(file, count) as stream:
        content = stream.read(settings.largest_bytes + 1)
        size = len(content)
        if size > settings.largest_bytes:
            while more := stream.read(_SKIPPED_AT_A_TIME):
                size += len(more)
            yield too_long(place, size, settings)
            return
    try:
        yield text_entry(content.decode("utf-8-sig"), place, file.mime_type, settings)
    except UnicodeDecodeError as error:
        yield bad_utf8(place, error)


def _read_jsonl(file: SourceFile, settings: ReadSettings, count: ReadCount, progress: Progress) -> Iterator[Entry]:
    with open_source(file, count) as stream:
        for line in read_lines(stream, settings.largest_bytes, progress):
            place = Place(file.name, line.number)
            if not line.content and line.size:
                yield too_long(place, line.size, settings)
            elif line.content.strip():
                yield _json_entry(line.content, place, settings)


def _json_entry(content: bytes, place: Place, settings: ReadSettings) -> Entry:
    try:
        values = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return bad_utf8(place, error)
    except json.JSONDecodeError as error:
        return Entry(place, "", Failure(BAD_RECORD, f"not JSON: {error.msg} at character {error.pos:,}"))
    except (ValueError, RecursionError) as error:
        return Entry(place, "", Failure(BAD_RECORD, f"not JSON that can be read: {type(error).__name__}"))
    if not isinstance(values, dict):
        return Entry(place, "", Failure(BAD_RECORD, "not a JSON object"))
    return record_entry(values, place, settings)


class _TextLines:
    """Lines for the ``csv`` module. Raises for a line that is no text, and goes on with the next when asked again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if not line.content and line.size:
            raise _TooLongError(line.size)
        return line.content.decode("utf-8")


class _TooLongError(Exception):
    """A line over the limit; ``size`` in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _read_table(file: SourceFile, settings: ReadSettings, count: ReadCount, progress: Progress) -> Iterator[Entry]:
    csv.field_size_limit(settings.largest_bytes)  # the module has one limit for all readers
    delimiter = "\t" if file.kind is FileKind.TSV else ","
    with open_source(file, count) as stream:
        lines = _TextLines(read_lines(stream, settings.largest_bytes, progress))
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        header = _header(file, rows, settings)
        while True:
            place = Place(file.name, progress.line + 1)
            try:
                values = next(rows, None)
                if values is None:
                    return
                if values:
                    yield _row_entry(header, values, place, settings)
            except UnicodeDecodeError as error:
                yield bad_utf8(place, error)
            except _TooLongError as error:
                yield too_long(place, error.size, settings)
            except csv.Error as error:
                yield Entry(place, "", Failure(BAD_RECORD, f"not a row: {error}"))


def _header(file: SourceFile, rows: Iterator[list[str]], settings: ReadSettings) -> list[str]:
    """The names of the columns. Raises ``InvalidInputError`` where those that are needed are not among them."""
    try:
        header = next(rows, [])
    except (UnicodeDecodeError, _TooLongError, csv.Error) as error:
        raise InvalidInputError("document", f"{file.name}: its first line is no header of a table") from error
    check_columns(file, header, settings)
    return header


def check_columns(file: SourceFile, names: list[str], settings: ReadSettings) -> None:
    """Raise ``InvalidInputError`` where a field that the caller named is no column of a table."""
    fields = settings.fields
    for name in (fields.text, fields.id, fields.title, fields.language, fields.mime_type):
        if name and name not in names:
            known = ", ".join(names[:20]) or "none"
            raise InvalidInputError("document", f"{file.name}: no column {name!r}; its columns are {known}")


def _row_entry(header: list[str], values: list[str], place: Place, settings: ReadSettings) -> Entry:
    if len(values) != len(header):
        message = f"{len(values):,} fields; the header has {len(header):,}"
        return Entry(place, "", Failure(BAD_RECORD, message))
    return record_entry(dict(zip(header, values, strict=True)), place, settings)


def _read_parquet(file: SourceFile, settings: ReadSettings, count: ReadCount, progress: Progress) -> Iterator[Entry]:
    assert file.path is not None, "standard input is never Parquet"
    with ParquetSource(file.path) as table:
        check_columns(file, table.names, settings)
        for values in table.rows(settings.fields.names(), count):
            progress.line += 1
            yield record_entry(values, Place(file.name, progress.line), settings)


_Reader = Callable[[SourceFile, ReadSettings, ReadCount, Progress], Iterator[Entry]]
_READERS: Mapping[FileKind, _Reader] = {
    FileKind.TEXT: _read_text,
    FileKind.JSONL: _read_jsonl,
    FileKind.CSV: _read_table,
    FileKind.TSV: _read_table,
    FileKind.PARQUET: _read_parquet,
}
