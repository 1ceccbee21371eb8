"""The engine of one process: the tasks layer over models loaded here, many documents at once so that batches stay full.

The event loop runs inside of :meth:`LocalEngine.run`, in the caller's thread, whenever an outcome is waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from glossd import __version__
from glossd.config import Settings
from glossd.corpus.engine import Window, longest_first
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Outcome, Record
from glossd.corpus.rows import failure_of, row_of
from glossd.digests import DigestResult
from glossd.errors import UnsupportedLanguageError
from glossd.models.hub import locate
from glossd.tasks.api import Services, build_services
from glossd.tasks.loading import known_models
from glossd.tasks.result import empty_text, total_usage
from glossd.tasks.served import ModelTask
from glossd.tasks.summarize import SummarySettings, check_summary_options
from glossd.tasks.translate import TranslationSettings

FEWEST_AT_WORK = 64
MOST_AT_WORK = 1024
MOST_CHARACTERS = 4_000_000
CHARACTERS_A_ROW = 2_000  # a dozen sentences waiting for every row that is at work
TEXT_THREADS = 2
_UNBOUNDED_QUEUE_TOKENS = 1 << 40  # what is at work is bounded here; a full queue would make rows depend on luck


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """How much a local engine works on at once.

    ``documents`` 0 takes as many as the batches have rows, within limits: a document without its body has a few
    segments, and a full batch needs others waiting. ``characters`` 0 takes enough for several full batches where
    bodies are translated; it bounds memory where documents are long.
    """

    documents: int = 0
    characters: int = 0
    window: Window = field(default_factory=Window)


class LocalEngine:
    """A :class:`glossd.corpus.engine.CorpusEngine` over services of this process, which it starts and closes."""

    def __init__(
        self,
        services: Services,
        recipe: Recipe,
        *,
        digests: Mapping[str, str] | None = None,
        limits: LocalLimits | None = None,
    ) -> None:
        """Load the models that the recipe needs. ``digests`` are those of the models' files, by name."""
        recipe.check()
        check_summary_options(recipe.summary_options)
        self._services = services
        self._recipe = recipe
        self._digests = digests or {}
        self._limits = limits or LocalLimits()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(TEXT_THREADS, thread_name_prefix="glossd-text"))
        try:
            self._loop.run_until_complete(services.start(*_needed(recipe)))
            self._check_target()
        except BaseException:
            self.close()
            raise

    def identity(self) -> Mapping[str, str]:
        """See :class:`glossd.corpus.engine.CorpusEngine`."""
        found = {"glossd": __version__}
        for model in self._services.hub.served():
            if set(model.tasks) & set(_needed(self._recipe)):
                parts = (model.name, model.dtype, model.device.partition(":")[0], self._digests.get(model.name, ""))
                found[",".join(task.value for task in model.tasks)] = " ".join(part for part in parts if part)
        return found

    def occupancy(self) -> float | None:
        """See :class:`glossd.corpus.engine.CorpusEngine`."""
        readings = self._services.hub.readings()
        rows = sum(reading.rows for reading in readings)
        return sum(reading.rows_in_use for reading in readings) / rows if rows else None

    def run(self, records: Iterable[Record]) -> Iterator[Outcome]:
        """See :class:`glossd.corpus.engine.CorpusEngine`."""
        feed = longest_first(records, self._limits.window)
        most, most_characters = self._fitting()
        done: asyncio.Queue[asyncio.Task[Outcome]] = asyncio.Queue()
        working: dict[asyncio.Task[Outcome], int] = {}
        exhausted = False
        try:
            while True:
                while not exhausted and len(working) < most and sum(working.values()) < most_characters:
                    record = next(feed, None)
                    exhausted = record is None
                    if record is not None:
                        task = self._loop.create_task(self._outcome(record), name="record")
                        task.add_done_callback(done.put_nowait)
                        working[task] = record.length
                if not working:
                    return
                finished = self._loop.run_until_complete(done.get())
                del working[finished]
                yield finished.result()
        finally:
            self._cancel(working)

    def close(self) -> None:
        """Stop the models after what is queued. Idempotent."""
        if self._loop.is_closed():
            return
        try:
            self._loop.run_until_complete(self._services.close())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _check_target(self) -> None:
        """Refuse at once what would fail for every record."""
        target = self._recipe.target_language_code
        targets = {code for model in self._services.hub.served() for code in model.target_language_codes}
        if self._recipe.translates and target not in targets:
            known = ", ".join(sorted(targets))
            raise UnsupportedLanguageError("--to", f"no model translates to {target}; those here know {known}")

    def _fitting(self) -> tuple[int, int]:
        """Documents and characters to have at work."""
        rows = sum(reading.rows for reading in self._services.hub.readings())
        documents = self._limits.documents or min(max(rows, FEWEST_AT_WORK), MOST_AT_WORK)
        bodies = max(rows, FEWEST_AT_WORK) * CHARACTERS_A_ROW
        return documents, self._limits.characters or (bodies if self._recipe.translated_body else MOST_CHARACTERS)

    def _cancel(self, working: Iterable[asyncio.Task[Outcome]]) -> None:
        left = list(working)
        for task in left:
            task.cancel()
        if left:
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(asyncio.wait(left))

    async def _outcome(self, record: Record) -> Outcome:
        try:
            digest = await self._digest(record)
            return Outcome(record.position, row_of(record, digest, self._recipe))
        except Exception as error:
            return Outcome(record.position, failure_of(error))

    async def _digest(self, record: Record) -> DigestResult:
        if self._recipe.translated_summary:
            return await self._services.digester.digest(self._recipe.task(record))
        return await self._parts(record)

    async def _parts(self, record: Record) -> DigestResult:
        """A digest without a translated summary: its other texts, each only where it is asked for."""
        task, services = self._recipe.task(record), self._services
        reading = await services.reader.read(record.document)
        nothing = empty_text(task.target_language_code)
        summary = body = nothing
        if self._recipe.summary:
            how = SummarySettings(task.summary, task.summary_model, task.decode, task.options)
            summary = await services.summarizer.summarize_reading(reading, how)
        if self._recipe.translated_body:
            to = TranslationSettings(task.target_language_code, task.translation_model, task.decode, task.options)
            body = await services.translator.translate_reading(reading, to)
        return DigestResult(
            source_language=reading.language,
            title=reading.document.title,
            date=reading.document.date,
            summary=summary,
            translated_summary=nothing,
            translated_body=body,
            warnings=reading.warnings,
            usage=total_usage(text.usage for text in (summary, body)),
        )


def build_local_engine(settings: Settings, recipe: Recipe, *, limits: LocalLimits | None = None) -> LocalEngine:
    """An engine over the models that the settings name. Raises what is wrong with them."""
    engine = settings.engine.model_copy(update={"queue_tokens": _UNBOUNDED_QUEUE_TOKENS})
    services = build_services(settings.model_copy(update={"engine": engine}))
    return LocalEngine(services, recipe, digests=digests_of(settings, recipe), limits=limits)


def digests_of(settings: Settings, recipe: Recipe) -> dict[str, str]:
    """SHA-256 of the files of every model that the recipe needs, by the model's name."""
    models = settings.models
    needed = [known for known in known_models(models) if set(known.tasks) & set(_needed(recipe))]
    return {
        known.name: checkpoint_digest(locate(known.source, cache_dir=models.cache_dir, offline=models.offline))
        for known in needed
    }


def checkpoint_digest(directory: Path) -> str:
    """SHA-256 over names and contents of a checkpoint's files, hidden ones and those of sub-directories left out."""
    total = hashlib.sha256()
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name.startswith(".") or not path.is_file():
            continue
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _needed(recipe: Recipe) -> tuple[ModelTask, ...]:
    needed = [ModelTask.TRANSLATION] if recipe.translates else []
    return (*needed, ModelTask.SUMMARIZATION) if recipe.summary or recipe.translated_summary else tuple(needed)
