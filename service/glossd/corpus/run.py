"""One run: records to an engine, its outcomes to shards, shards to the output. Skips what the journal has."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from glossd.corpus.engine import CorpusEngine
from glossd.corpus.numbering import fingerprint
from glossd.corpus.output import Output, Shard
from glossd.corpus.records import BadRecord, Failure, Outcome, Record, Row
from glossd.errors import GlossdError


@dataclass(slots=True)
class RunState:
    """How far a run is, written by its thread; a moment's view from any other."""

    read: int = 0
    read_characters: int = 0
    skipped: int = 0
    skipped_characters: int = 0
    done: int = 0
    done_characters: int = 0
    errors: int = 0
    output_tokens: int = 0
    shards: int = 0
    at_work: int = 0
    input_ended: bool = False

    def left_share(self, read_bytes: int, input_bytes: int) -> float | None:
        """The work that is left by the work that was done by this run, in characters; None while nobody can know."""
        if not self.done_characters:
            return None
        read_share = 1.0 if self.input_ended else min(1.0, read_bytes / input_bytes) if input_bytes else 0.0
        if not read_share:
            return None
        total = self.read_characters / read_share
        return max(0.0, total - self.skipped_characters - self.done_characters) / self.done_characters


@dataclass(slots=True)
class _OpenShard:
    """A shard that is being made: what was read of it, and the results that are there."""

    number: int
    start: int
    items: list[Record | BadRecord] = field(default_factory=list)
    results: dict[int, Row | Failure] = field(default_factory=dict)
    closed: bool = False
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def is_complete(self) -> bool:
        return self.closed and len(self.results) == len(self.items)

    def finished(self) -> Shard:
        return Shard(
            number=self.number,
            start=self.start,
            end=self.start + len(self.items),
            input_sha256=self.digest.hexdigest(),
            results=tuple((item, self.results[item.position]) for item in self.items),
        )


class CorpusRun:
    """Makes what the journal does not have yet. ``stop``, once set, lets it take no further shard."""

    def __init__(
        self,
        engine: CorpusEngine,
        output: Output,
        *,
        shard_records: int,
        stop: threading.Event,
        state: RunState | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._output = output
        self._shard_records = shard_records
        self._stop = stop
        self._clock = clock
        self._open: dict[int, _OpenShard] = {}
        self.state = state or RunState()

    def run(self, items: Iterable[Record | BadRecord]) -> bool:
        """Work until all is done (true) or ``stop`` was set (false); then every shard that was begun is safe.

        Raises ``GlossdError`` where the input is not the one that the journal tells of, and what the engine and the
        disk raise.
        """
        outcomes = self._engine.run(self._feed(items))
        try:
            for outcome in outcomes:
                self._take(outcome)
        finally:
            if isinstance(outcomes, Generator):
                outcomes.close()
        assert not self._open, "an engine gives an outcome for every record"
        return self.state.input_ended

    def _take(self, outcome: Outcome) -> None:
        shard = self._open[outcome.position // self._shard_records]
        item = shard.items[outcome.position - shard.start]
        assert isinstance(item, Record), "a bad record never reaches an engine"
        self.state.at_work -= 1
        self._put(shard, item, outcome.result)
        self._commit_if_complete(shard)

    def _feed(self, items: Iterable[Record | BadRecord]) -> Iterator[Record]:
        """The records that the engine is to work on, as it asks for them; a shard is begun as its first is read."""
        shard: _OpenShard | None = None
        for item in items:
            number = item.position // self._shard_records
            if shard is None or shard.number != number:
                self._close(shard)
                if self._stop.is_set() and number not in self._output.journal.shards:
                    return
                shard = self._begin(number)
            shard.items.append(item)
            shard.digest.update(fingerprint(item))
            self.state.read += 1
            self.state.read_characters += _length(item)
            if number in self._output.journal.shards:
                self.state.skipped += 1
                self.state.skipped_characters += _length(item)
                shard.items[-1] = BadRecord(item.position, "", item.place, Failure("", ""))  # its text is not needed
            elif isinstance(item, BadRecord):
                self._put(shard, item, item.failure)
            else:
                self.state.at_work += 1
                yield item
        self._close(shard)
        self._check_end()
        self.state.input_ended = True

    def _begin(self, number: int) -> _OpenShard:
        shard = _OpenShard(number, number * self._shard_records)
        if number not in self._output.journal.shards:
            self._open[number] = shard
        return shard

    def _close(self, shard: _OpenShard | None) -> None:
        """All of a shard has been read: check it against the journal, or see whether it is done already."""
        if shard is None:
            return
        shard.closed = True
        known = self._output.journal.shards.get(shard.number)
        if known is None:
            self._commit_if_complete(shard)
        elif known.input_sha256 != shard.digest.hexdigest() or known.end != shard.start + len(shard.items):
            raise GlossdError(
                f"the input is not the one that {self._output.paths.output} was begun with: records {known.start:,} to "
                f"{known.end - 1:,} are other ones; --start-over begins again"
            )

    def _check_end(self) -> None:
        ends = [shard.end for shard in self._output.journal.shards.values()]
        if max(ends, default=0) > self.state.read:
            raise GlossdError(
                f"the input is not the one that {self._output.paths.output} was begun with: it has {self.state.read:,} "
                f"records, and {max(ends):,} are done; --start-over begins again"
            )

    def _put(self, shard: _OpenShard, item: Record | BadRecord, result: Row | Failure) -> None:
        shard.results[item.position] = result
        self.state.done += 1
        self.state.done_characters += _length(item)
        if isinstance(result, Row):
            self.state.output_tokens += result.output_tokens
        else:
            self.state.errors += 1

    def _commit_if_complete(self, shard: _OpenShard) -> None:
        if shard.is_complete:
            self._output.commit(shard.finished(), at=self._clock())
            self._open.pop(shard.number, None)
            self.state.shards += 1


def _length(item: Record | BadRecord) -> int:
    return item.length if isinstance(item, Record) else 0
