"""From the parameters of segments to the rules of the rows that they stand on. No scores, no search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

import torch
from torch import Tensor

from glossd.decoding.rules import (
    BannedSequence,
    BannedTokens,
    ForcedToken,
    LogitRule,
    MinNewTokens,
    NoRepeatNgram,
    OnceAtMost,
    Renormalize,
    RepetitionPenalty,
    Rows,
)
from glossd.transfer import send
from glossd.types import GenerationParams

Make = Callable[[Rows, Sequence[int]], Sequence[LogitRule]]
_Found = tuple[Hashable, Make] | tuple[Hashable, Make, int]


@dataclass(frozen=True, slots=True)
class Part:
    """What one segment asks of one rule. Parts of equal ``order`` and ``key`` are one rule, made by ``make`` of their
    rows and of one ``value`` a row; the lower order runs first.
    """

    order: int
    key: Hashable
    make: Make
    value: int = 0


def parts_of(params: GenerationParams, device: torch.device) -> tuple[Part, ...]:
    """What a segment with these parameters asks for."""
    collectors = (_repetition, _ngrams, _bad_words, _once, _minimum, _first, _last, _suppressed, _normal)
    return tuple(
        Part(order, *found)
        for order, collect in enumerate(collectors)
        if (found := collect(params, device)) is not None
    )


def assemble(segments: Iterable[tuple[Sequence[Part], Sequence[int]]], *, device: torch.device) -> list[LogitRule]:
    """The rules of segments, of each its parts and its rows, in the order in which they must run.

    Rows that ask for the same thing share one rule, so the number of rules does not grow with the rows.
    """
    numbers: dict[tuple[int, Hashable], list[int]] = defaultdict(list)
    values: dict[tuple[int, Hashable], list[int]] = defaultdict(list)
    make: dict[tuple[int, Hashable], Make] = {}
    for parts, rows in segments:
        for part in parts:
            key = part.order, part.key
            numbers[key] += rows
            values[key] += [part.value] * len(rows)
            make[key] = part.make
    indices: dict[tuple[int, ...], Tensor] = {}
    rules: list[LogitRule] = []
    for key in sorted(make, key=itemgetter(0)):
        those = tuple(numbers[key])
        if those not in indices:
            indices[those] = send(those, device=device)
        rules += make[key](Rows(those, indices[those]), values[key])
    return rules


@lru_cache(maxsize=256)
def _sent(tokens: tuple[int, ...], device: torch.device) -> Tensor:
    """Tokens that many segments name, once on the device."""
    return send(tokens, device=device)


def _repetition(params: GenerationParams, device: torch.device) -> _Found | None:
    penalty, start, beamed = params.repetition_penalty, params.decoder_start_token_id, params.num_beams > 1
    if penalty == 1.0:
        return None
    return (penalty, start, beamed), lambda rows, _: [RepetitionPenalty(rows.index, penalty, start, beamed)]


def _ngrams(params: GenerationParams, device: torch.device) -> _Found | None:
    size = params.no_repeat_ngram_size
    return None if size == 0 else (size, lambda rows, _: [NoRepeatNgram(rows.index, size)])


def _bad_words(params: GenerationParams, device: torch.device) -> _Found | None:
    """A lone end token is no bad word, as in ``transformers``."""
    if not params.bad_words:
        return None
    words = [word for word in params.bad_words if word not in {(end,) for end in params.eos_token_ids}]
    single = tuple(sorted({word[0] for word in words if len(word) == 1}))
    longer = [word for word in words if len(word) > 1]
    if not words:
        return None

    def build(rows: Rows, _: Sequence[int]) -> list[LogitRule]:
        rules: list[LogitRule] = [BannedSequence(rows.index, _sent(word[:-1], device), word[-1]) for word in longer]
        return [BannedTokens(rows.index, single, _sent(single, device)), *rules] if single else rules

    return (params.bad_words, params.eos_token_ids), build


def _once(params: GenerationParams, device: torch.device) -> _Found | None:
    tokens = params.once
    return (tokens, lambda rows, _: [OnceAtMost(rows.index, _sent(tokens, device))]) if tokens else None


def _minimum(params: GenerationParams, device: torch.device) -> _Found | None:
    least, ends = params.min_new_tokens, params.eos_token_ids
    if least <= 0:
        return None
    return (least, ends), lambda rows, _: [MinNewTokens(rows, least, _sent(ends, device))]


def _first(params: GenerationParams, device: torch.device) -> _Found | None:
    return _forced(params.forced_bos_token_id, 1, params)


def _last(params: GenerationParams, device: torch.device) -> _Found | None:
    return _forced(params.forced_eos_token_id, params.max_new_tokens, params)


def _forced(token: int | None, length: int, params: GenerationParams) -> _Found | None:
    if token is None:
        return None
    beamed = params.num_beams > 1
    return (token, beamed), lambda rows, lengths: [ForcedToken(rows, lengths, token, beamed)], length


def _suppressed(params: GenerationParams, device: torch.device) -> _Found | None:
    tokens = tuple(sorted(params.suppressed))
    return (tokens, lambda rows, _: [BannedTokens(rows.index, tokens, _sent(tokens, device))]) if tokens else None


def _normal(params: GenerationParams, device: torch.device) -> _Found | None:
    return (True, lambda rows, _: [Renormalize(rows.index)]) if params.renormalize else None
