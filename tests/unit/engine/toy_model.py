"""A model that repeats its source, one token a step, with everything it knows kept in the real cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from glossd.engine.generator import Generator
from glossd.models.base import DecodeDefaults, ModelInfo
from glossd.models.cache import CacheShape, KVCache
from glossd.types import GenerationParams, GenerationRequest
from torch import Tensor

START, END, VOCABULARY = 0, 1, 200
POISON = 199


class EchoModel:
    """Gives back its source token by token, then the end token.

    ``gate``, when given, is awaited before each decode step. POISON in a source gives scores that are not numbers.
    Step ``fail_at_step`` raises ``failure``.
    """

    def __init__(
        self,
        gate: threading.Semaphore | None = None,
        *,
        fail_at_step: int = -1,
        failure: type[BaseException] = RuntimeError,
    ) -> None:
        self.info = ModelInfo("echo", 1, 1, 1, VOCABULARY, 64, 64, 0, 0, START, (END,), DecodeDefaults())
        self.gate = gate
        self.fail_at_step = fail_at_step
        self.failure = failure
        self.steps = 0
        self.rows_seen: list[int] = []
        self.encoded: list[int] = []

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        return KVCache(CacheShape(1, 1, 1, rows, sources), dtype=torch.float32, device=torch.device("cpu"))

    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        time = torch.arange(source_ids.shape[1])
        ids = torch.where(time < lengths[:, None], source_ids, END)
        ids = torch.cat([ids, torch.full_like(ids[:, :1], END)], 1).float()[:, None, :, None]
        cache.reserve_sources(slots.tolist(), (lengths + 1).tolist())
        cache.write_cross(0, slots, ids, ids)
        self.encoded.extend(lengths.tolist())

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        if self.gate is not None:
            self.gate.acquire()
        self.steps += 1
        if self.steps == self.fail_at_step:
            raise self.failure("the toy was told to fail")
        self.rows_seen.append(len(token_ids))
        sources, _ = cache.cross(0)
        ids = sources[cache.row_sources, 0, :, 0].long()
        following = ids.gather(1, positions[:, None].clamp(max=ids.shape[1] - 1))
        scores = torch.zeros(len(token_ids), VOCABULARY).scatter(1, following, 9.0)
        scores[following[:, 0] == POISON] = torch.nan
        return scores


def echo_request(source: Sequence[int], **changes: Any) -> GenerationRequest:
    """A request for a source, with parameters (``num_beams``, ...) or request fields changed."""
    fields = {
        name: changes.pop(name) for name in ("priority", "fairness_key", "deadline_ns", "caller") if name in changes
    }
    settings: dict[str, Any] = {"decoder_start_token_id": START, "eos_token_ids": (END,), "max_new_tokens": 40}
    return GenerationRequest(tuple(source), GenerationParams(**(settings | changes)), **fields)


def wait_until(condition: Callable[[], bool], event: threading.Event | None = None) -> None:
    """Return once ``condition`` holds; fail after many tries. For facts that another thread is about to make true."""
    waiter = event or threading.Event()
    for _ in range(2000):
        if condition():
            return
        waiter.wait(0.005)
    raise AssertionError("the condition never came true")


def submits_elsewhere(generator: Generator, request: GenerationRequest) -> bool:
    """Whether another thread gets a request in while this one, perhaps the generator's own, waits for it."""
    other = threading.Thread(target=generator.submit, args=(request,), daemon=True)
    other.start()
    other.join(5)
    return not other.is_alive()
