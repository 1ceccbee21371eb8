"""The hub of models: which are known, which are loaded, which one serves a task. Unloads with a drain.

All state belongs to the event loop that calls it; loading and closing run in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from glossd.errors import (
    EngineDeadError,
    GlossdError,
    InvalidInputError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelNotLoadedError,
    UnsupportedLanguageError,
)
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from glossd.telemetry.metrics import EngineReading
from glossd.types import LanguagePair, ModelDescription, ModelState

_log = logging.getLogger(__name__)

_DEAD = "its engine has died"

Loader = Callable[[KnownModel], Awaitable[ServedModel]]


@dataclass(slots=True)
class _Entry:
    """One known model and where it is in its life."""

    known: KnownModel
    state: ModelState = ModelState.KNOWN
    served: ServedModel | None = None
    detail: str = ""
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    loading: asyncio.Task[None] | None = None

    def describe(self) -> ModelDescription:
        if self.served is None:
            tasks = tuple(task.value for task in self.known.tasks)
            return ModelDescription(self.known.name, self.state, "", tasks, (), (), 0, 0, "", "", self.detail)
        if self.state is ModelState.READY and not self.served.alive():
            return self.served.describe(ModelState.FAILED, self.served.condition() or _DEAD)
        return self.served.describe(self.state, self.detail)


class Hub:
    """Names to models. ``load`` turns a known model into a served one, or raises what is wrong with it."""

    def __init__(self, known: Iterable[KnownModel], load: Loader) -> None:
        self._entries = {model.name: _Entry(model) for model in known}
        self._load = load

    def add(self, served: ServedModel) -> None:
        """Serve a model that is loaded already."""
        known = KnownModel(served.name, served.name, served.tasks)
        self._entries[served.name] = _Entry(known, ModelState.READY, served)

    def descriptions(self) -> tuple[ModelDescription, ...]:
        """Every known model, in the order of the settings."""
        return tuple(entry.describe() for entry in list(self._entries.values()))

    def describe(self, name: str) -> ModelDescription:
        """One model; ``ModelNotFoundError`` where none has that name."""
        return self._entry(name).describe()

    def served(self) -> tuple[ServedModel, ...]:
        """The models that are ready, in the order of the settings."""
        ready = (entry.served for entry in list(self._entries.values()) if entry.state is ModelState.READY)
        return tuple(model for model in ready if model is not None)

    def readings(self) -> tuple[EngineReading, ...]:
        """The counters of every ready model's engine, for metrics. From any thread."""
        return tuple(model.read() for model in self.served() if model.read is not None)

    def readiness(self) -> tuple[tuple[str, bool], ...]:
        """Every known model by name, and whether it is ready and well. From any thread."""
        return tuple((model.name, model.state is ModelState.READY) for model in self.descriptions())

    def language_pairs(self) -> tuple[LanguagePair, ...]:
        """Every direction that a ready model translates, with the models that do, the default first."""
        models: dict[tuple[str, str], list[str]] = {}
        for served in self.served():
            for source in served.source_language_codes:
                for target in served.target_language_codes:
                    if served.translates(source, target):
                        models.setdefault((source, target), []).append(served.name)
        return tuple(LanguagePair(source, target, tuple(names)) for (source, target), names in models.items())

    async def load_all(self, needed: Sequence[ModelTask] = tuple(ModelTask)) -> None:
        """Load every known model that does one of the tasks. Raises the first failure, after all have been tried."""
        names = [name for name, entry in self._entries.items() if set(entry.known.tasks) & set(needed)]
        outcomes = await asyncio.gather(*(self.load(name) for name in names), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def load(self, name: str) -> ModelDescription:
        """Load a known model, or wait for the load under way. Raises what is wrong with its files."""
        entry = self._entry(name)
        if entry.state is ModelState.DRAINING:
            raise ModelNotLoadedError(f"model {name} is being unloaded; load it again when that is done")
        if entry.loading is None and entry.state is not ModelState.READY:
            entry.state, entry.detail = ModelState.LOADING, ""
            entry.loading = asyncio.create_task(self._load_entry(entry), name=f"load {name}")
        if entry.loading is not None:
            await asyncio.shield(entry.loading)
        return entry.describe()

    async def _load_entry(self, entry: _Entry) -> None:
        try:
            entry.served = await self._load(entry.known)
            entry.state = ModelState.READY
            _log.info("model ready", extra={"model": entry.known.name, "dtype": entry.served.dtype})
        except Exception as error:
            entry.state = ModelState.FAILED
            entry.detail = str(error) if isinstance(error, GlossdError) else type(error).__name__
            raise
        finally:
            entry.loading = None

    async def unload(self, name: str) -> ModelDescription:
        """Take a model out of service: no new work, wait for what is in flight, then free it.

        Does nothing when it is not loaded.
        """
        entry = self._entry(name)
        if entry.loading is not None:
            raise ModelLoadingError(f"model {name} is being loaded")
        if entry.served is not None:
            entry.state = ModelState.DRAINING
            if entry.users:
                entry.idle.clear()
                await entry.idle.wait()
            await self._close_entry(entry)
        return entry.describe()

    async def close(self) -> None:
        """Stop every generator after what is queued. Idempotent."""
        loading = [entry.loading for entry in self._entries.values() if entry.loading is not None]
        await asyncio.gather(*loading, return_exceptions=True)
        await asyncio.gather(*(self._close_entry(entry) for entry in self._entries.values()))

    async def _close_entry(self, entry: _Entry) -> None:
        served, entry.served = entry.served, None
        entry.state, entry.detail = ModelState.KNOWN, ""
        if served is not None:
            await asyncio.to_thread(served.generator.close)

    @contextmanager
    def lease(self, task: ModelTask, *, source: str, target: str, name: str = "") -> Iterator[ServedModel]:
        """The model for a task, kept from being unloaded while inside.

        Codes are those of the language table; for a summary both are the document's. ``name`` "" picks the
        first ready model that serves the pair. Raises ``ModelNotFoundError``, ``ModelNotLoadedError``,
        ``ModelLoadingError``, ``EngineDeadError``, ``UnsupportedLanguageError`` or ``InvalidInputError``.
        """
        entry = self._named(task, source, target, name) if name else self._default(task, source, target)
        served = entry.served
        assert served is not None, "a ready entry has a model"
        if not served.alive():
            raise EngineDeadError(f"model {served.name} takes no work: {served.condition() or _DEAD}")
        entry.users += 1
        try:
            yield served
        finally:
            entry.users -= 1
            if entry.users == 0:
                entry.idle.set()

    def can(self, task: ModelTask, language: str) -> bool:
        """Whether a ready model does ``task`` on texts of ``language``."""
        return any(task in model.tasks and language in model.source_language_codes for model in self.served())

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise ModelNotFoundError(f"no model {name[:80]!r}; known are {', '.join(self._entries) or 'none'}")
        return entry

    def _named(self, task: ModelTask, source: str, target: str, name: str) -> _Entry:
        entry = self._entry(name)
        if entry.state is ModelState.LOADING:
            raise ModelLoadingError(f"model {name} is being loaded")
        if entry.state is not ModelState.READY or entry.served is None:
            detail = f": {entry.detail}" if entry.detail else ""
            raise ModelNotLoadedError(f"model {name} is {entry.state.value}, not ready{detail}")
        if task not in entry.served.tasks:
            tasks = ", ".join(each.value for each in entry.served.tasks)
            raise InvalidInputError("model", f"{name} does {tasks}, not {task.value}")
        _check_languages([entry.served], task, source, target)
        return entry

    def _default(self, task: ModelTask, source: str, target: str) -> _Entry:
        entries = [entry for entry in self._entries.values() if task in entry.known.tasks]
        ready = [entry for entry in entries if entry.state is ModelState.READY]
        for entry in ready:
            if entry.served is not None and _serves(entry.served, task, source, target):
                return entry
        if any(entry.state is ModelState.LOADING for entry in entries):
            raise ModelLoadingError(f"a {task.value} model is being loaded")
        if not ready:
            states = ", ".join(f"{entry.known.name} is {entry.state.value}" for entry in entries)
            raise ModelNotLoadedError(f"no {task.value} model is ready ({states or 'none is known'})")
        _check_languages([entry.served for entry in ready if entry.served is not None], task, source, target)
        raise UnsupportedLanguageError("target_language_code", f"no model translates {source} to {target}")


def _serves(model: ServedModel, task: ModelTask, source: str, target: str) -> bool:
    return model.translates(source, target) if task is ModelTask.TRANSLATION else model.summarizes(source)


def _check_languages(models: Sequence[ServedModel], task: ModelTask, source: str, target: str) -> None:
    """Raise for the language that none of ``models`` covers."""
    names = ", ".join(model.name for model in models)
    sources = _codes(model.source_language_codes for model in models)
    if source not in sources:
        problem = f"{source} is not a source language of {names}; those are {', '.join(sources)}"
        raise UnsupportedLanguageError("document.language_code", problem)
    if task is ModelTask.TRANSLATION:
        targets = _codes(model.target_language_codes for model in models)
        if target not in targets:
            problem = f"{target} is not a target language of {names}; those are {', '.join(targets)}"
            raise UnsupportedLanguageError("target_language_code", problem)


def _codes(groups: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for group in groups for code in group))
