"""A corpus job from end to end: what is asked for, whether an earlier run may be gone on with, the run, the report."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from glossd.corpus.disk import Disk
from glossd.corpus.engine import CorpusEngine
from glossd.corpus.entries import Entry, ReadSettings
from glossd.corpus.formats import choose_format
from glossd.corpus.numbering import SeenIds, Selection, number
from glossd.corpus.output import Output, OutputPaths
from glossd.corpus.picture import draw
from glossd.corpus.readers import read_corpus
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import BadRecord, Record
from glossd.corpus.report import Report, build_report
from glossd.corpus.run import CorpusRun, RunState
from glossd.corpus.sources import Corpus, FileKind, ReadCount, find_corpus
from glossd.corpus.survey import Survey, survey
from glossd.errors import GlossdError

SHARD_RECORDS = 128


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What is asked for. ``source`` is a path or ``-``; ``kind`` None goes by suffixes.

    ``models`` says which models were asked for; a run is not gone on with under another name of a model either.
    """

    source: str
    output: Path
    recipe: Recipe
    kind: FileKind | None = None
    reading: ReadSettings = field(default_factory=ReadSettings)
    selection: Selection = field(default_factory=Selection)
    shard_records: int = SHARD_RECORDS
    models: Mapping[str, str] = field(default_factory=dict)
    start_over: bool = False


class Job:
    """One job. A context manager: inside, nobody else writes the output."""

    def __init__(self, settings: JobSettings, *, disk: Disk | None = None) -> None:
        """Find the input. Raises ``InvalidInputError`` where it, or the output's suffix, is of no known kind."""
        settings.recipe.check()
        self._settings = settings
        paths = OutputPaths(settings.output)
        self.corpus: Corpus = find_corpus(settings.source, kind=settings.kind, exclude=paths.all())
        self._output = Output(paths, choose_format(settings.output, settings.recipe), disk=disk)
        self._header: dict[str, object] = {}
        self._read = ReadCount()
        self.state = RunState()
        self.lost_shards: tuple[int, ...] = ()

    def __enter__(self) -> Job:
        """Lock the output and compare with what the journal says. Raises ``GlossdError`` with the reason for a no."""
        try:
            self._output.open(start_over=self._settings.start_over)
            self._header = self._asked()
            self._compare(self._header)
        except BaseException:
            self._output.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.close()

    @property
    def paths(self) -> OutputPaths:
        """Where it writes."""
        return self._output.paths

    @property
    def finished(self) -> Mapping[str, Any] | None:
        """What the journal says of an earlier run that has done everything; None where there is still work."""
        return self._output.journal.finished if self._output.is_finished() else None

    @property
    def shards_done(self) -> int:
        """How many shards the journal has."""
        return len(self._output.journal.shards)

    def left_share(self) -> float | None:
        """See :meth:`glossd.corpus.run.RunState.left_share`."""
        return self.state.left_share(self._read.bytes, self.corpus.size())

    def survey(self) -> Survey:
        """Read the input once. Writes nothing; needs not be entered."""
        with SeenIds() as seen:
            return survey(number(self._entries(), self._settings.selection, seen))

    def run(
        self, engine: CorpusEngine, stop: threading.Event, *, clock: Callable[[], float] = time.time
    ) -> Report | None:
        """Do what is left to do. The report when all is done, None when ``stop`` came first.

        Raises ``GlossdError`` for a journal of another engine, a changed input or a disk that does not take more.
        """
        header = {**self._header, "engine": dict(engine.identity())}
        self._compare(header)
        self.lost_shards = self._output.begin(header, at=clock())
        run = CorpusRun(
            engine,
            self._output,
            shard_records=self._settings.shard_records,
            stop=stop,
            state=self.state,
            clock=clock,
        )
        with self._records() as records:
            if not run.run(records):
                return None
        report = build_report(header, self._output.journal)
        self._output.place(self.paths.report, report.as_bytes())
        picture = draw(report)
        if picture is not None:
            self._output.place(self.paths.picture, picture)
        self._output.finish({"rows": report.tally.rows, "errors": report.tally.errors})
        return report

    @contextmanager
    def _records(self) -> Iterator[Iterator[Record | BadRecord]]:
        with SeenIds(self.paths.parts / "ids.tmp") as seen:
            yield number(self._entries(), self._settings.selection, seen)

    def _entries(self) -> Iterator[Entry]:
        return read_corpus(self.corpus, self._settings.reading, self._read)

    def _asked(self) -> dict[str, object]:
        settings = self._settings
        found = self.corpus.fingerprint()
        values: dict[str, object] = {
            "input": asdict(found) if found else "standard input",
            "format": settings.kind.value if settings.kind else "by suffix",
            "output": settings.output.suffix,
            "recipe": settings.recipe.as_json(),
            "reading": asdict(settings.reading),
            "selection": asdict(settings.selection),
            "shard_records": settings.shard_records,
            "models": dict(settings.models),
        }
        plain: dict[str, object] = json.loads(json.dumps(values, default=_enum_value))
        return plain

    def _compare(self, header: Mapping[str, object]) -> None:
        """Raise ``GlossdError`` where the journal's header differs in what both have."""
        old = self._output.journal.header
        if old is None:
            return
        for name, value in header.items():
            if name in old and old[name] != value:
                raise GlossdError(
                    f"{self.paths.output} was begun with another {_difference(name, old[name], value)}; "
                    "--start-over begins again"
                )


def _difference(name: str, old: object, new: object) -> str:
    """The first setting in which two values differ, with both its values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            if old.get(key) != new.get(key):
                return _difference(f"{name}.{key}", old.get(key), new.get(key))
    return f"{name} ({_shown(old)}, now {_shown(new)})"


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else json.dumps(value)


def _enum_value(value: object) -> object:
    assert isinstance(value, Enum), f"{type(value).__name__} is no plain value"
    return value.value
