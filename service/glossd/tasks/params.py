"""What a caller may set of decoding, checked and resolved against a model's own defaults and limits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

from glossd.errors import InvalidInputError
from glossd.tasks.served import ServedModel
from glossd.types import DecodeOptions, GenerationParams

_Number = TypeVar("_Number", int, float)

LARGEST_NEW_TOKENS = 4096
UNLIMITED_WINDOW = 1024
"""Most source tokens at once for models without a fixed window: attention's cost grows with the square of it."""
LARGEST_NGRAM = 16
REPAIR_NGRAM = 3
REPAIR_BEAMS = 4


def check_decode_options(options: DecodeOptions, model: ServedModel, *, field: str = "decode") -> None:
    """Raise ``InvalidInputError`` naming the option that is absurd or beyond the model."""
    limit = new_token_limit(model)
    _check_range(options.num_beams, 1, model.max_beams, f"{field}.num_beams")
    _check_range(options.max_new_tokens, 1, LARGEST_NEW_TOKENS, f"{field}.max_new_tokens")
    _check_range(options.min_new_tokens, 0, limit, f"{field}.min_new_tokens")
    _check_range(options.length_penalty, -5.0, 5.0, f"{field}.length_penalty")
    _check_range(options.no_repeat_ngram_size, 0, LARGEST_NGRAM, f"{field}.no_repeat_ngram_size")
    _check_range(options.repetition_penalty, 0.1, 10.0, f"{field}.repetition_penalty")
    most = options.max_new_tokens
    least = options.min_new_tokens
    if most is not None and least is not None and least > most:
        raise InvalidInputError(f"{field}.min_new_tokens", f"{least} is more than max_new_tokens {most}")


def _check_range(value: float | None, least: float, most: float, field: str) -> None:
    if value is not None and not (math.isfinite(value) and least <= value <= most):
        raise InvalidInputError(field, f"{value:g} is not in {least:g}..{most:g}")


def new_token_limit(model: ServedModel) -> int:
    """The most tokens one sequence of the model may get; one position is the start token's."""
    return model.info.max_target - 1 if model.info.max_target else LARGEST_NEW_TOKENS


def resolve_params(options: DecodeOptions, model: ServedModel, *, target: str) -> GenerationParams:
    """Decoding settings for one sequence: what the caller set, else the checkpoint's own."""
    defaults = model.info.defaults
    limit = new_token_limit(model)
    most = min(_chosen(options.max_new_tokens, defaults.max_new_tokens), limit)
    least = _chosen(options.min_new_tokens, min(defaults.min_new_tokens, most))
    forced = model.tokenizer.forced_bos_token_id(target)
    start = model.tokenizer.decoder_start_token_id(target)
    return GenerationParams(
        decoder_start_token_id=model.info.decoder_start_token_id if start is None else start,
        eos_token_ids=model.info.eos_token_ids,
        max_new_tokens=max(most, least),
        min_new_tokens=least,
        num_beams=_chosen(options.num_beams, min(defaults.num_beams, model.max_beams)),
        length_penalty=_chosen(options.length_penalty, defaults.length_penalty),
        early_stopping=defaults.early_stopping,
        no_repeat_ngram_size=_chosen(options.no_repeat_ngram_size, defaults.no_repeat_ngram_size),
        repetition_penalty=_chosen(options.repetition_penalty, defaults.repetition_penalty),
        forced_bos_token_id=defaults.forced_bos_token_id if forced is None else forced,
        forced_eos_token_id=defaults.forced_eos_token_id,
        suppressed=defaults.suppressed,
        bad_words=defaults.bad_words,
        renormalize=defaults.renormalize,
    )


def bound_by_source(params: GenerationParams, *, source_tokens: int) -> GenerationParams:
    """Bound a translation by three times its source, so that a loop ends early; its reason tells of a cut."""
    most = max(params.min_new_tokens, min(params.max_new_tokens, 16 + 3 * source_tokens))
    return replace(params, max_new_tokens=most)


def repair_params(
    params: GenerationParams, options: DecodeOptions, *, repeats: bool = True, most_beams: int = REPAIR_BEAMS
) -> GenerationParams | None:
    """Settings for a second try at a segment that failed its checks; None where the caller chose the settings.

    No n-gram twice where it ``repeats`` itself or nothing came; else more beams, or none where there are some already.
    """
    if options != DecodeOptions():
        return None
    if repeats:
        used = params.no_repeat_ngram_size == REPAIR_NGRAM
        return None if used else replace(params, no_repeat_ngram_size=REPAIR_NGRAM)
    beams = min(REPAIR_BEAMS, most_beams) if params.num_beams == 1 else 1
    return None if beams == params.num_beams else replace(params, num_beams=beams)


def _chosen(value: _Number | None, default: _Number) -> _Number:
    return default if value is None else value
