"""Alignments through the engine: by its thread, for models that can, and never left without an answer."""

from __future__ import annotations

import pytest
import torch
from glossd.engine.engine import Engine
from glossd.engine.pool import EnginePool
from glossd.errors import DrainingError, EngineDeadError, InvalidInputError
from glossd.models.alignment import look_at
from glossd.models.cache import KVCache
from glossd.types import AlignmentRequest
from torch import Tensor

from tests.unit.engine.toy_model import END, EchoModel, echo_request

PAIR = AlignmentRequest((5, 6, END), (5, 6, END), 0)


class LookingModel(EchoModel):
    """Looks at the source token that it repeats."""

    def cross_weights(self, source_ids: Tensor, token_ids: Tensor) -> Tensor:
        if int(source_ids[0, 0]) == 9:
            raise RuntimeError("the toy was told to fail")
        return torch.eye(token_ids.shape[1], source_ids.shape[1]).expand(1, 2, -1, -1)


def test_a_pool_aligns_beside_what_it_decodes() -> None:
    pool = EnginePool(LookingModel())
    decoded = [pool.submit(echo_request([5, 6, number])) for number in range(10, 40)]
    aligned = [pool.align(PAIR) for _ in range(20)]
    assert {future.result(60).weights for future in aligned} == {((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))}
    assert all(future.result(60).token_ids[:2] == (5, 6) for future in decoded)
    assert pool.aligns
    pool.close()


def test_a_model_that_cannot_tell_is_known_by_it() -> None:
    engine = Engine(EchoModel())
    assert not engine.alignments.possible
    engine.close()


def test_what_fails_for_one_pair_leaves_the_engine_at_work() -> None:
    engine = Engine(LookingModel())
    with pytest.raises(RuntimeError, match="told to fail"):
        engine.alignments.align(AlignmentRequest((9, END), (5, END), 0)).result(60)
    assert engine.alignments.align(PAIR).result(60).weights
    assert engine.alive
    engine.close()


def test_pairs_beyond_the_model_are_refused_by_name() -> None:
    engine = Engine(LookingModel())
    with pytest.raises(InvalidInputError, match="source_ids"):
        engine.alignments.align(AlignmentRequest((5,) * 65, (5, END), 0))
    with pytest.raises(InvalidInputError, match="token_ids"):
        engine.alignments.align(AlignmentRequest((5, END), (), 0))
    engine.close()


def test_a_closed_engine_aligns_what_waits_and_takes_no_more() -> None:
    engine = Engine(LookingModel())
    waiting = [engine.alignments.align(PAIR) for _ in range(9)]
    engine.close()
    assert all(future.done() for future in waiting)
    with pytest.raises(DrainingError):
        engine.alignments.align(PAIR)


def test_a_dead_engine_answers_those_who_wait_for_an_alignment() -> None:
    class Mortal(LookingModel):
        def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
            raise RuntimeError("CUDA error: the toy was told to die")

    engine = Engine(Mortal())
    with pytest.raises(EngineDeadError):
        engine.submit(echo_request([5, 6])).result(60)
    with pytest.raises(EngineDeadError):
        engine.alignments.align(PAIR)


def test_a_shallow_decoder_is_read_at_its_last_layer_and_a_deep_one_before_it() -> None:
    weights = torch.arange(6.0)[:, None, None, None].expand(6, 2, 1, 1)
    assert look_at(weights[:2]).item() == 1.0
    assert look_at(weights).item() == 4.0
