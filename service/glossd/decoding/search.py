"""Choosing tokens: the contract of a search over the segments in flight, and greedy search.

A search owns the decoding state of all live segments that search alike; segments join at its end and leave anywhere,
and each keeps its own limits. Shapes: S segments, K rows (beams) each, R live rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from glossd.decoding.history import History, Lineage
from glossd.native import Kernels
from glossd.transfer import send
from glossd.types import FinishReason, GenerationParams


@dataclass(frozen=True, slots=True)
class SearchKey:
    """Segments with equal keys are searched together."""

    beams: int
    ends: int

    @classmethod
    def of(cls, params: GenerationParams) -> SearchKey:
        """The key of a segment's parameters."""
        return cls(params.num_beams, len(params.eos_token_ids))


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished segment: new tokens with the end token; score as in :class:`glossd.types.Generation`."""

    token_ids: tuple[int, ...]
    score: float
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Results:
    """What a step came to: which segments are ``done`` (S,), and the best text of each so far.

    That is the first ``counts`` (S,) of a line of ``tokens`` (N, T), both int64: of line ``lines`` (S,), or where that
    is None of each segment's own. ``scores`` (S,) float32 are as in :class:`Hypothesis`, or where ``summed`` the sums
    of which those are the means. ``broken`` (S,) marks segments whose scores left no finite choice; nothing else about
    those is to be believed.
    """

    done: Tensor
    broken: Tensor
    counts: Tensor
    tokens: Tensor
    lines: Tensor | None
    scores: Tensor
    summed: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of all live rows ``table`` (R, V) float32, and which ``rows`` (S, K) of it are each segment's.

    Less ``shift`` (R,) they are log-probabilities; None: they already are, or nobody asked.
    """

    table: Tensor
    rows: Tensor
    shift: Tensor | None = None


class Search(Protocol):
    """Decoding state of the live segments of one key."""

    def join(self, params: Sequence[GenerationParams]) -> None:
        """Append new segments after the live ones."""
        ...

    def advance(self, scores: Scores, history: History, lineage: Lineage) -> Results:
        """Choose from scores, already ruled, and write the choice behind what the rows hold.

        A row that goes on from another one holds what that one held, and its lineage says so.
        """
        ...

    def keep(self, segments: Tensor) -> None:
        """Drop every segment but these (N,), in this order."""
        ...


def peak(scores: Tensor, rows: Tensor, kernels: Kernels | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows (N,) of ``scores`` (R, V): the largest, where it stands, and the log of the sum of exponentials."""
    if kernels is None:
        best, tokens = scores[rows].max(-1)
        return best, tokens, scores[rows].logsumexp(-1)
    scores, rows = scores.contiguous(), rows.contiguous()
    count = len(rows)
    total, best, tokens = torch.empty(count), torch.empty(count), torch.empty(count, dtype=torch.int64)
    outputs = (total.data_ptr(), best.data_ptr(), tokens.data_ptr())
    kernels.peak(scores.data_ptr(), rows.data_ptr(), *outputs, count, scores.shape[1])
    return best, tokens, total


class Greedy:
    """The most likely token at each step."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._limits = torch.zeros(0, dtype=torch.int64, device=device)
        self._ends = torch.zeros(0, 0, dtype=torch.int64, device=device)
        self._sums = torch.zeros(0, dtype=torch.float32, device=device)

    def join(self, params: Sequence[GenerationParams]) -> None:
        """See :class:`Search`."""
        limits = send([asked.max_new_tokens for asked in params], device=self._device)
        ends = send([asked.eos_token_ids for asked in params], device=self._device)
        self._limits = torch.cat([self._limits, limits])
        self._ends = torch.cat([self._ends, ends]) if len(self._ends) else ends
        self._sums = torch.cat([self._sums, self._sums.new_zeros(len(params))])

    def advance(self, scores: Scores, history: History, lineage: Lineage) -> Results:
        """See :class:`Search`; the shift is not needed, since the sum of all probabilities is taken here.

        The score is the mean log-probability of the new tokens.
        """
        rows = scores.rows[:, 0]
        length = history.lengths[rows]
        best, tokens, total = peak(scores.table, rows, None)
        gain = best - total
        self._sums = self._sums + gain
        history.tokens[rows, length] = tokens
        done = (tokens[:, None] == self._ends).any(1) | (length >= self._limits)
        texts = history.tokens[:, 1 : history.longest + 1]
        return Results(done, ~gain.isfinite(), length, texts, rows, self._sums, summed=True)

    def keep(self, segments: Tensor) -> None:
        """See :class:`Search`."""
        self._limits, self._ends = self._limits[segments], self._ends[segments]
        self._sums = self._sums[segments]
