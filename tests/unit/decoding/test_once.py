"""Tokens that may be produced once: each row looks at its own history, and at nothing past its own length."""

from __future__ import annotations

import torch
from glossd.decoding.rules import Context
from glossd.types import GenerationParams

from tests.unit.decoding.test_rules import build_rules


def params(*once: int) -> GenerationParams:
    return GenerationParams(decoder_start_token_id=0, eos_token_ids=(1,), max_new_tokens=9, once=once)


def test_a_token_that_a_row_holds_is_not_chosen_again() -> None:
    history = torch.tensor([[0, 5, 7, 6], [0, 6, 5, 5], [0, 5, 6, 5]])
    lengths = torch.tensor([4, 2, 4])
    scores = torch.zeros(3, 9)
    for rule in build_rules([params(5, 6), params(5, 6), params()]):
        rule.apply(scores, Context(history, lengths, lengths.tolist()))
    assert [row.isinf().nonzero().flatten().tolist() for row in scores] == [[5, 6], [6], []]
