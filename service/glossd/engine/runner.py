"""The running batch: the only caller of a model. Places sequences on rows, decodes one step for all, frees the rows.

Nothing here waits, and nothing here knows who asked.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import torch
from torch import Tensor

from glossd.decoding.beam import BeamSearch
from glossd.decoding.compiled import CompiledSearch
from glossd.decoding.history import History
from glossd.decoding.rulebook import parts_of
from glossd.decoding.rules import Context
from glossd.decoding.ruling import NO_RULES, Ruling
from glossd.decoding.search import Greedy, Hypothesis, Results, Scores, Search, SearchKey
from glossd.engine.outcomes import Outcome, Outcomes
from glossd.engine.sequence import Sequence, Status
from glossd.engine.slots import Move, Slots
from glossd.engine.statistics import StepCounters
from glossd.errors import ModelOutputError
from glossd.models.base import Seq2SeqModel
from glossd.native import load_kernels
from glossd.transfer import send


@dataclass(frozen=True, slots=True)
class Finished:
    """A sequence that left the batch, with its hypothesis or what went wrong."""

    sequence: Sequence
    outcome: Hypothesis | ModelOutputError


@dataclass(eq=False, slots=True)
class _Group:
    """The live sequences that search alike; ``grid`` (S, K) holds their row numbers while the arrangement stands."""

    key: SearchKey
    search: Search
    sequences: list[Sequence] = field(default_factory=list)
    grid: Tensor | None = None


class Runner:
    """Owns cache, token history and searches of one model. One thread only.

    Where steps are ``queued``, which is everywhere but on a CPU, a call of :meth:`step` reads what the step before it
    ended and queues the next one: the device works while its caller answers, admits and looks for new work.
    """

    def __init__(
        self, model: Seq2SeqModel, *, rows: int, sources: int, device: torch.device, queued: bool | None = None
    ) -> None:
        self._model = model
        self._device = device
        self._queued = device.type != "cpu" if queued is None else queued
        self._kernels = None if self._queued else load_kernels()
        self._cache = model.new_cache(rows=rows, sources=sources)
        self._rows = Slots(rows)
        self._sources = Slots(sources)
        self._groups: dict[SearchKey, _Group] = {}
        self._row_owners: list[Sequence] = []
        self._source_owners: list[Sequence] = []
        self._history = History(rows, device)
        self._numbers = torch.arange(rows, device=device)
        self._ruling = NO_RULES
        self._arranged = False
        self._under_way: tuple[list[_Group], Outcomes] | None = None
        self._dropped: list[Sequence] = []
        self.counters = StepCounters()

    @property
    def free_rows(self) -> int:
        """Rows that no sequence holds."""
        return self._rows.free

    @property
    def free_sources(self) -> int:
        """Encoder places that no sequence holds."""
        return self._sources.free

    @property
    def live(self) -> list[Sequence]:
        """Sequences in the batch, those with them that a step under way ends."""
        return list(self._source_owners)

    @property
    def live_rows(self) -> int:
        """Rows in the batch."""
        return self._rows.live

    @property
    def cache_bytes(self) -> int:
        """Memory of the key-value cache."""
        return self._cache.bytes

    def admit(self, sequences: SequenceOf[Sequence]) -> None:
        """Encode new sequences as one batch and give them rows."""
        started = time.monotonic_ns()
        slots = self._sources.take(len(sequences))
        lengths = [sequence.length for sequence in sequences]
        longest = max(lengths)
        pad = self._model.info.pad_token_id
        ids = [[*entry.request.source_ids, *[pad] * (longest - entry.length)] for entry in sequences]
        self._cache.reserve_sources(slots, lengths)
        with torch.inference_mode():
            self._model.encode(self._index(ids), self._index(lengths), self._index(slots), self._cache)
        self._place(sequences, slots)
        self._count_encode(lengths, time.monotonic_ns() - started)

    def _place(self, sequences: SequenceOf[Sequence], slots: SequenceOf[int]) -> None:
        """Give rows and searches to sequences whose sources stand at ``slots``."""
        alike: dict[SearchKey, list[Sequence]] = defaultdict(list)
        rows: list[int] = []
        starts: list[int] = []
        for sequence, slot in zip(sequences, slots, strict=True):
            params = sequence.request.params
            sequence.source, sequence.rows = slot, self._rows.take(params.num_beams)
            sequence.status, sequence.age = Status.RUNNING, 1
            sequence.rules = parts_of(params, self._device)
            self._source_owners.append(sequence)
            self._row_owners += [sequence] * params.num_beams
            rows += sequence.rows
            starts += [params.decoder_start_token_id] * params.num_beams
            alike[SearchKey.of(params)].append(sequence)
        self._history.begin(rows, starts, room=max(entry.request.params.max_new_tokens for entry in sequences) + 2)
        for key, joining in alike.items():
            if key not in self._groups:
                self._groups[key] = _Group(key, self._search(key))
            self._groups[key].search.join([sequence.request.params for sequence in joining])
            self._groups[key].sequences += joining
        self._arranged = False

    def _search(self, key: SearchKey) -> Search:
        if self._kernels is not None:
            return CompiledSearch(key, self._kernels)
        if key.beams == 1:
            return Greedy(self._device)
        return BeamSearch(key.beams, key.ends, self._device, queued=self._queued)

    @torch.inference_mode()
    def step(self) -> list[Finished]:
        """One token for every live row; returns who ended with it, or where steps are queued with the one before."""
        started = time.monotonic_ns()
        finished = self._settle()
        if self._rows.live:
            self._launch()
        if not self._queued:
            finished = self._settle()
        self.counters.decode_ns += time.monotonic_ns() - started
        return finished

    def _launch(self) -> None:
        """Queue a step for all live rows; what it ends is told by :meth:`_settle`."""
        arranged, self._arranged = self._arranged, True
        if not arranged:
            self._cache.arrange([owner.source for owner in self._row_owners], sources=self._sources.live)
        live = self._rows.live
        ages = [owner.age for owner in self._row_owners]
        self._history.longest = max(ages)
        self._cache.expect(self._history.longest)
        scores = self._model.decode(*self._history.last(live), self._cache)
        if not arranged:
            self._arrange()  # while a device decodes
        shift = self._ruling.apply(scores, Context(*self._history.seen(live), ages))
        groups = list(self._groups.values())
        outcomes = Outcomes([self._choose(group, scores, shift) for group in groups], queued=self._queued)
        self._under_way = groups, outcomes
        self._history.grow(live)
        for sequence in self._source_owners:
            sequence.age += 1
        self.counters.steps += 1
        self.counters.row_steps += live

    def _settle(self) -> list[Finished]:
        """Read what the step under way ended, and free the rows of that and of what was dropped meanwhile."""
        finished: list[Finished] = []
        if self._under_way is not None:
            groups, outcomes = self._under_way
            self._under_way = None
            for group, outcome in zip(groups, outcomes.read(), strict=True):
                finished += [self._finish(group.sequences[index], outcome, index) for index in outcome.ended()]
        gone = dict.fromkeys([*(entry.sequence for entry in finished), *self._dropped])
        if gone:
            for group in list(self._groups.values()):
                self._shrink(group, gone)
            self._leave(list(gone))
        dropped, self._dropped = set(self._dropped), []
        return [entry for entry in finished if entry.sequence not in dropped]

    @torch.inference_mode()  # the cache grew in it, and what was made there is changed nowhere else
    def drop(self, sequences: Iterable[Sequence]) -> None:
        """Free the rows of live sequences that nobody waits for any more, once the step under way is done."""
        self._dropped += sequences
        if self._under_way is None:
            self._settle()

    def _choose(self, group: _Group, scores: Tensor, shift: Tensor | None) -> Results:
        """Let a group's search choose."""
        assert group.grid is not None
        return group.search.advance(Scores(scores, group.grid, shift), self._history, self._cache)

    def _finish(self, sequence: Sequence, outcome: Outcome, index: int) -> Finished:
        if outcome.broken[index]:
            self._cache.clear(sequence.rows, [sequence.source])
            return Finished(sequence, ModelOutputError(f"no finite score after {sequence.length} source tokens"))
        hypothesis = outcome.hypothesis(index, sequence.request.params.eos_token_ids)
        self.counters.output_tokens += len(hypothesis.token_ids)
        return Finished(sequence, hypothesis)

    def _shrink(self, group: _Group, gone: Container[Sequence]) -> None:
        """Take sequences out of a group's search."""
        kept = [index for index, sequence in enumerate(group.sequences) if sequence not in gone]
        if len(kept) == len(group.sequences):
            return
        group.sequences = [group.sequences[index] for index in kept]
        if group.sequences:
            group.search.keep(self._index(kept))
        else:
            del self._groups[group.key]

    def _leave(self, sequences: SequenceOf[Sequence]) -> None:
        """Free rows and sources, and move what stands behind into the holes."""
        row_moves = self._rows.give_back(row for sequence in sequences for row in sequence.rows)
        source_moves = self._sources.give_back(sequence.source for sequence in sequences)
        if row_moves:
            self._move_rows(row_moves)
        if source_moves:
            self._cache.copy_sources([move.origin for move in source_moves], [move.target for move in source_moves])
        for move in source_moves:
            owner = self._source_owners[move.origin]
            self._source_owners[move.target] = owner
            owner.source = move.target
        del self._row_owners[self._rows.live :]
        del self._source_owners[self._sources.live :]
        for sequence in sequences:
            sequence.rows, sequence.source = [], -1
        self._arranged = False

    def _move_rows(self, moves: list[Move]) -> None:
        origins = self._index([move.origin for move in moves])
        targets = self._index([move.target for move in moves])
        self._cache.move_rows(origins, targets, time=self._history.longest)
        self._history.move(origins, targets)
        for move in moves:
            owner = self._row_owners[move.origin]
            self._row_owners[move.target] = owner
            owner.rows[owner.rows.index(move.origin)] = move.target

    def _arrange(self) -> None:
        """Tell rules and groups where everybody stands now."""
        segments = [(owner.request.params, owner.rules, owner.rows) for owner in self._source_owners]
        self._ruling = Ruling(segments, numbers=self._numbers[: self._rows.live], kernels=self._kernels)
        for group in self._groups.values():
            group.grid = self._index([sequence.rows for sequence in group.sequences])

    def _count_encode(self, lengths: list[int], elapsed_ns: int) -> None:
        self.counters.encoder_runs += 1
        self.counters.source_tokens += sum(lengths)
        self.counters.padded_source_tokens += max(lengths) * len(lengths)
        self.counters.encode_ns += elapsed_ns

    def _index(self, numbers: object) -> Tensor:
        return send(numbers, device=self._device)
