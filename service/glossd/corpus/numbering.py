"""From entries to records: which of them a run takes, their positions, and ids that come a second time."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glossd.corpus.entries import Entry
from glossd.corpus.records import BadRecord, Failure, Record
from glossd.errors import GlossdError

DUPLICATE_ID = "DUPLICATE_ID"
_OPENING = (
    "PRAGMA journal_mode=OFF",  # the file is made anew by every run
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-8192",  # kibibytes
    "CREATE TABLE seen (id BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID",
    "BEGIN",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a run takes: a ``sample`` (a share in 0..1, the same ones each time), then at most ``limit``."""

    limit: int | None = None
    sample: float = 1.0

    def takes(self, index: int) -> bool:
        """Whether the entry number ``index`` of the input is in the sample."""
        if self.sample >= 1.0:
            return True
        digest = hashlib.blake2b(index.to_bytes(8, "big"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample * 2**64


class SeenIds:
    """Which ids a run has met, in a file, so that memory does not grow with the corpus. A context manager.

    ``path`` None keeps them in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        if path is not None:
            path.unlink(missing_ok=True)
        with self._writing():
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
            for statement in _OPENING:
                self._database.execute(statement)

    def first(self, id_: str, place: str) -> str | None:
        """Where the id was met before; None, and it is kept, where it was not. Raises ``GlossdError`` for the disk."""
        key = hashlib.blake2b(id_.encode(), digest_size=16).digest()
        with self._writing():
            if self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, place)).rowcount:
                return None
            found = self._database.execute("SELECT place FROM seen WHERE id = ?", (key,)).fetchone()
        return str(found[0])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise GlossdError(f"cannot write {self._path}: {error}") from error

    def __enter__(self) -> SeenIds:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def number(entries: Iterable[Entry], selection: Selection, seen: SeenIds) -> Iterator[Record | BadRecord]:
    """The entries that the selection takes, numbered from 0."""
    position = 0
    for index, entry in enumerate(entries):
        if selection.limit is not None and position >= selection.limit:
            return
        if selection.takes(index):
            yield _numbered(entry, position, seen)
            position += 1


def _numbered(entry: Entry, position: int, seen: SeenIds) -> Record | BadRecord:
    if isinstance(entry.content, Failure):
        return BadRecord(position, entry.id, entry.place, entry.content)
    first = seen.first(entry.id, f"{entry.place.file}, line {entry.place.line:,}")
    if first is not None:
        return BadRecord(position, entry.id, entry.place, Failure(DUPLICATE_ID, f"the id of {first}, again"))
    return Record(position, entry.id, entry.content, entry.place)


def fingerprint(item: Record | BadRecord) -> bytes:
    """Bytes that differ where what was read differs."""
    if isinstance(item, BadRecord):
        return f"\0bad\0{item.id}\0{item.failure.reason}\0{item.failure.message}\n".encode()
    document = item.document
    about = f"{item.id}\0{document.mime_type.value}\0{document.language_code}\0{document.extraction.value}\0"
    return f"{about}{len(document.text)}\0{document.text}\n".encode()
