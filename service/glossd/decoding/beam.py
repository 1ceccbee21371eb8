"""Beam search over all live segments at once, equal to ``transformers`` ``generate`` on each alone.

The steps and their order follow the vectorised beam search of ``transformers`` 5 (whose early stopping is that of its
pull request 20901), with every per-call constant turned into one value per segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from glossd.decoding.search import Chosen, Results, Scores, top
from glossd.native import Kernels
from glossd.transfer import send
from glossd.types import GenerationParams

_LOW = -1.0e9


@dataclass(slots=True)
class _State:
    """One value per live segment; the first dimension is always S. ``stored`` (S, K, T) are finished hypotheses."""

    limits: Tensor
    ends: Tensor
    penalties: Tensor
    stop_when_full: Tensor
    hopeful: Tensor
    running: Tensor
    finished: Tensor
    is_finished: Tensor
    lengths: Tensor
    stored: Tensor
    improvable: Tensor

    def keep(self, segments: Tensor) -> _State:
        return _State(*(getattr(self, item.name)[segments] for item in fields(self)))

    def join(self, other: _State) -> _State:
        return _State(*(torch.cat([getattr(self, item.name), getattr(other, item.name)]) for item in fields(self)))


class BeamSearch:
    """Beam search with ``beams`` rows a segment. ``ends`` is the number of end tokens each segment has.

    ``queued``: asking the device costs more than doing what might be left out.
    """

    def __init__(
        self, beams: int, ends: int, device: torch.device, kernels: Kernels | None = None, *, queued: bool = False
    ) -> None:
        self._beams = beams
        self._width = max(2, 1 + ends) * beams
        self._device = device
        self._kernels = kernels
        self._queued = queued
        self._state: _State | None = None

    def join(self, params: Sequence[GenerationParams]) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        count, beams, device = len(params), self._beams, self._device
        running = torch.full((count, beams), _LOW, device=device)
        running[:, 0] = 0.0
        time = 0 if self._state is None else self._state.stored.shape[2]
        state = _State(
            limits=send([asked.max_new_tokens for asked in params], device=device),
            ends=send([asked.eos_token_ids for asked in params], device=device),
            penalties=send([asked.length_penalty for asked in params], device=device, dtype=torch.float64),
            stop_when_full=send([asked.early_stopping is True for asked in params], device=device, dtype=torch.bool),
            hopeful=send([_is_hopeful(asked) for asked in params], device=device, dtype=torch.bool),
            running=running,
            finished=torch.full((count, beams), _LOW, device=device),
            is_finished=torch.zeros(count, beams, dtype=torch.bool, device=device),
            lengths=torch.zeros(count, beams, dtype=torch.int64, device=device),
            stored=torch.zeros(count, beams, time, dtype=torch.int64, device=device),
            improvable=torch.ones(count, dtype=torch.bool, device=device),
        )
        self._state = state if self._state is None else self._state.join(state)

    def step(self, scores: Scores, history: Tensor, length: Tensor) -> Chosen:
        """See :class:`glossd.decoding.search.Search`."""
        state = self._live()
        totals, parents, tokens = self._candidates(scores, state.running)
        stops = (tokens[..., None] == state.ends[:, None]).any(-1) | (length >= state.limits)[:, None]
        self._finish(state, totals, parents, tokens, stops, history, length)
        open_totals = totals + stops.float() * _LOW
        choice = open_totals.topk(self._beams)[1]
        state.running = open_totals.gather(1, choice)
        state.improvable = self._improvable(state, length)
        full = state.is_finished.all(1) & state.stop_when_full
        done = ~state.improvable | full | stops.all(1)
        return Chosen(tokens.gather(1, choice), parents.gather(1, choice), done, ~totals[:, 0].isfinite())

    def _candidates(self, scores: Scores, running: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best continuations of each segment over all its beams: totals, parent beams and tokens, each (S, W).

        Each row's own best W are enough to hold the segment's best W.
        """
        segments, beams = scores.rows.shape
        width = min(self._width, scores.table.shape[1])
        best, row_tokens = top(scores.table, scores.rows.flatten(), width, self._kernels)
        gains = best.view(segments, beams, width)
        gains = gains if scores.shift is None else gains - scores.shift[scores.rows][:, :, None]
        best, index = (gains + running[:, :, None]).view(segments, beams * width).topk(self._width)
        return best, index // width, row_tokens.view(segments, beams * width).gather(1, index)

    def _finish(
        self,
        state: _State,
        totals: Tensor,
        parents: Tensor,
        tokens: Tensor,
        stops: Tensor,
        history: Tensor,
        length: Tensor,
    ) -> None:
        """Merge candidates that end here into each segment's finished hypotheses, best first."""
        just = stops.clone()
        just[:, self._beams :] = False
        scores = totals / (length.double() ** state.penalties).float()[:, None]
        scores = scores + (state.is_finished.all(1) & state.stop_when_full)[:, None].float() * _LOW
        scores = scores + (~state.improvable)[:, None].float() * _LOW
        scores = scores + (~just).float() * _LOW
        merged = torch.cat([state.finished, scores], 1)
        best, index = merged.topk(self._beams)
        flags = torch.cat([state.is_finished, just], 1).gather(1, index)
        lengths = torch.cat([state.lengths, length[:, None].expand_as(tokens)], 1).gather(1, index)
        if self._queued or bool(just.any()):
            state.stored = self._store(state.stored, parents, tokens, history, length, index)
        state.finished, state.is_finished, state.lengths = best, flags, lengths

    def _store(
        self, stored: Tensor, parents: Tensor, tokens: Tensor, history: Tensor, length: Tensor, index: Tensor
    ) -> Tensor:
        """The token rows of the merged hypotheses that ``index`` (S, K) picks, new tokens only."""
        time = history.shape[2]
        wide = parents[..., None].expand(-1, -1, time)
        fresh = torch.cat([history.gather(1, wide)[..., 1:], torch.zeros_like(tokens)[..., None]], 2)
        fresh.scatter_(2, (length[:, None, None] - 1).expand(-1, tokens.shape[1], 1), tokens[..., None])
        if stored.shape[2] < time:
            stored = torch.nn.functional.pad(stored, (0, time - stored.shape[2]))
        fresh = torch.nn.functional.pad(fresh, (0, stored.shape[2] - time))
        merged = torch.cat([stored, fresh], 1)
        return merged.gather(1, index[..., None].expand(-1, -1, merged.shape[2]))

    def _improvable(self, state: _State, length: Tensor) -> Tensor:
        """Whether a running beam may still beat the worst finished one, by the heuristic each segment asked for."""
        horizon = torch.where(state.hopeful, state.limits, length).double() ** state.penalties
        best = state.running[:, :1] / horizon.float()[:, None]
        worst = torch.where(state.is_finished, state.finished.amin(1, keepdim=True), _LOW)
        return state.improvable & (best > worst).any(1)

    def results(self, history: Tensor) -> Results:
        """See :class:`glossd.decoding.search.Search`. The score is the length-penalised sum of log-probabilities."""
        state = self._live()
        return Results(state.lengths[:, 0], state.stored[:, 0], state.finished[:, 0], summed=False)

    def keep(self, segments: Tensor) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        self._state = self._live().keep(segments)

    def _live(self) -> _State:
        assert self._state is not None, "step before join"
        return self._state


def _is_hopeful(params: GenerationParams) -> bool:
    """Whether the early stopping heuristic assumes the longest output."""
    return params.early_stopping == "never" and params.length_penalty > 0.0
