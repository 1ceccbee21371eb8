"""What a decode step ended, on its way to the host: one small copy for all groups of segments, read when it is asked.

Knows tensors and segments by number; who they belong to is the runner's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glossd.decoding.search import Hypothesis, Results
from glossd.transfer import Fetch
from glossd.types import FinishReason

Array = np.ndarray[Any, Any]
_HEAD = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """One group's segments after a step, on the host: its :class:`Results`, with ``lines`` of ``tokens``."""

    done: Array
    broken: Array
    counts: Array
    tokens: Array
    lines: Array
    scores: Array
    summed: bool

    def ended(self) -> list[int]:
        """The segments that are done or broken."""
        numbers: list[int] = np.flatnonzero(self.done | self.broken).tolist()
        return numbers

    def hypothesis(self, segment: int, ends: Sequence[int]) -> Hypothesis:
        """The text of a segment that is done; ``ends`` are its end tokens."""
        count = int(self.counts[segment])
        tokens = tuple(self.tokens[self.lines[segment], :count].tolist())
        score = float(self.scores[segment])
        reason = FinishReason.COMPLETE if tokens[-1] in ends else FinishReason.LENGTH
        return Hypothesis(tokens, score / count if self.summed else score, reason)


_EMPTY: Array = np.zeros(0, dtype=np.int64)
_NOBODY = Outcome(_EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY, summed=False)


class Outcomes:
    """The outcome of each group. Where steps are ``queued`` they travel together, else they are read where they are."""

    def __init__(self, parts: Sequence[Results], *, queued: bool) -> None:
        self._parts = parts
        self._fetch = Fetch(_pack(parts)) if queued else None

    def read(self) -> list[Outcome]:
        """All of them, in order; waits for the step where it is under way."""
        if self._fetch is None:
            return [_in_place(results) for results in self._parts]
        packed, outcomes = self._fetch.read(), []
        for results in self._parts:
            rows, packed = packed[: len(results.done)], packed[len(results.done) :]
            outcomes.append(_unpack(rows, results.summed))
        return outcomes


def _in_place(results: Results) -> Outcome:
    flags = results.done.numpy(), results.broken.numpy()
    if not (flags[0] | flags[1]).any():
        return _NOBODY
    lines = np.arange(len(results.done)) if results.lines is None else results.lines.numpy()
    texts = results.counts.numpy(), results.tokens.numpy(), lines
    return Outcome(*flags, *texts, results.scores.numpy(), results.summed)


def _pack(parts: Sequence[Results]) -> Tensor:
    """(segments of all groups, _HEAD + the longest text) int64; a score is its bits."""
    longest = max(results.tokens.shape[1] for results in parts)
    packed = []
    for results in parts:
        bits = results.scores.view(torch.int32)
        head = torch.stack([results.done.long(), results.broken.long(), results.counts, bits.long()], 1)
        tokens = results.tokens if results.lines is None else results.tokens[results.lines]
        packed.append(torch.cat([head, functional.pad(tokens, (0, longest - tokens.shape[1]))], 1))
    return torch.cat(packed)


def _unpack(rows: Array, summed: bool) -> Outcome:
    done, broken, counts, bits = rows[:, :_HEAD].T
    scores = bits.astype(np.int32).view(np.float32)
    return Outcome(done != 0, broken != 0, counts, rows[:, _HEAD:], np.arange(len(rows)), scores, summed)
