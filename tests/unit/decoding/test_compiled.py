"""Search by the C operators against the same search with tensors, step by step, over segments that join and leave."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from glossd.decoding.beam import BeamSearch
from glossd.decoding.compiled import CompiledSearch
from glossd.decoding.history import History
from glossd.decoding.search import Greedy, Results, Scores, Search, SearchKey
from glossd.native import load_kernels
from glossd.types import GenerationParams

KERNELS = load_kernels()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="this installation has no compiled operators")
HOST = torch.device("cpu")
ROWS = 64
VOCABULARY = 150
LOW = -1e8


class Names:
    """A lineage that says which row each position of a row was written by; ``copies``: told so by ``follow_rows``."""

    def __init__(self, *, copies: bool) -> None:
        self.table = torch.zeros(ROWS, 64, dtype=torch.int32)
        self.ancestors = self.table[:0] if copies else self.table

    def follow_rows(self, origins: torch.Tensor, targets: torch.Tensor, *, time: int) -> None:
        self.table[targets, :time] = self.table[origins, :time]


class Side:
    """One search with the histories and the lineage it writes to."""

    def __init__(self, search: Search, *, copies: bool) -> None:
        self.search, self.history, self.names = search, History(ROWS, HOST), Names(copies=copies)

    def begin(self, rows: list[int], params: Sequence[GenerationParams]) -> None:
        self.history.begin(rows, [5] * len(rows), room=40)
        self.search.join(params)

    def advance(self, scores: torch.Tensor, grid: torch.Tensor, shift: torch.Tensor | None, longest: int) -> Results:
        self.history.longest = longest
        rows = torch.arange(len(scores))
        self.names.table[rows, self.history.lengths[: len(scores)] - 1] = rows.int()
        results = self.search.advance(Scores(scores.clone(), grid, shift), self.history, self.names)
        self.history.grow(len(scores))
        return results


def text(results: Results, segment: int) -> list[int]:
    line = segment if results.lines is None else int(results.lines[segment])
    found: list[int] = results.tokens[line, : int(results.counts[segment])].tolist()
    return found


def params_of(source: random.Random, beams: int, ends: int) -> GenerationParams:
    return GenerationParams(
        num_beams=beams,
        max_new_tokens=source.randrange(2, 25),
        eos_token_ids=tuple(source.sample(range(VOCABULARY), ends)),
        decoder_start_token_id=5,
        length_penalty=source.choice((0.0, 0.6, 1.0, 2.0, -1.0)),
        early_stopping=source.choice((True, False, "never")),
    )


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize(("beams", "ends"), [(1, 1), (1, 3), (2, 1), (4, 1), (4, 2), (6, 4)])
def test_the_operators_choose_what_the_tensors_do(beams: int, ends: int, copies: bool) -> None:
    assert KERNELS is not None
    source, key = random.Random(beams * 10 + ends), SearchKey(beams, ends)
    torch.manual_seed(beams)
    plain = Greedy(HOST) if beams == 1 else BeamSearch(beams, ends, HOST)
    sides = Side(CompiledSearch(key, KERNELS), copies=copies), Side(plain, copies=False)
    live: list[GenerationParams] = []
    ages: list[int] = []
    ended = 0
    for _ in range(150):
        joining = [params_of(source, beams, ends) for _ in range(source.randrange(3)) if len(live) < ROWS // beams - 2]
        if joining or not live:
            joining = joining or [params_of(source, beams, ends)]
            first = len(live) * beams
            for side in sides:
                side.begin(list(range(first, first + len(joining) * beams)), joining)
            live, ages = live + joining, ages + [1] * len(joining)
        grid = torch.arange(len(live) * beams).view(len(live), beams)
        scores = torch.randn(len(live) * beams, VOCABULARY) * 3
        scores[:, source.sample(range(VOCABULARY), 20)] = -torch.inf
        shift = scores.logsumexp(-1) if source.random() < 0.5 else None
        scores = scores if shift is not None else scores.log_softmax(-1)
        ours, theirs = (side.advance(scores, grid, shift, max(ages)) for side in sides)
        ages = [age + 1 for age in ages]
        assert torch.equal(ours.done, theirs.done)
        assert not ours.broken.any()
        assert not theirs.broken.any()
        for row, age in enumerate(age for age in ages for _ in range(beams)):
            if theirs.done[row // beams]:
                continue  # what runs on beside finished hypotheses is not looked at again, and may be ties
            tokens = [side.history.tokens[row, :age].tolist() for side in sides]
            assert tokens[0] == tokens[1]
            names = [side.names.table[row, : age - 1].tolist() for side in sides]
            assert names[0] == names[1]
        finished = theirs.done.nonzero().flatten().tolist()
        for segment in finished:
            assert text(ours, segment) == text(theirs, segment)
            assert float(ours.scores[segment]) == pytest.approx(float(theirs.scores[segment]), rel=1e-5)
            assert float(ours.scores[segment]) > LOW
        ended += len(finished)
        kept = [number for number in range(len(live)) if number not in finished and source.random() < 0.97]
        rows = torch.tensor([number * beams + beam for number in kept for beam in range(beams)], dtype=torch.int64)
        for side in sides:
            for table in (side.history.tokens, side.history.lengths, side.names.table):
                table[: len(rows)] = table[rows]
            if kept:
                side.search.keep(torch.tensor(kept))
        live, ages = [live[number] for number in kept], [ages[number] for number in kept]
        if not live:
            plain = Greedy(HOST) if beams == 1 else BeamSearch(beams, ends, HOST)
            for side, search in zip(sides, (CompiledSearch(key, KERNELS), plain), strict=True):
                side.search = search
    assert ended > 30


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("flaw", [torch.nan, -torch.inf, torch.inf])
@pytest.mark.parametrize("shifted", [False, True])
def test_scores_that_leave_no_choice_break_their_own_segment_only(beams: int, flaw: float, shifted: bool) -> None:
    assert KERNELS is not None
    params = params_of(random.Random(1), beams, 1)
    side = Side(CompiledSearch(SearchKey(beams, 1), KERNELS), copies=False)
    side.begin(list(range(3 * beams)), [params] * 3)
    scores = torch.randn(3 * beams, VOCABULARY)
    scores[beams : 2 * beams] = flaw
    shift = scores.logsumexp(-1) if shifted else None
    results = side.advance(scores, torch.arange(3 * beams).view(3, beams), shift, 1)
    assert results.broken.tolist() == [False, True, False]


def test_a_score_that_is_no_number_is_seen_wherever_it_stands() -> None:
    assert KERNELS is not None
    params = params_of(random.Random(1), 2, 1)
    for place in (0, 63, 64, 100, VOCABULARY - 1):
        side = Side(CompiledSearch(SearchKey(2, 1), KERNELS), copies=False)
        side.begin([0, 1, 2, 3], [params] * 2)
        scores = torch.randn(4, VOCABULARY)
        scores[2, place] = torch.nan
        results = side.advance(scores, torch.tensor([[0, 1], [2, 3]]), None, 1)
        assert results.broken.tolist() == [False, True]
