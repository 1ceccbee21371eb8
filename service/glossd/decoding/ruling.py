"""The rules of a running batch as one: from logits to what the searches choose by. No model, no search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glossd.decoding.rulebook import Part, assemble
from glossd.decoding.rules import Context, LogitRule, Renormalize
from glossd.decoding.search import peak
from glossd.native import Kernels
from glossd.types import GenerationParams


class Ruling:
    """The rules of the live segments. Each row's own rules alone decide what happens to its scores, and in which order,
    so that to the last bit nothing depends on the rows beside it.

    Beams choose by log-probabilities. To make those of a whole row of scores is a pass over the vocabulary; most rules
    only forbid, and then what the row's log-probabilities differ by from its scores can wait until few are left.
    """

    def __init__(
        self,
        segments: Sequence[tuple[GenerationParams, Sequence[Part], Sequence[int]]],
        *,
        numbers: Tensor,
        kernels: Kernels | None = None,
    ) -> None:
        """Of each segment its parameters, their parts and its rows; ``numbers`` (R,) are those of all rows."""
        self._numbers = numbers
        self._kernels = kernels
        self._rules: list[LogitRule] = assemble(((parts, rows) for _, parts, rows in segments), device=numbers.device)
        self._normal: Tensor | None = None
        last = self._rules[-1] if self._rules else None
        if isinstance(last, Renormalize):
            self._normal = last.rows
            del self._rules[-1]
        beamed = [params.renormalize for params, _, _ in segments if params.num_beams > 1]
        self._beamed, self._all_normal = bool(beamed), all(beamed)

    def apply(self, scores: Tensor, context: Context) -> Tensor | None:
        """Apply every row's rules to its logits (R, V), in place.

        Less the shift (R,) that is returned, the scores of beams are log-probabilities. None: nobody needs them.
        """
        shift = self._prepare(scores, context) if self._beamed else None
        for rule in self._rules:
            rule.apply(scores, context)
        if not self._beamed or self._normal is None:
            return shift
        after = self._sums(scores)
        return after if shift is None else shift.index_copy_(0, self._normal, after[self._normal])

    def _prepare(self, scores: Tensor, context: Context) -> Tensor | None:
        """The shift before the rules; rows that rules want as log-probabilities become that, and their shift zero."""
        wanted = [rows for rule in self._rules if (rows := rule.on_probabilities(context)) is not None]
        if self._all_normal and not wanted:
            return None
        shift = self._sums(scores)
        for rows in wanted:
            scores[rows] -= shift[rows, None]
            shift[rows] = 0.0
        return shift

    def _sums(self, scores: Tensor) -> Tensor:
        """The log of each row's sum of exponentials (R,)."""
        return peak(scores, self._numbers, self._kernels)[2]


NO_RULES = Ruling((), numbers=torch.zeros(0, dtype=torch.int64))
