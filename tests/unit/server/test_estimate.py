"""Estimates: they grow with the text and the beams, follow the model's facts, and are bounded by its rows."""

from __future__ import annotations

from dataclasses import replace

from glossd.server.estimate import MEMORY_PER_BYTE, Estimator, cache_bytes, position_bytes
from glossd.tasks.served import ServedModel
from glossd.v1 import common_pb2 as common

from tests.toys import toy_hub, toy_model


def model(*, layers: int = 6, width: int = 512, dtype: str = "float32", window: int = 0) -> ServedModel:
    toy = toy_model()
    info = replace(toy.info, layers=layers, heads=8, head_width=width // 8, window=window, max_target=window)
    return replace(toy, info=info, dtype=dtype, max_beams=16)


def documents(*texts: str) -> list[common.Document]:
    return [common.Document(text=text) for text in texts]


def test_a_position_has_keys_and_values_in_every_layer() -> None:
    assert position_bytes(model()) == 2 * 6 * 512 * 4
    assert position_bytes(model(dtype="bfloat16")) == 2 * 6 * 512 * 2
    assert position_bytes(model(dtype="int8")) == position_bytes(model())


def test_each_beam_has_positions_of_its_own_and_the_source_is_shared() -> None:
    greedy, beams = (cache_bytes([model()], tokens=100, beams=beams) for beams in (1, 4))
    assert greedy == 300 * position_bytes(model())
    assert beams == 900 * position_bytes(model())


def test_no_more_than_the_rows_take_is_held_at_a_time() -> None:
    bounded = cache_bytes([model(window=64)], tokens=10**6, beams=1)
    assert bounded == 16 * 128 * position_bytes(model())


def test_the_model_that_needs_most_counts_and_none_needs_nothing() -> None:
    small, large = model(layers=2), model(layers=12)
    assert cache_bytes([small, large], tokens=10, beams=1) == cache_bytes([large], tokens=10, beams=1)
    assert cache_bytes([], tokens=10, beams=1) == 0


def test_a_load_counts_every_document_in_bytes_not_characters() -> None:
    estimator, decode = Estimator(toy_hub()), common.DecodeOptions()
    latin, chinese = (estimator.load(documents(text * 400), decode) for text in ("a", "字"))
    assert latin.documents == 1
    assert 100 <= latin.tokens <= 110
    assert 300 <= chinese.tokens <= 310
    assert chinese.memory_bytes - latin.memory_bytes >= 800 * MEMORY_PER_BYTE
    both = estimator.load(documents("a" * 400, "字" * 400), decode)
    assert both.documents == 2
    assert both.tokens == latin.tokens + chinese.tokens
