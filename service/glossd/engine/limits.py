"""What an engine may hold and how long it may be silent. Plain numbers; the settings fill them."""

from __future__ import annotations

from dataclasses import dataclass

from glossd.errors import InvalidInputError
from glossd.models.base import ModelInfo
from glossd.types import GenerationRequest


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What an engine may hold at once: decoder rows, sources, padded source tokens an encoder run, queued tokens,
    recent results, the age at which bulk work gets ``bulk_share`` of the tokens beside interactive work, the share of
    rows and queue that is kept for interactive work, and compute threads (0: leave as they are).

    ``workers`` is how many such engines a pool runs (0: as many as there are cores on a CPU, else one). The rest is for
    the watch over them: the silence that makes one unwell, how long one may be unwell, how often one is replaced.
    """

    rows: int = 64
    sources: int = 64
    batch_tokens: int = 4096
    queue_tokens: int = 2_000_000
    cache_entries: int = 2048
    ageing_seconds: float = 2.0
    bulk_share: float = 0.2
    interactive_share: float = 0.125
    threads: int = 0
    workers: int = 0
    hang_seconds: float = 5.0
    exit_seconds: float = 60.0
    restarts: int = 3

    def check(self, request: GenerationRequest, info: ModelInfo) -> None:
        """Raise ``InvalidInputError`` for what the model or an engine of these limits can never run."""
        length, params = len(request.source_ids), request.params
        if length == 0:
            raise InvalidInputError("source_ids", "no source tokens")
        if info.window and length > info.window:
            raise InvalidInputError("source_ids", f"{length:,} tokens; the window is {info.window:,}")
        if params.num_beams > self.rows:
            raise InvalidInputError("num_beams", f"{params.num_beams}; the engine has {self.rows} rows")
        if params.max_new_tokens < 1 or (info.max_target and params.max_new_tokens > info.max_target):
            limit = info.max_target or "not fixed"
            raise InvalidInputError("max_new_tokens", f"{params.max_new_tokens:,}; the model's limit is {limit}")
