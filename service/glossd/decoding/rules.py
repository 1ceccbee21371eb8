"""Rules that change scores before a token is chosen, each for the rows that asked for it. No model, no search.

Every rule means what the ``transformers`` logits processor of that purpose means, and runs in the same order,
over rows of different age: ``history`` (R, T) int64 holds each row's tokens so far, start token first, and
``lengths`` (R,) int64 says how many of them count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glossd.transfer import send

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


class LogitRule(ABC):
    """Changes ``scores`` (R, V) float32 in place."""

    __slots__ = ()

    @abstractmethod
    def apply(self, scores: Tensor, context: Context) -> None:
        """Apply to the rows this rule was made for."""

    def on_probabilities(self, context: Context) -> Tensor | None:
        """The rows (N,) of beams whose scores have to be log-probabilities this time.

        None where it is the same to all rows whether a constant is added to their scores before the rule or after.
        """
        return None


@dataclass(frozen=True, slots=True)
class RepetitionPenalty(LogitRule):
    """Divide positive and multiply negative scores of tokens that a row already holds (Keskar et al. 2019).

    ``start`` is the rows' start token, which may stand behind the last token that can follow.
    """

    rows: Tensor
    penalty: float
    start: int
    beamed: bool

    def on_probabilities(self, context: Context) -> Tensor | None:
        """See :class:`LogitRule`."""
        return self.rows if self.beamed else None

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
class NoRepeatNgram(LogitRule):
    """Never complete an n-gram that the row already holds."""

    rows: Tensor
    size: int

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
class BannedTokens(LogitRule):
    """Single tokens that are never chosen: ``numbers`` in rising order, and the same as a tensor (N,)."""

    rows: Tensor
    numbers: Sequence[int]
    tokens: Tensor

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        count = bisect_left(self.numbers, scores.shape[1])
        scores[self.rows[:, None], self.tokens[:count]] = _NEVER


@dataclass(frozen=True, slots=True)
class OnceAtMost(LogitRule):
    """Tokens that are never chosen a second time, such as placeholders for spans that are put back afterwards."""

    rows: Tensor
    tokens: Tensor

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        history = context.history[self.rows]
        counted = torch.arange(history.shape[1], device=history.device) < context.lengths[self.rows, None]
        seen = ((history[:, :, None] == self.tokens) & counted[:, :, None]).any(1)
        _forbid(scores, self.rows[:, None], self.tokens, seen)


@dataclass(frozen=True, slots=True)
class BannedSequence(LogitRule):
    """A sequence of two or more tokens that is never completed."""

    rows: Tensor
    prefix: Tensor
    last: int

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        size = self.prefix.shape[0]
        lengths = context.lengths[self.rows]
        steps = torch.arange(size, device=lengths.device)
        tail = context.history[self.rows].gather(1, (lengths[:, None] - size).clamp(min=0) + steps)
        matched = (tail == self.prefix).all(1) & (lengths >= size)
        _forbid(scores, self.rows, torch.full_like(self.rows, self.last), matched)


@dataclass(frozen=True, slots=True)
class MinNewTokens(LogitRule):
    """No end token before ``minimum`` new tokens."""

    rows: Rows
    minimum: int
    ends: Tensor

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        young = _those(self.rows, [context.ages[row] - 1 < self.minimum for row in self.rows.numbers])
        if young is not None:
            scores[young[:, None], self.ends] = _NEVER


@dataclass(frozen=True, slots=True)
class ForcedToken(LogitRule):
    """At ``lengths`` tokens so far (one number a row; the start token counts) only ``token`` can follow."""

    rows: Rows
    lengths: Sequence[int]
    token: int
    beamed: bool

    def on_probabilities(self, context: Context) -> Tensor | None:
        """See :class:`LogitRule`."""
        return self._due(context) if self.beamed else None

    def apply(self, scores: Tensor, context: Context) -> None:
        """See :class:`LogitRule`."""
        due = self._due(context)
        if due is not None:
            scores[due] = _NEVER
            scores[due, self.token] = 0.0

    def _due(self, context: Context) -> Tensor | None:
        places = zip(self.rows.numbers, self.lengths, strict=True)
        return _those(self.rows, [context.ages[row] == length for row, length in places])


@dataclass(frozen=True, slots=True)
class Renormalize(LogitRule):
    """Make the rows' probabilities sum to one again after the other rules."""

    rows: Tensor

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
