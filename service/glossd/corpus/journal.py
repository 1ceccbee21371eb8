"""The journal of a run: one JSON line when it begins, one for every shard that is safe, one when all is done.

A line is written and synced after what it tells of. A last line that is not whole was cut off by the end of a process
and tells of nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from glossd.corpus.disk import Disk, Written, writing
from glossd.corpus.tally import Tally
from glossd.errors import GlossdError

VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardLine:
    """A shard that is safe: positions from ``start`` to before ``end``, the digest of what was read there, its files.

    ``at`` is Unix time.
    """

    number: int
    start: int
    end: int
    input_sha256: str
    output: Written
    errors_output: Written
    rows: int
    errors: int
    at: float


class Journal:
    """One run's journal. Shards that were written twice count once, as they were last."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._file: IO[bytes] | None = None
        self.header: Mapping[str, Any] | None = None
        self.shards: dict[int, ShardLine] = {}
        self.finished: Mapping[str, Any] | None = None

    def read(self) -> None:
        """Take in what the file has, if there is one. Raises ``GlossdError`` for a damaged one."""
        if not self._path.exists():
            return
        for line in self._lines():
            match line.get("kind"):
                case "run" if line.get("version") == VERSION:
                    self.header = line
                case "shard":
                    shard = _shard_from(line)
                    self.shards[shard.number] = shard
                case "finished":
                    self.finished = line
                case "start":
                    pass
                case _:
                    raise self._damaged("a line of a kind that this version does not know")

    def begin(self, header: Mapping[str, object], *, at: float) -> None:
        """Open for writing, cut off what is not whole, write the header if there is none, and the time of a start."""
        with writing(self._path):
            self._file = self._path.open("ab")
            self._file.truncate(self._whole_bytes())
        if self.header is None:
            self.header = {"kind": "run", "version": VERSION, **header}
            self._append(self.header)
        self._append({"kind": "start", "at": at})

    def add(self, shard: ShardLine, tally: Tally) -> None:
        """A shard is safe."""
        self._append({"kind": "shard", **asdict(shard), "tally": tally.as_json()})
        self.shards[shard.number] = shard

    def forget(self, number: int) -> None:
        """A shard's files are not what its line says: it counts as not done."""
        del self.shards[number]

    def finish(self, facts: Mapping[str, object]) -> None:
        """All is done."""
        self.finished = {"kind": "finished", **facts}
        self._append(self.finished)

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def tallies(self) -> Iterator[tuple[float, float, Tally]]:
        """For every shard that counts, in the order they were done: the time its session started, its own time, its
        tally. Read from the file, which may be too long to keep.
        """
        started = 0.0
        for line in self._lines():
            if line["kind"] == "start":
                started = line["at"]
            elif line["kind"] == "shard" and self.shards.get(line["number"]) == _shard_from(line):
                yield started, line["at"], Tally.from_json(line["tally"])

    def _append(self, line: Mapping[str, object]) -> None:
        assert self._file is not None, "a journal is opened by begin"
        with writing(self._path):
            self._disk.append(self._file, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        """Every whole line; what is not whole can only be the last one."""
        left = self._whole_bytes()
        with self._path.open("rb") as file:
            while left > 0:
                content = file.readline()
                left -= len(content)
                try:
                    line = json.loads(content)
                except ValueError:
                    raise self._damaged("a line that is not JSON") from None
                if not isinstance(line, dict):
                    raise self._damaged("a line that is no object")
                yield line

    def _whole_bytes(self) -> int:
        """Up to the end of the last whole line."""
        content_bytes = self._path.stat().st_size
        with self._path.open("rb") as file:
            while content_bytes:
                size = min(content_bytes, 1 << 16)
                file.seek(content_bytes - size)
                end = file.read(size).rfind(b"\n")
                if end >= 0:
                    return content_bytes - size + end + 1
                content_bytes -= size
        return 0

    def _damaged(self, problem: str) -> GlossdError:
        return GlossdError(f"{self._path} is damaged ({problem}); --start-over begins again")


def _shard_from(line: Mapping[str, Any]) -> ShardLine:
    values = {name: line[name] for name in ShardLine.__dataclass_fields__}
    values["output"] = Written(**line["output"])
    values["errors_output"] = Written(**line["errors_output"])
    return ShardLine(**values)
