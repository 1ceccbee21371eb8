from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from glossd.decoding.rulebook import assemble, parts_of
from glossd.decoding.rules import Context, LogitRule
from glossd.types import GenerationParams
from transformers.generation import logits_process as reference

VOCABULARY, END = 40, 1
CPU = torch.device("cpu")


def params(**changes: Any) -> GenerationParams:
    settings: dict[str, Any] = {"decoder_start_token_id": 0, "eos_token_ids": (END,), "max_new_tokens": 12}
    return GenerationParams(**(settings | changes))


def build_rules(asked: Sequence[GenerationParams]) -> list[LogitRule]:
    """The rules of rows, one after another, each with parameters of its own."""
    return assemble([(parts_of(one, CPU), [row]) for row, one in enumerate(asked)], device=CPU)


CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "repetition": ({"repetition_penalty": 1.6}, lambda: reference.RepetitionPenaltyLogitsProcessor(1.6)),
    "pairs": ({"no_repeat_ngram_size": 2}, lambda: reference.NoRepeatNGramLogitsProcessor(2)),
    "singles": ({"no_repeat_ngram_size": 1}, lambda: reference.NoRepeatNGramLogitsProcessor(1)),
    "words": (
        {"bad_words": ((3,), (2, 4), (2, 3, 4))},
        lambda: reference.NoBadWordsLogitsProcessor([[3], [2, 4], [2, 3, 4]], eos_token_id=[END]),
    ),
    "minimum": ({"min_new_tokens": 6}, lambda: reference.MinNewTokensLengthLogitsProcessor(1, 6, [END])),
    "first": ({"forced_bos_token_id": 7}, lambda: reference.ForcedBOSTokenLogitsProcessor(7)),
    "last": ({"forced_eos_token_id": 1}, lambda: reference.ForcedEOSTokenLogitsProcessor(13, 1)),
    "suppressed": ({"suppressed": (5, 6)}, lambda: reference.SuppressTokensLogitsProcessor([5, 6])),
    "normal": ({"renormalize": True}, reference.LogitNormalization),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_over_rows_of_different_age_is_the_processor_on_each_row_alone(case: str) -> None:
    changes, make = CASES[case]
    generator = torch.Generator().manual_seed(4)
    lengths = torch.arange(1, 13)
    history = torch.randint(0, 6, (12, 14), generator=generator)
    scores = torch.randn(12, VOCABULARY, generator=generator)
    alone = [
        make()(history[row : row + 1, :length], scores[row : row + 1].clone())[0] for row, length in enumerate(lengths)
    ]
    ours = scores.clone()
    for rule in build_rules([params(**changes)] * 12):
        rule.apply(ours, Context(history, lengths, lengths.tolist()))
    assert torch.equal(ours, torch.stack(alone)) or torch.allclose(ours, torch.stack(alone), atol=1e-6)


def test_each_row_gets_its_own_rules_only() -> None:
    asked = [params(), params(suppressed=(5,)), params(forced_bos_token_id=7), params(suppressed=(5,))]
    scores = torch.zeros(4, VOCABULARY)
    rules = build_rules(asked)
    for rule in rules:
        rule.apply(scores, Context(torch.zeros(4, 1, dtype=torch.int64), torch.ones(4, dtype=torch.int64), [1] * 4))
    assert len(rules) == 2
    assert scores[0].eq(0).all()
    assert scores[:, 5].isinf().tolist() == [False, True, True, True]
    assert scores[2].isfinite().nonzero().flatten().tolist() == [7]


def test_rows_that_ask_for_nothing_cost_no_rule() -> None:
    assert build_rules([params()] * 8) == []
