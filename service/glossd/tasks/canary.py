"""A test sentence that every model answers when it is loaded, so that a damaged one is refused and never served."""

from __future__ import annotations

import asyncio
import math

from glossd.errors import ModelFaultError, ModelFilesError, ModelMemoryError, ModelOutputError
from glossd.languages import get_language
from glossd.tasks.params import bound_by_source, resolve_params
from glossd.tasks.served import ModelTask, ServedModel
from glossd.types import DecodeOptions, Generation, GenerationRequest

_SENTENCES = {
    "en": "The new library in the city opened its doors on Monday.",
    "zh-Hans": "城里的新图书馆星期一开门了。",
    "de": "Die neue Bibliothek der Stadt wurde am Montag eröffnet.",
    "fr": "La nouvelle bibliothèque de la ville a ouvert ses portes lundi.",
    "es": "La nueva biblioteca de la ciudad abrió sus puertas el lunes.",
}
_SAME_TOKEN_SHARE = 0.8
_WIDE_SCRIPTS = frozenset({"Hans", "Hant"})


async def check_canary(model: ServedModel) -> str:
    """What the model makes of the test sentence. Raises ``ModelFilesError`` if that is nothing or noise."""
    source = next((code for code in _SENTENCES if code in model.source_language_codes), "en")
    targets = [code for code in model.target_language_codes if code != source]
    target = source if ModelTask.SUMMARIZATION in model.tasks or not targets else targets[0]
    try:
        generation, text = await _answer(model, source, target)
    except (ModelOutputError, ModelFaultError, ModelMemoryError) as error:
        raise ModelFilesError(f"model {model.name} fails on its test sentence: {error}; it is not served") from error
    problem = _problem(generation, text, model, target)
    if problem:
        raise ModelFilesError(f"model {model.name} answers its test sentence with {problem}; it is not served")
    return text


async def _answer(model: ServedModel, source: str, target: str) -> tuple[Generation, str]:
    ids = await asyncio.to_thread(
        model.tokenizer.encode, _SENTENCES.get(source, _SENTENCES["en"]), source_language=source, target_language=target
    )
    params = bound_by_source(resolve_params(DecodeOptions(), model, target=target), source_tokens=len(ids))
    future = model.generator.submit(GenerationRequest(ids, params))
    generation = await asyncio.wrap_future(future)
    return generation, await asyncio.to_thread(model.tokenizer.decode, generation.token_ids)


def _problem(generation: Generation, text: str, model: ServedModel, target: str) -> str:
    if not math.isfinite(generation.score):
        return f"a score of {generation.score}"
    if not any(character.isalpha() for character in text):
        return f"{text[:40]!r}, which has no letter"
    tokens = generation.token_ids
    most = max(tokens.count(token) for token in set(tokens))
    if len(tokens) >= 8 and most > _SAME_TOKEN_SHARE * len(tokens):
        return f"one token {most} times"
    translates = ModelTask.TRANSLATION in model.tasks
    if translates and get_language(target, field="target").script in _WIDE_SCRIPTS and not _has_han(text):
        return f"{text[:40]!r}, which has no Chinese character"
    return ""


def _has_han(text: str) -> bool:
    return any("\u4e00" <= character <= "\u9fff" for character in text)
