"""Where a run writes: a directory of shards with a journal and a lock beside the output, and at the end the output.

For ``digests.jsonl`` that directory is ``digests.jsonl.parts``; what failed comes into ``digests.jsonl.errors.jsonl``.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from glossd.corpus.disk import Disk, Written, read_written, writing
from glossd.corpus.formats import OutputFormat, json_lines
from glossd.corpus.journal import Journal, ShardLine
from glossd.corpus.records import BadRecord, Failure, Record, Row
from glossd.corpus.tally import Tally
from glossd.errors import GlossdError

_NOTHING = Written(0, "")


@dataclass(frozen=True, slots=True)
class Shard:
    """All of the positions from ``start`` to before ``end``: what was read, in order, and what became of each."""

    number: int
    start: int
    end: int
    input_sha256: str
    results: tuple[tuple[Record | BadRecord, Row | Failure], ...]


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """Every file that a run writes, from the output's own path."""

    output: Path

    def _beside(self, suffix: str) -> Path:
        return self.output.with_name(self.output.name + suffix)

    @property
    def parts(self) -> Path:
        """The directory of shards and journal."""
        return self._beside(".parts")

    @property
    def errors(self) -> Path:
        """The records that failed."""
        return self._beside(".errors.jsonl")

    @property
    def report(self) -> Path:
        """The report as JSON."""
        return self._beside(".report.json")

    @property
    def picture(self) -> Path:
        """The report as a picture."""
        return self._beside(".report.png")

    def all(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.output, self.parts, self.errors, self.report, self.picture)


class Output:
    """The output of one run. One process at a time has it; ``close`` lets go of it."""

    def __init__(self, paths: OutputPaths, format_: OutputFormat, *, disk: Disk | None = None) -> None:
        self.paths = paths
        self._format = format_
        self._disk = disk or Disk()
        self._lock: IO[bytes] | None = None
        self.journal = Journal(paths.parts / "journal.jsonl", self._disk)

    def open(self, *, start_over: bool = False) -> None:
        """Lock the output and read its journal.

        Raises ``GlossdError`` where another process has it, where the journal is damaged, and for an output that no
        journal tells of, unless ``start_over`` asks to remove all that is there.
        """
        with writing(self.paths.parts):
            self.paths.parts.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            if start_over:
                self._remove_all()
        self.journal.read()
        if self.journal.header is None and self.paths.output.exists():
            raise GlossdError(f"{self.paths.output} is there, and no run's; --start-over replaces it")

    def begin(self, header: Mapping[str, object], *, at: float) -> tuple[int, ...]:
        """Start to write, or go on: returns the numbers of shards that the journal has but whose files are not as they
        were, which are to be made again.
        """
        lost = [shard.number for shard in self.journal.shards.values() if not self._is_whole(shard)]
        for number in lost:
            self.journal.forget(number)
        self.journal.begin(header, at=at)
        return tuple(sorted(lost))

    def commit(self, shard: Shard, *, at: float) -> None:
        """Make a shard safe: its files, then its line in the journal."""
        rows = [result for _, result in shard.results if isinstance(result, Row)]
        errors = [_error_line(item, result) for item, result in shard.results if isinstance(result, Failure)]
        with writing(self.paths.parts):
            output = self._disk.place(self._part(shard.number), self._format.encode(rows))
            errors_output = _NOTHING
            if errors:
                errors_output = self._disk.place(self._error_part(shard.number), json_lines(errors))
        line = ShardLine(
            number=shard.number,
            start=shard.start,
            end=shard.end,
            input_sha256=shard.input_sha256,
            output=output,
            errors_output=errors_output,
            rows=len(rows),
            errors=len(errors),
            at=at,
        )
        self.journal.add(line, Tally().count(result for _, result in shard.results))

    def is_finished(self) -> bool:
        """Whether an earlier run has done everything; what it did not come to remove is removed then.

        Raises ``GlossdError`` where its output is not there any more.
        """
        finished = self.journal.finished
        if finished is None:
            return False
        if read_written(self.paths.output) != Written(**finished["output"]):
            problem = "is not what the finished run wrote; --start-over makes it again"
            raise GlossdError(f"{self.paths.output} {problem}")
        self.remove_parts()
        return True

    def finish(self, facts: Mapping[str, object]) -> None:
        """Put all shards together as the output and the errors, write that into the journal, remove the shards."""
        with writing(self.paths.output):
            whole = self.paths.parts / "merged.tmp"
            self._format.merge(self._contents(errors=False), whole)
            output = read_written(whole)
            assert output is not None, "it has just been written"
            self._settle(whole, self.paths.output)
            self._finish_errors()
        self.journal.finish({**facts, "output": asdict(output)})
        self.remove_parts()

    def remove_parts(self) -> None:
        """Remove what only a run that is not finished needs."""
        with writing(self.paths.parts):
            for path in self.paths.parts.iterdir():
                if path.name not in ("journal.jsonl", "lock"):
                    self._disk.remove(path)

    def place(self, path: Path, content: bytes) -> None:
        """Write a small file beside the output, whole or not at all."""
        with writing(path):
            beside = self.paths.parts / "beside.tmp"
            self._disk.write(beside, content)
            self._settle(beside, path)

    def close(self) -> None:
        """Let go of the journal and the lock. Idempotent."""
        self.journal.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _finish_errors(self) -> None:
        if not any(shard.errors for shard in self.journal.shards.values()):
            self._disk.remove(self.paths.errors)
            return
        beside = self.paths.parts / "errors.tmp"
        with beside.open("wb") as file:
            for content in self._contents(errors=True):
                file.write(content)
        self._settle(beside, self.paths.errors)

    def _settle(self, beside: Path, path: Path) -> None:
        self._disk.settle(beside, path)
        self._disk.sync_directory(self.paths.parts)

    def _contents(self, *, errors: bool) -> Iterator[bytes]:
        """What every shard's file holds, in order. Raises ``GlossdError`` for one that is not as it was written."""
        for number in sorted(self.journal.shards):
            shard = self.journal.shards[number]
            path = self._error_part(number) if errors else self._part(number)
            if errors and not shard.errors:
                continue
            if read_written(path) != (shard.errors_output if errors else shard.output):
                raise GlossdError(f"{path} is not as it was written; run the same command again to make it anew")
            yield path.read_bytes()

    def _is_whole(self, shard: ShardLine) -> bool:
        if self.journal.finished is not None:
            return True  # its rows are in the output, its files may be gone
        errors = read_written(self._error_part(shard.number)) if shard.errors else _NOTHING
        return read_written(self._part(shard.number)) == shard.output and errors == shard.errors_output

    def _part(self, number: int) -> Path:
        return self.paths.parts / f"part-{number:08d}"

    def _error_part(self, number: int) -> Path:
        return self.paths.parts / f"part-{number:08d}.errors"

    def _take_lock(self) -> None:
        lock = (self.paths.parts / "lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read(20).decode("ascii", "replace").strip() or "unknown"
            lock.close()
            raise GlossdError(f"another run writes {self.paths.output} (process {owner}); wait for its end") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        lock.flush()
        self._lock = lock

    def _remove_all(self) -> None:
        """What an earlier run has left, the journal first, so that it never tells of what is gone."""
        self._disk.remove(self.paths.parts / "journal.jsonl")
        self.remove_parts()
        for path in (self.paths.output, self.paths.errors, self.paths.report, self.paths.picture):
            self._disk.remove(path)


def _error_line(item: Record | BadRecord, failure: Failure) -> dict[str, Any]:
    return {
        "id": item.id,
        "file": item.place.file,
        "line": item.place.line,
        "position": item.position,
        "reason": failure.reason,
        "message": failure.message,
    }
