"""What a request will take, estimated from its size and from the models before any work is done on it.

The model is simple and meant to err upwards; docs/security.md says what it was measured against.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from glossd.server.budget import Load
from glossd.v1 import common_pb2 as common

if TYPE_CHECKING:
    from glossd.tasks.hub import Hub
    from glossd.tasks.served import ServedModel

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 in a source token: four Latin letters, or one and a third Chinese characters."""
MEMORY_PER_BYTE = 200
"""Memory that a document takes per byte while it is worked on: text, segments, spans, results and the answer."""
MEMORY_PER_DOCUMENT = 256 << 10
TARGET_PER_SOURCE = 2
"""Positions of a row's own keys and values for each source token."""
HALF = ("float16", "bfloat16")


class Estimator:
    """Estimates requests for the models of a hub, whichever are ready."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def load(self, documents: Sequence[common.Document], decode: common.DecodeOptions) -> Load:
        """The load of a request with these documents."""
        sizes = [document.ByteSize() for document in documents]
        tokens = sum(1 + size // BYTES_PER_TOKEN for size in sizes)
        beams = max(1, min(16, decode.num_beams)) if decode.HasField("num_beams") else None
        cache = cache_bytes(self._hub.served(), tokens=tokens, beams=beams)
        memory = len(documents) * MEMORY_PER_DOCUMENT + sum(sizes) * MEMORY_PER_BYTE + cache
        return Load(len(documents), tokens, memory)


def cache_bytes(models: Iterable[ServedModel], *, tokens: int, beams: int | None) -> int:
    """Keys and values of that many source tokens in the batch of the model that needs most for them.

    A source token has one position that all beams read, and each beam writes up to two positions of its own. No more
    is held at a time than the rows of the model take.
    """
    return max((_cache_bytes(model, tokens, beams or model.info.defaults.num_beams) for model in models), default=0)


def _cache_bytes(model: ServedModel, tokens: int, beams: int) -> int:
    info = model.info
    positions = tokens * (1 + TARGET_PER_SOURCE * beams)
    if info.window and info.max_target:
        rows = (model.read().rows if model.read is not None else 0) or model.max_beams
        positions = min(positions, rows * (info.window + info.max_target))
    return positions * position_bytes(model)


def position_bytes(model: ServedModel) -> int:
    """Keys and values of one position in every layer."""
    width = 2 if model.dtype in HALF else 4  # int8 weights keep float32 keys and values
    return 2 * model.info.layers * model.info.heads * model.info.head_width * width
