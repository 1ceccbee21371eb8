"""Toys for corpus runs: an engine that answers out of order, and a disk that fails or ends the process when told."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO

from glossd.corpus.disk import Disk, Written
from glossd.corpus.records import Failure, Outcome, Record, Row, RowSegment, RowWarning
from glossd.types import FinishReason


def toy_row(record: Record) -> Row:
    """Shouts instead of translating."""
    text = record.document.text
    segment = RowSegment(text.upper(), 0, len(text), 0, len(text), -0.5, FinishReason.COMPLETE)
    return Row(
        id=record.id,
        language_code="en",
        language_confidence=0.99,
        title="",
        date="",
        summary=text.split()[0],
        translated_summary=text.split()[0].upper(),
        translated_body=text.upper(),
        summary_segments=(),
        translated_summary_segments=(),
        translated_body_segments=(segment,),
        warnings=(RowWarning("document", "low_language_confidence", "toy"),) if "doubt" in text else (),
        input_characters=len(text),
        input_tokens=len(text.split()),
        output_tokens=len(text.split()),
    )


class ToyEngine:
    """A ``CorpusEngine``: works on a few records at a time and answers in an order of its own.

    A text with "refuse" in it fails. ``before`` is called with the number of each outcome before it is given.
    """

    def __init__(self, *, window: int = 16, name: str = "toy", before: Callable[[int], None] = lambda _: None) -> None:
        self._window = window
        self._name = name
        self._before = before
        self.worked_on: list[str] = []
        self.closed = False

    def identity(self) -> Mapping[str, str]:
        return {"translation": self._name}

    def occupancy(self) -> float | None:
        return 0.5

    def close(self) -> None:
        self.closed = True

    def run(self, records: Iterable[Record]) -> Iterator[Outcome]:
        feed = iter(records)
        working = list(islice(feed, self._window))
        chance = random.Random(len(working))
        while working:
            record = working.pop(chance.randrange(len(working)))
            self._before(len(self.worked_on))
            self.worked_on.append(record.id)
            refused = "refuse" in record.document.text
            yield Outcome(record.position, Failure("TOY", "refused") if refused else toy_row(record))
            working += islice(feed, 1)


class FaultyDisk(Disk):
    """A disk whose operation number ``at`` does not go well: ``fault`` is ``before`` or ``half`` (the process ends
    before it, or in the middle of it) or ``full`` (there is no more room). ``operations`` counts them.
    """

    def __init__(self, fault: str = "", at: int = -1) -> None:
        self._fault = fault
        self._at = at
        self.operations = 0

    def write(self, path: Path, content: bytes) -> Written:
        if self._now() and self._fault != "before":
            path.write_bytes(content[: len(content) // 2])
        self._fail_here()
        return super().write(path, content)

    def append(self, file: IO[bytes], line: bytes) -> None:
        if self._now() and self._fault != "before":
            file.write(line[: len(line) // 2])
            file.flush()
        self._fail_here()
        super().append(file, line)

    def sync(self, path: Path) -> None:
        self._fail_here()
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._fail_here()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._fail_here()
        super().remove(path)

    def _now(self) -> bool:
        return self.operations == self._at and self._fault in ("before", "half", "full")

    def _fail_here(self) -> None:
        now = self._now()
        self.operations += 1
        if now and self._fault == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if now:
            kill_self()


def kill_self() -> None:
    """What kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        with suppress(IsADirectoryError):
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found
