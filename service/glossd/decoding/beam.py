"""Beam search over all live segments at once, equal to ``transformers`` ``generate`` on each alone.

The steps and their order follow the vectorised beam search of ``transformers`` 5 (whose early stopping is that of its
pull request 20901), with every per-call constant turned into one value per segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from glossd.decoding.history import History, Lineage
from glossd.decoding.search import Results, Scores
from glossd.transfer import send
from glossd.types import GenerationParams

_LOW = -1.0e9


@dataclass(slots=True)
class BeamState:
    """One value per live segment; the first dimension is always S.

    ``running`` (S, K) are the sums of the rows' log-probabilities, -1e9 where a row is no choice yet. ``finished``
    (S, K), best first, are the scores of finished hypotheses, of which ``stored`` (S, K, T) holds ``lengths`` (S, K)
    new tokens each; a place that ``is_finished`` does not mark is empty. ``ends`` (S, E) are end tokens.
    """

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

    @classmethod
    def of(cls, params: Sequence[GenerationParams], *, beams: int, room: int, device: torch.device) -> BeamState:
        """Segments that begin, with room for hypotheses of ``room`` tokens."""
        count = len(params)
        running = torch.full((count, beams), _LOW, device=device)
        running[:, 0] = 0.0
        return cls(
            limits=send([asked.max_new_tokens for asked in params], device=device),
            ends=send([asked.eos_token_ids for asked in params], device=device),
            penalties=send([asked.length_penalty for asked in params], device=device, dtype=torch.float64),
            stop_when_full=send([asked.early_stopping is True for asked in params], device=device, dtype=torch.bool),
            hopeful=send([_is_hopeful(asked) for asked in params], device=device, dtype=torch.bool),
            running=running,
            finished=torch.full((count, beams), _LOW, device=device),
            is_finished=torch.zeros(count, beams, dtype=torch.bool, device=device),
            lengths=torch.zeros(count, beams, dtype=torch.int64, device=device),
            stored=torch.zeros(count, beams, room, dtype=torch.int64, device=device),
            improvable=torch.ones(count, dtype=torch.bool, device=device),
        )

    def reserve(self, room: int) -> None:
        """Make room for hypotheses of ``room`` tokens."""
        if self.stored.shape[2] < room:
            self.stored = torch.nn.functional.pad(self.stored, (0, room - self.stored.shape[2]))

    def keep(self, segments: Tensor) -> BeamState:
        """These segments (N,), in this order."""
        return BeamState(*(getattr(self, item.name)[segments] for item in fields(self)))

    def join(self, other: BeamState) -> BeamState:
        """These segments, then the other ones."""
        return BeamState(*(torch.cat([getattr(self, item.name), getattr(other, item.name)]) for item in fields(self)))


class BeamSearch:
    """Beam search with ``beams`` rows a segment. ``ends`` is the number of end tokens each segment has.

    ``queued``: asking the device costs more than doing what might be left out.
    """

    def __init__(self, beams: int, ends: int, device: torch.device, *, queued: bool = False) -> None:
        self._beams = beams
        self._width = candidates(beams, ends)
        self._device = device
        self._queued = queued
        self._state: BeamState | None = None

    def join(self, params: Sequence[GenerationParams]) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        room = 0 if self._state is None else self._state.stored.shape[2]
        state = BeamState.of(params, beams=self._beams, room=room, device=self._device)
        self._state = state if self._state is None else self._state.join(state)

    def advance(self, scores: Scores, history: History, lineage: Lineage) -> Results:
        """See :class:`glossd.decoding.search.Search`. The score is the length-penalised sum of log-probabilities."""
        state, grid = self._live(), scores.rows
        texts = history.tokens[:, : history.longest + 1][grid]
        length = history.lengths[grid[:, 0]]
        totals, parents, tokens = self._candidates(scores, state.running)
        stops = (tokens[..., None] == state.ends[:, None]).any(-1) | (length >= state.limits)[:, None]
        self._finish(state, totals, parents, tokens, stops, texts, length)
        open_totals = totals + stops.float() * _LOW
        choice = open_totals.topk(self._beams)[1]
        state.running = open_totals.gather(1, choice)
        state.improvable = self._improvable(state, length)
        full = state.is_finished.all(1) & state.stop_when_full
        done = ~state.improvable | full | stops.all(1)
        self._follow(grid, parents.gather(1, choice), tokens.gather(1, choice), texts, history, lineage)
        broken = ~totals[:, 0].isfinite()
        best = state.lengths[:, 0], state.stored[:, 0]
        return Results(done, broken, *best, None, state.finished[:, 0], summed=False)

    def _candidates(self, scores: Scores, running: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best continuations of each segment over all its beams: totals, parent beams and tokens, each (S, W).

        Each row's own best W are enough to hold the segment's best W.
        """
        segments, beams = scores.rows.shape
        width = min(self._width, scores.table.shape[1])
        best, row_tokens = scores.table[scores.rows.flatten()].topk(width)
        gains = best.view(segments, beams, width)
        gains = gains if scores.shift is None else gains - scores.shift[scores.rows][:, :, None]
        best, index = (gains + running[:, :, None]).view(segments, beams * width).topk(self._width)
        return best, index // width, row_tokens.view(segments, beams * width).gather(1, index)

    def _follow(
        self, grid: Tensor, parents: Tensor, tokens: Tensor, texts: Tensor, history: History, lineage: Lineage
    ) -> None:
        """Write each row's choice behind what the beam ``parents`` (S, K) held that it goes on from."""
        texts = texts.gather(1, parents[..., None].expand(-1, -1, texts.shape[2]))
        length = history.lengths[grid[:, 0]]
        texts.scatter_(2, length[:, None, None].expand(-1, grid.shape[1], 1), tokens[..., None])
        history.tokens[grid, : texts.shape[2]] = texts
        follow(grid, parents, history, lineage, queued=self._queued)

    def _finish(
        self,
        state: BeamState,
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

    def _improvable(self, state: BeamState, length: Tensor) -> Tensor:
        """Whether a running beam may still beat the worst finished one, by the heuristic each segment asked for."""
        horizon = torch.where(state.hopeful, state.limits, length).double() ** state.penalties
        best = state.running[:, :1] / horizon.float()[:, None]
        worst = torch.where(state.is_finished, state.finished.amin(1, keepdim=True), _LOW)
        return state.improvable & (best > worst).any(1)

    def keep(self, segments: Tensor) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        self._state = self._live().keep(segments)

    def _live(self) -> BeamState:
        assert self._state is not None, "advanced before anybody joined"
        return self._state


def candidates(beams: int, ends: int) -> int:
    """How many continuations of a segment are looked at: enough to leave ``beams`` when end tokens take theirs."""
    return max(2, 1 + ends) * beams


def follow(grid: Tensor, parents: Tensor, history: History, lineage: Lineage, *, queued: bool) -> None:
    """Tell the lineage which row of ``grid`` (S, K) goes on from which beam ``parents`` (S, K)."""
    origins = grid.gather(1, parents)
    if queued:
        lineage.follow_rows(origins.flatten(), grid.flatten(), time=history.longest)
        return
    moved = origins != grid
    if bool(moved.any()):
        lineage.follow_rows(origins[moved], grid[moved], time=history.longest)


def _is_hopeful(params: GenerationParams) -> bool:
    """Whether the early stopping heuristic assumes the longest output."""
    return params.early_stopping == "never" and params.length_penalty > 0.0
