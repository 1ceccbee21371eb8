"""From logits to what searches choose by: what transformers gives each row alone, and nothing of a row's neighbours."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from glossd.decoding.rulebook import parts_of
from glossd.decoding.rules import Context
from glossd.decoding.ruling import NO_RULES, Ruling
from glossd.native import load_kernels
from glossd.types import GenerationParams

from tests.unit.decoding.test_rules import CPU, VOCABULARY, build_rules, params

CHANGES: list[dict[str, Any]] = [
    {},
    {"suppressed": (5, 6)},
    {"forced_eos_token_id": 1, "max_new_tokens": 5},
    {"forced_bos_token_id": 7},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 1.7, "forced_eos_token_id": 1, "max_new_tokens": 3},
    {"renormalize": True},
    {"renormalize": True, "bad_words": ((3,), (2, 4))},
    {"renormalize": True, "repetition_penalty": 0.6},
    {"no_repeat_ngram_size": 2},
]
AGES = [1, 3, 4, 5, 8]


def rule(asked: list[tuple[GenerationParams, list[int]]], scores: torch.Tensor, context: Context) -> torch.Tensor:
    """What the searches choose by: scores less their shift."""
    segments = [(one, parts_of(one, CPU), rows) for one, rows in asked]
    shift = Ruling(segments, numbers=torch.arange(len(scores)), kernels=load_kernels()).apply(scores, context)
    return scores if shift is None else scores - shift[:, None]


def context_of(rows: int, ages: list[int]) -> Context:
    history = torch.randint(0, 6, (rows, 12), generator=torch.Generator().manual_seed(rows))
    return Context(history, torch.tensor(ages), ages)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("age", AGES)
def test_beams_choose_by_ruled_log_probabilities(changes: dict[str, Any], age: int) -> None:
    asked = params(num_beams=3, **changes)
    scores = torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(age)) * 3
    context = context_of(3, [age] * 3)
    expected = scores.log_softmax(-1)
    for each in build_rules([asked] * 3):
        each.apply(expected, context)
    ours = rule([(asked, [0, 1, 2])], scores.clone(), context)
    torch.testing.assert_close(ours, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("changes", CHANGES)
def test_greedy_rows_choose_by_ruled_logits(changes: dict[str, Any]) -> None:
    asked = params(**changes)
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(2)) * 3
    expected = scores.clone()
    for each in build_rules([params(**{**changes, "renormalize": False})]):
        each.apply(expected, context_of(1, [5]))
    assert torch.equal(rule([(asked, [0])], scores.clone(), context_of(1, [5])), expected)


def test_no_row_depends_on_the_rows_beside_it_to_the_last_bit() -> None:
    source = random.Random(3)
    for _ in range(60):
        asked: list[tuple[GenerationParams, list[int]]] = []
        ages: list[int] = []
        for _ in range(6):
            beams = source.choice((1, 2, 4))
            rows = list(range(len(ages), len(ages) + beams))
            asked.append((params(num_beams=beams, **source.choice(CHANGES)), rows))
            ages += [source.choice(AGES)] * beams
        scores = torch.randn(len(ages), VOCABULARY) * 5
        context = context_of(len(ages), ages)
        together = rule(asked, scores.clone(), context)
        for one, rows in asked:
            if one.num_beams == 1:
                continue  # the shift of greedy rows is not looked at
            own = Context(context.history[rows], context.lengths[rows], [ages[row] for row in rows])
            alone = rule([(one, list(range(len(rows))))], scores[rows].clone(), own)
            assert torch.equal(alone, together[rows])


def test_without_rules_logits_stay_as_they_are() -> None:
    scores = torch.randn(2, VOCABULARY)
    before = scores.clone()
    assert NO_RULES.apply(scores, context_of(2, [1, 1])) is None
    assert rule([(params(), [0]), (params(), [1])], scores, context_of(2, [1, 1])).equal(before)
