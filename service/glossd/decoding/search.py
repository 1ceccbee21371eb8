"""Choosing tokens: the contract of a search over the segments in flight, and greedy search.

A search owns the decoding state of all live segments that search alike; segments join at its end and leave anywhere,
and each keeps its own limits. Shapes: S segments, K rows (beams) each, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

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
class Chosen:
    """One step's choice: the next ``tokens`` (S, K), the beam each continues (S, K), which segments are ``done`` (S,).

    ``parents`` None means that every row continues itself. ``broken`` (S,) marks segments whose scores left no finite
    choice; nothing else about those is to be believed.
    """

    tokens: Tensor
    parents: Tensor | None
    done: Tensor
    broken: Tensor


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A finished segment: new tokens with the end token; score as in :class:`glossd.types.Generation`."""

    token_ids: tuple[int, ...]
    score: float
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Results:
    """The best text of each segment so far: the first ``counts`` (S,) of ``tokens`` (S, T), both int64.

    ``scores`` (S,) float32 are as in :class:`Hypothesis`, or where ``summed`` the sums of which those are the means.
    """

    counts: Tensor
    tokens: Tensor
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

    def step(self, scores: Scores, history: Tensor, length: Tensor) -> Chosen:
        """Choose from scores, already ruled.

        ``history`` (S, K, T) holds the tokens so far and ``length`` (S,) how many of them count, start token included.
        """
        ...

    def results(self, history: Tensor) -> Results:
        """Right after a step: what the segments give that are done; ``history`` (S, K, T) already holds its choice."""
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


def top(scores: Tensor, rows: Tensor, count: int, kernels: Kernels | None) -> tuple[Tensor, Tensor]:
    """The ``count`` largest of rows (N,) of ``scores`` (R, V), best first, and where they stand: both (N, count)."""
    if kernels is None:
        best, index = scores[rows].topk(count)
        return best, index
    scores, rows = scores.contiguous(), rows.contiguous()
    best, index = torch.empty(len(rows), count), torch.empty(len(rows), count, dtype=torch.int64)
    outputs = (best.data_ptr(), index.data_ptr())
    kernels.top(scores.data_ptr(), rows.data_ptr(), *outputs, len(rows), scores.shape[1], count)
    return best, index


class Greedy:
    """The most likely token at each step."""

    def __init__(self, device: torch.device, kernels: Kernels | None = None) -> None:
        self._device = device
        self._kernels = kernels
        self._limits = torch.zeros(0, dtype=torch.int64, device=device)
        self._ends = torch.zeros(0, 0, dtype=torch.int64, device=device)
        self._sums = torch.zeros(0, dtype=torch.float32, device=device)
        self._lengths = self._limits

    def join(self, params: Sequence[GenerationParams]) -> None:
        """See :class:`Search`."""
        limits = send([asked.max_new_tokens for asked in params], device=self._device)
        ends = send([asked.eos_token_ids for asked in params], device=self._device)
        self._limits = torch.cat([self._limits, limits])
        self._ends = torch.cat([self._ends, ends]) if len(self._ends) else ends
        self._sums = torch.cat([self._sums, self._sums.new_zeros(len(params))])

    def step(self, scores: Scores, history: Tensor, length: Tensor) -> Chosen:
        """See :class:`Search`; the shift is not needed, since the sum of all probabilities is taken here."""
        best, tokens, total = peak(scores.table, scores.rows[:, 0], self._kernels)
        gain = best - total
        self._sums = self._sums + gain
        self._lengths = length
        ended = (tokens[:, None] == self._ends).any(1)
        return Chosen(tokens[:, None], None, ended | (length >= self._limits), ~gain.isfinite())

    def results(self, history: Tensor) -> Results:
        """See :class:`Search`. The score is the mean log-probability of the new tokens."""
        return Results(self._lengths, history[:, 0, 1:], self._sums, summed=True)

    def keep(self, segments: Tensor) -> None:
        """See :class:`Search`."""
        self._limits, self._ends = self._limits[segments], self._ends[segments]
        self._sums = self._sums[segments]
