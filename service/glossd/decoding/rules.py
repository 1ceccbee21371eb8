"""Rules that change scores before a token is chosen, each for the rows that asked for it. No model, no search.

Every rule means what the ``transformers`` logits processor of that purpose means, and runs in the same order,
over rows of different age: ``history`` (R, T) int64 holds each row's tokens so far, start token first, and
``lengths`` (R,) int64 says how many of them count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from glossd.transfer import send
from glossd.types import GenerationParams

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Context:
    """What rules may look at: tokens so far (R, T), how many count (R,), on the same device as the scores.

    ``ages`` are the lengths as the host knows them, so that no rule has to ask the device.
    """

    history: Tensor
    lengths: Tensor
    ages: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that asked for a rule: their ``numbers``, and the same as an ``index`` (N,) on the scores' device."""

    numbers: tuple[int, ...]
    index: Tensor


class LogitRule(Protocol):
    """Changes ``scores`` (R, V) float32 in place.

    ``shift_free`` says that the rule does the same to scores that a constant per row was added to.
    """

    shift_free: ClassVar[bool]

    def apply(self, scores: Tensor, context: Context) -> None:
        """Apply to the rows this rule was made for."""
        ...


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Divide positive and multiply negative scores of tokens that a row already holds (Keskar et al. 2019).

    ``start`` is the rows' start token, which may stand behind the last token that can follow.
    """

    rows: Tensor
    penalty: float
    start: int
    shift_free: ClassVar[bool] = False

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        tokens, lengths = context.history[self.rows], context.lengths[self.rows, None]
        if self.start >= scores.shape[1]:
            tokens, lengths = tokens[:, 1:], lengths - 1
        counted = torch.arange(tokens.shape[1], device=tokens.device) < lengths
        tokens = torch.where(counted, tokens, tokens[:, :1]).clamp(max=scores.shape[1] - 1)
        before = scores[self.rows].gather(1, tokens)
        after = torch.where(before < 0, before * self.penalty, before / self.penalty)
        scores[self.rows[:, None], tokens] = torch.where(lengths > 0, after, before)


@dataclass(frozen=True, slots=True)
class NoRepeatNgram:
    """Never complete an n-gram that the row already holds."""

    rows: Tensor
    size: int
    shift_free: ClassVar[bool] = True

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        history, lengths = context.history[self.rows], context.lengths[self.rows]
        if history.shape[1] < self.size:
            return
        windows = history.unfold(1, self.size, 1)
        steps = torch.arange(self.size - 1, device=history.device)
        starts = (lengths - self.size + 1).clamp(min=0)
        prefix = history.gather(1, starts[:, None] + steps) if self.size > 1 else history[:, :0]
        ends = torch.arange(windows.shape[1], device=history.device) + self.size
        counted = (ends <= lengths[:, None]) & (lengths[:, None] >= self.size)
        matched = (windows[..., :-1] == prefix[:, None]).all(-1) & counted
        _forbid(scores, self.rows[:, None], windows[..., -1], matched)


@dataclass(frozen=True, slots=True)
class BannedTokens:
    """Single tokens that are never chosen: ``numbers`` in rising order, and the same as a tensor (N,)."""

    rows: Tensor
    numbers: Sequence[int]
    tokens: Tensor
    shift_free: ClassVar[bool] = True

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        count = bisect_left(self.numbers, scores.shape[1])
        scores[self.rows[:, None], self.tokens[:count]] = _NEVER


@dataclass(frozen=True, slots=True)
class OnceAtMost:
    """Tokens that are never chosen a second time, such as placeholders for spans that are put back afterwards."""

    rows: Tensor
    tokens: Tensor
    shift_free: ClassVar[bool] = True

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        history = context.history[self.rows]
        counted = torch.arange(history.shape[1], device=history.device) < context.lengths[self.rows, None]
        seen = ((history[:, :, None] == self.tokens) & counted[:, :, None]).any(1)
        _forbid(scores, self.rows[:, None], self.tokens, seen)


@dataclass(frozen=True, slots=True)
class BannedSequence:
    """A sequence of two or more tokens that is never completed."""

    rows: Tensor
    prefix: Tensor
    last: int
    shift_free: ClassVar[bool] = True

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        size = self.prefix.shape[0]
        lengths = context.lengths[self.rows]
        steps = torch.arange(size, device=lengths.device)
        tail = context.history[self.rows].gather(1, (lengths[:, None] - size).clamp(min=0) + steps)
        matched = (tail == self.prefix).all(1) & (lengths >= size)
        _forbid(scores, self.rows, torch.full_like(self.rows, self.last), matched)


@dataclass(frozen=True, slots=True)
class MinNewTokens:
    """No end token before ``minimum`` new tokens."""

    rows: Rows
    minimum: int
    ends: Tensor
    shift_free: ClassVar[bool] = True

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        young = _those(self.rows, [context.ages[row] - 1 < self.minimum for row in self.rows.numbers])
        if young is not None:
            scores[young[:, None], self.ends] = _NEVER


@dataclass(frozen=True, slots=True)
class ForcedToken:
    """At ``length`` tokens so far (the start token counts) only ``token`` can follow."""

    rows: Rows
    length: int
    token: int
    shift_free: ClassVar[bool] = False

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        due = _those(self.rows, [context.ages[row] == self.length for row in self.rows.numbers])
        if due is not None:
            scores[due] = _NEVER
            scores[due, self.token] = 0.0


@dataclass(frozen=True, slots=True)
class Renormalize:
    """Make the rows' probabilities sum to one again after the other rules."""

    rows: Tensor
    shift_free: ClassVar[bool] = False

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        scores[self.rows] = scores[self.rows].log_softmax(-1)


def _those(rows: Rows, wanted: Sequence[bool]) -> Tensor | None:
    """The index of the rows that are wanted; None for none of them."""
    if all(wanted):
        return rows.index
    numbers = [row for row, is_wanted in zip(rows.numbers, wanted, strict=True) if is_wanted]
    return send(numbers, device=rows.index.device) if numbers else None


def _forbid(scores: Tensor, rows: Tensor, tokens: Tensor, when: Tensor) -> None:
    """``scores[rows, tokens]`` become minus infinity ``when`` that is true; the three broadcast to one shape.

    Something is added to each of them, so that nobody has to ask the device how many there are. A token that no
    score stands for is left alone.
    """
    vocabulary = scores.shape[1]
    places = rows * vocabulary + tokens.clamp(max=vocabulary - 1)
    change = torch.where(when & (tokens < vocabulary), _NEVER, 0.0)
    scores.view(-1).scatter_add_(0, places.expand_as(change).flatten(), change.flatten())


def build_rules(params: Sequence[GenerationParams], *, device: torch.device) -> list[LogitRule]:
    """The rules of the live rows, one ``params`` a row, in the order in which they must run.

    Rows that ask for the same thing share one rule, so the number of rules does not grow with the rows.
    """
    alike: dict[GenerationParams, list[int]] = defaultdict(list)
    for row, asked in enumerate(params):
        alike[asked].append(row)
    rules: list[LogitRule] = []
    for collect in (_repetition, _ngrams, _bad_words, _once, _minimum, _first, _last, _suppressed, _normal):
        groups: dict[object, list[int]] = defaultdict(list)
        wanted: dict[object, Callable[[Rows], list[LogitRule]]] = {}
        for asked, numbers in alike.items():
            found = collect(asked, device)
            if found is not None:
                key, wanted[key] = found
                groups[key] += numbers
        for key, rows in groups.items():
            rules.extend(wanted[key](Rows(tuple(rows), send(rows, device=device))))
    return rules


_Found = tuple[object, Callable[[Rows], list[LogitRule]]] | None


def _repetition(params: GenerationParams, device: torch.device) -> _Found:
    penalty = params.repetition_penalty
    start = params.decoder_start_token_id
    return None if penalty == 1.0 else ((penalty, start), lambda rows: [RepetitionPenalty(rows.index, penalty, start)])


def _ngrams(params: GenerationParams, device: torch.device) -> _Found:
    size = params.no_repeat_ngram_size
    return None if size == 0 else (size, lambda rows: [NoRepeatNgram(rows.index, size)])


def _bad_words(params: GenerationParams, device: torch.device) -> _Found:
    """A lone end token is no bad word, as in ``transformers``."""
    words = [word for word in params.bad_words if word not in {(end,) for end in params.eos_token_ids}]
    single = sorted({word[0] for word in words if len(word) == 1})
    longer = [word for word in words if len(word) > 1]
    if not words:
        return None

    def build(rows: Rows) -> list[LogitRule]:
        rules: list[LogitRule] = [
            BannedSequence(rows.index, send(word[:-1], device=device), word[-1]) for word in longer
        ]
        return [BannedTokens(rows.index, single, send(single, device=device)), *rules] if single else rules

    return (params.bad_words, params.eos_token_ids), build


def _once(params: GenerationParams, device: torch.device) -> _Found:
    tokens = params.once
    if not tokens:
        return None
    return tokens, lambda rows: [OnceAtMost(rows.index, send(tokens, device=device))]


def _minimum(params: GenerationParams, device: torch.device) -> _Found:
    least, ends = params.min_new_tokens, params.eos_token_ids
    if least <= 0:
        return None
    return (least, ends), lambda rows: [MinNewTokens(rows, least, send(ends, device=device))]


def _first(params: GenerationParams, device: torch.device) -> _Found:
    token = params.forced_bos_token_id
    return None if token is None else (token, lambda rows: [ForcedToken(rows, 1, token)])


def _last(params: GenerationParams, device: torch.device) -> _Found:
    token, length = params.forced_eos_token_id, params.max_new_tokens
    return None if token is None else ((token, length), lambda rows: [ForcedToken(rows, length, token)])


def _suppressed(params: GenerationParams, device: torch.device) -> _Found:
    tokens = tuple(sorted(params.suppressed))
    if not tokens:
        return None
    return tokens, lambda rows: [BannedTokens(rows.index, tokens, send(tokens, device=device))]


def _normal(params: GenerationParams, device: torch.device) -> _Found:
    return (True, lambda rows: [Renormalize(rows.index)]) if params.renormalize else None
