"""A served model over CTranslate2, for a directory that its converter wrote. Imported only for such a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glossd.config import EngineSettings, ModelSettings
from glossd.engine.ct2 import Ct2Generator, open_translator
from glossd.engine.engine import EngineLimits
from glossd.errors import ModelFilesError
from glossd.models.converted import read_converted
from glossd.tasks.served import KnownModel, ServedModel


def load_converted(
    known: KnownModel,
    directory: Path,
    *,
    models: ModelSettings,
    engine: EngineSettings,
    most_beams: int,
    on_death: Callable[[BaseException], None],
) -> ServedModel:
    """Load it and start its thread. Raises what reading it and opening it raise."""
    limits = EngineLimits(**engine.model_dump())
    translator, workers = open_translator(directory, dtype=models.dtype, device=models.device, limits=limits)
    checkpoint = read_converted(directory, name=known.source)
    missing = [task.value for task in known.tasks if task.value not in checkpoint.tasks]
    if missing:
        able = " and ".join(checkpoint.tasks)
        raise ModelFilesError(f"{known.source} is a model for {able}, not for {' and '.join(missing)}")
    generator = Ct2Generator(
        translator,
        checkpoint.vocabulary,
        checkpoint.info,
        limits=limits,
        workers=workers,
        name=known.name,
        on_death=on_death,
    )
    return ServedModel(
        name=known.name,
        tasks=known.tasks,
        source_language_codes=checkpoint.tokenizer.source_language_codes,
        target_language_codes=checkpoint.tokenizer.target_language_codes,
        info=checkpoint.info,
        tokenizer=checkpoint.tokenizer,
        generator=generator,
        dtype=str(translator.compute_type),
        device=str(translator.device),
        max_beams=min(most_beams, engine.rows),
        alive=lambda: generator.alive,
        read=lambda: generator.reading(known.name),
    )
