"""A batch that failed is run again with the same outcome: tokens and scores are those of a run without a failure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

import pytest
from glossd.config import ModelSettings
from glossd.engine.engine import Engine
from glossd.engine.limits import EngineLimits
from glossd.models.base import ModelInfo, Seq2SeqModel
from glossd.models.cache import KVCache
from glossd.models.loading import load_checkpoint
from glossd.models.quantized import int8_is_fast
from glossd.types import Generation, GenerationRequest
from torch import Tensor

from tests.checkpoints import parity_segments
from tests.conftest import Checkpoints
from tests.parity.reference import params_of

SEGMENTS = 60


@dataclass
class Flaky:
    """A model that finds no memory or raises, before or after its work, once in a while; ``failed`` counts it."""

    inner: Seq2SeqModel
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    failed: int = 0

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        return self.inner.new_cache(rows=rows, sources=sources)

    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        self._perhaps_fail(len(lengths))
        self.inner.encode(source_ids, lengths, slots, cache)
        self._perhaps_fail(len(lengths))

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        self._perhaps_fail(len(token_ids))
        scores = self.inner.decode(token_ids, positions, cache)
        self._perhaps_fail(len(token_ids))
        return scores

    def _perhaps_fail(self, rows: int) -> None:
        if rows > 8 and self.chance.random() < 0.05:
            self.failed += 1
            raise self.chance.choice((MemoryError(), RuntimeError("the toy was told to fail")))


def outcomes(model: Seq2SeqModel, requests: list[GenerationRequest]) -> list[Generation]:
    engine = Engine(model, limits=EngineLimits(rows=32, sources=32, cache_entries=0))
    futures = [engine.submit(request) for request in requests]
    try:
        return [future.result(120) for future in futures]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("family", "dtype"), [("marian", "float32"), ("t5", "float32"), ("marian", "int8"), ("t5", "int8")]
)
def test_failed_calls_change_no_output(
    family: str, dtype: Literal["float32", "int8"], checkpoints: Checkpoints
) -> None:
    if dtype == "int8" and not int8_is_fast():
        pytest.skip("this processor does not sum 8-bit products exactly in hardware")
    checkpoint = load_checkpoint(str(checkpoints(family)), settings=ModelSettings(dtype=dtype, device="cpu"))
    info, tokenizer = checkpoint.model.info, checkpoint.tokenizer
    target = tokenizer.target_language_codes[0]
    encoded = [
        tokenizer.encode(text, source_language="en", target_language=target) for text in parity_segments(SEGMENTS)
    ]
    requests = [
        GenerationRequest(ids, params_of(info, num_beams=1 + number % 3, max_new_tokens=16))
        for number, ids in enumerate(encoded)
    ]
    flaky = Flaky(checkpoint.model)
    failed, clean = outcomes(flaky, requests), outcomes(checkpoint.model, requests)
    assert flaky.failed > 3
    assert [one.token_ids for one in failed] == [one.token_ids for one in clean]
    exact = 0.0 if dtype == "int8" else 1e-4
    assert max(abs(one.score - other.score) for one, other in zip(failed, clean, strict=True)) <= exact
