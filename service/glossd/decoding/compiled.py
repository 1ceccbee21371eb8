"""Greedy and beam search by the C operators: one call a step for all segments that search alike. CPU only.

The same steps, in the same order, as those of :class:`glossd.decoding.search.Greedy` and
:class:`glossd.decoding.beam.BeamSearch`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from glossd.decoding.beam import BeamState, candidates, follow
from glossd.decoding.history import History, Lineage
from glossd.decoding.search import Results, Scores, SearchKey
from glossd.native import Kernels, SearchStep
from glossd.types import GenerationParams

_HOST = torch.device("cpu")
_GRAIN = 16
_NAMES = {"lengths": "finished_lengths"}


class CompiledSearch:
    """A :class:`glossd.decoding.search.Search`; of one beam it is greedy search."""

    def __init__(self, key: SearchKey, kernels: Kernels) -> None:
        self._key = key
        self._kernels = kernels
        self._state: BeamState | None = None
        self._step = SearchStep(beams=key.beams, width=candidates(key.beams, key.ends), ends_each=key.ends)
        self._flags = torch.zeros(2, 0, dtype=torch.bool)
        self._parents = torch.zeros(0, key.beams, dtype=torch.int64)
        self._scratch = torch.zeros(0, dtype=torch.int8)

    def join(self, params: Sequence[GenerationParams]) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        room = 0 if self._state is None else self._state.stored.shape[2]
        state = BeamState.of(params, beams=self._key.beams, room=room, device=_HOST)
        self._settle(state if self._state is None else self._state.join(state))

    def keep(self, segments: Tensor) -> None:
        """See :class:`glossd.decoding.search.Search`."""
        assert self._state is not None
        self._settle(self._state.keep(segments))

    def advance(self, scores: Scores, history: History, lineage: Lineage) -> Results:
        """See :class:`glossd.decoding.search.Search`."""
        state, step = self._state, self._step
        assert state is not None, "advanced before anybody joined"
        table, rows = scores.table.contiguous(), scores.rows.contiguous()
        step.scores, step.vocabulary, step.rows = table.data_ptr(), table.shape[1], rows.data_ptr()
        step.tokens, step.stride = history.tokens.data_ptr(), history.tokens.shape[1]
        step.lengths = history.lengths.data_ptr()
        if self._key.beams == 1:
            self._kernels.greedy(ctypes.addressof(step))
            return self._results(history.tokens[:, 1:], rows[:, 0], state.running[:, 0])
        step.shift = None if scores.shift is None else scores.shift.data_ptr()
        step.ancestors, step.reach = lineage.ancestors.data_ptr() or None, lineage.ancestors.shape[1]
        if history.longest > step.room:
            state.reserve(max(history.longest + _GRAIN, 2 * step.room))
            self._settle(state)
        self._kernels.beams(ctypes.addressof(step))
        if not len(lineage.ancestors):
            follow(rows, self._parents, history, lineage, queued=False)
        return self._results(state.stored[:, 0], None, state.finished[:, 0])

    def _results(self, tokens: Tensor, lines: Tensor | None, scores: Tensor) -> Results:
        assert self._state is not None
        done, broken = self._flags
        counts = self._state.lengths[:, 0]
        return Results(done, broken, counts, tokens, lines, scores, summed=self._key.beams == 1)

    def _settle(self, state: BeamState) -> None:
        """Tell the operators where the state is."""
        step, beams = self._step, self._key.beams
        self._state = state
        for item in fields(state):
            tensor: Tensor = getattr(state, item.name)
            assert tensor.is_contiguous()
            setattr(step, _NAMES.get(item.name, item.name), tensor.data_ptr())
        step.segments, step.room = len(state.limits), state.stored.shape[2]
        self._flags = torch.zeros(2, step.segments, dtype=torch.bool)
        self._parents = torch.zeros(step.segments, beams, dtype=torch.int64)
        step.done, step.broken = self._flags[0].data_ptr(), self._flags[1].data_ptr()
        step.parents = self._parents.data_ptr()
        needed = self._kernels.search_scratch(beams, step.width, step.room)
        if needed > len(self._scratch):
            self._scratch = torch.empty(needed, dtype=torch.int8)
            step.scratch = self._scratch.data_ptr()
