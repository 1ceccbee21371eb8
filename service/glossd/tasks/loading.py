"""From settings to known models, and from a known model to a served one: checkpoint, engine, canary."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from glossd.config import EngineSettings, ModelSettings
from glossd.errors import InvalidInputError, ModelFilesError
from glossd.models.converted import is_converted
from glossd.models.hub import EMBEDDED, locate
from glossd.tasks.canary import check_canary
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from glossd.telemetry.metrics import EngineReading

if TYPE_CHECKING:
    from glossd.engine.pool import EnginePool
    from glossd.models.loading import Checkpoint

EMBEDDED_NAME = "glossd-en-zh"
MOST_BEAMS = 16

_log = logging.getLogger(__name__)

OnDeath = Callable[[str, BaseException], None]


def known_models(settings: ModelSettings) -> tuple[KnownModel, ...]:
    """The models that the settings name, translation first; one that is named for both tasks is one model."""
    named = [(entry, ModelTask.TRANSLATION) for entry in settings.translation or (EMBEDDED,)]
    named += [(entry, ModelTask.SUMMARIZATION) for entry in settings.summarization]
    known: dict[str, KnownModel] = {}
    for entry, task in named:
        name, source = _name_and_source(entry)
        other = known.get(name)
        if other is None:
            known[name] = KnownModel(name, source, (task,))
        elif other.source == source:
            known[name] = KnownModel(name, source, tuple(dict.fromkeys((*other.tasks, task))))
        else:
            problem = f"{name!r} stands for {other.source!r} and for {source!r}; write NAME=SOURCE for one"
            raise InvalidInputError(f"models.{task.value}", problem)
    return tuple(known.values())


def _name_and_source(entry: str) -> tuple[str, str]:
    name, separator, source = entry.partition("=")
    if separator and name and source:
        return name, source
    if entry == EMBEDDED:
        return EMBEDDED_NAME, EMBEDDED
    directory = Path(entry)
    return (directory.resolve().name if directory.is_dir() else entry), entry


class CheckpointLoader:
    """Loads checkpoints and starts an engine for each. ``on_death`` is told, in the engine's thread, of its end."""

    def __init__(self, models: ModelSettings, engine: EngineSettings, *, on_death: OnDeath | None = None) -> None:
        self._models = models
        self._engine = engine
        self._on_death = on_death

    async def __call__(self, known: KnownModel) -> ServedModel:
        """Load ``known``. Raises ``ModelFilesError`` for files that must not be served."""
        start = time.monotonic()
        served = await asyncio.to_thread(self._load, known)
        if self._models.canary:
            try:
                await check_canary(served)
            except BaseException:
                await asyncio.to_thread(served.generator.close)
                raise
        seconds = round(time.monotonic() - start, 3)
        _log.info("model loaded", extra={"model": known.name, "source": known.source, "seconds": seconds})
        return served

    def _load(self, known: KnownModel) -> ServedModel:
        directory = locate(known.source, cache_dir=self._models.cache_dir, offline=self._models.offline)
        if not is_converted(directory):
            return self._load_original(known)
        from glossd.tasks.converted import load_converted  # only where it is used

        return load_converted(
            known,
            directory,
            models=self._models,
            engine=self._engine,
            most_beams=MOST_BEAMS,
            on_death=self._death_of(known.name),
        )

    def _load_original(self, known: KnownModel) -> ServedModel:
        import torch  # loads with the first model, not with the package

        from glossd.engine.engine import EngineLimits
        from glossd.engine.pool import EnginePool
        from glossd.models.loading import load_checkpoint

        checkpoint = load_checkpoint(known.source, settings=self._models)
        _check_tasks(known, checkpoint)
        limits = EngineLimits(**self._engine.model_dump())
        engine = EnginePool(
            checkpoint.model,
            limits=limits,
            name=known.name,
            device=torch.device(checkpoint.facts.device),
            on_death=self._death_of(known.name),
        )
        return ServedModel(
            name=known.name,
            tasks=known.tasks,
            source_language_codes=checkpoint.facts.source_language_codes,
            target_language_codes=checkpoint.facts.target_language_codes,
            info=checkpoint.model.info,
            tokenizer=checkpoint.tokenizer,
            generator=engine,
            dtype=checkpoint.facts.dtype,
            device=checkpoint.facts.device,
            max_beams=min(MOST_BEAMS, self._engine.rows),
            alive=lambda: engine.alive,
            condition=lambda: engine.condition,
            read=lambda: reading_of(known.name, engine),
            aligner=engine if engine.aligns else None,
        )

    def _death_of(self, name: str) -> Callable[[BaseException], None]:
        def tell(error: BaseException) -> None:
            _log.error("engine lost", extra={"model": name, "error": type(error).__name__})
            if self._on_death is not None:
                self._on_death(name, error)

        return tell


def reading_of(name: str, engine: EnginePool) -> EngineReading:
    """What the metrics show of a model's engines now."""
    statistics = engine.statistics()
    counters = statistics.counters
    padded = counters.padded_source_tokens
    return EngineReading(
        model=name,
        alive=engine.alive,
        beat_age_seconds=max(0, time.monotonic_ns() - statistics.beat_ns) / 1e9,
        restarts=engine.restarts,
        queued_segments=statistics.waiting,
        queued_tokens=statistics.waiting_tokens,
        rows_in_use=statistics.live_rows,
        rows=statistics.rows,
        row_limit=statistics.row_limit,
        cache_bytes=statistics.cache_bytes,
        source_tokens=counters.source_tokens,
        padded_source_tokens=padded,
        target_tokens=counters.output_tokens,
        encoder_runs=counters.encoder_runs,
        decode_steps=counters.steps,
        row_steps=counters.row_steps,
        encode_seconds=counters.encode_ns / 1e9,
        decode_seconds=counters.decode_ns / 1e9,
        cached_segments=statistics.cached + statistics.shared,
        cancelled_segments=statistics.cancelled,
        expired_segments=statistics.expired,
        expired_unstarted_segments=statistics.expired_unstarted,
        failed_model_calls=statistics.failed_calls,
        memory_failures=statistics.memory_failures,
        padding_share=1 - counters.source_tokens / padded if padded else 0.0,
    )


def _check_tasks(known: KnownModel, checkpoint: Checkpoint) -> None:
    missing = [task.value for task in known.tasks if task.value not in checkpoint.facts.tasks]
    if missing and checkpoint.facts.tasks:
        able = " and ".join(checkpoint.facts.tasks)
        raise ModelFilesError(f"{known.source} is a model for {able}, not for {' and '.join(missing)}")
