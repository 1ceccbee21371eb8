"""``glossd serve`` as a process of its own, with the real engines over a toy model whose steps take a set time.

The toy gives one Chinese character for every word, always the same one, and waits instead of computing: what the server
can do is then known beforehand and costs little, so that it can be offered many times as much. Its pace is in the
environment: ``PACED_STEP_SECONDS`` for one decode step, ``PACED_ROWS`` for the rows of the one engine. ``PACED_OUTPUT``
makes it a bad translator: "loop" says one word for ever, "empty" nothing, "short" two words, "latin" the source.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Sequence
from typing import Any

import torch
from glossd.config import Settings
from glossd.engine.limits import EngineLimits
from glossd.engine.pool import EnginePool
from glossd.models.base import DecodeDefaults, ModelInfo
from glossd.models.cache import CacheShape, KVCache
from glossd.tasks import api
from glossd.tasks.served import ModelTask, ServedModel
from glossd.telemetry.metrics import EngineReading
from torch import Tensor

from tests.toys import toy_hub

STEP_SECONDS, ROWS, OUTPUT = "PACED_STEP_SECONDS", "PACED_ROWS", "PACED_OUTPUT"
NAME = "paced-en-zh"
START, END, DIGITS, MARKS, WORDS, VOCABULARY = 0, 1, 2, 12, 40, 2000
WINDOW = 64
_MARKS = {".": "。", ",": "，", "!": "！", "?": "？", ";": "；", ":": "：", '"': "”", "'": "’", "(": "（", ")": "）"}


class WordTokenizer:
    """One token per word, digit or mark, and an end token. A word's token is its checksum's, so nothing is learned."""

    window = WINDOW

    def __init__(self, *, latin: bool = False) -> None:
        self._latin = latin

    def encode(self, text: str, *, source_language: str, target_language: str) -> tuple[int, ...]:
        parts = re.findall(r"[0-9]|[^\W\d_]+|\S", text)
        return (*(self._token(part) for part in parts), END)

    def _token(self, part: str) -> int:
        if "0" <= part <= "9":
            return DIGITS + int(part)
        if part in _MARKS:
            return MARKS + list(_MARKS).index(part)
        return WORDS + zlib.crc32(part.lower().encode("utf-8", "replace")) % (VOCABULARY - WORDS)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._character(token) for token in ids if token > END)

    def _character(self, token: int) -> str:
        if token < MARKS:
            return str(token - DIGITS)
        marks = list(_MARKS.values())
        if self._latin:
            return f"word{token} "
        return marks[token - MARKS] if token < MARKS + len(marks) else chr(0x4E00 + token)

    def count(self, text: str) -> int:
        return len(self.encode(text, source_language="", target_language=""))

    def forced_bos_token_id(self, target_language: str) -> int | None:
        return None

    def decoder_start_token_id(self, target_language: str) -> int | None:
        return None


class PacedModel:
    """Repeats its source token by token, ``step_seconds`` apart, then ends. What it knows is in the real cache."""

    def __init__(self, step_seconds: float, output: str = "") -> None:
        defaults = DecodeDefaults(max_new_tokens=2 * WINDOW)
        self.info = ModelInfo("paced", 1, 1, 1, VOCABULARY, WINDOW, 2 * WINDOW, 1, START, START, (END,), defaults)
        self._step_seconds = step_seconds
        self._output = output

    def new_cache(self, *, rows: int, sources: int) -> KVCache:
        return KVCache(CacheShape(1, 1, 1, rows, sources), dtype=torch.float32, device=torch.device("cpu"))

    def encode(self, source_ids: Tensor, lengths: Tensor, slots: Tensor, cache: KVCache) -> None:
        column = torch.arange(source_ids.shape[1])
        ids = torch.where(column < lengths[:, None], source_ids, END)
        ids = torch.cat([ids, torch.full_like(ids[:, :1], END)], 1).float()[:, None, :, None]
        cache.reserve_sources(slots.tolist(), (lengths + 1).tolist())
        cache.write_cross(0, slots, ids, ids)

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        time.sleep(self._step_seconds)  # what stands for the arithmetic of a large model
        sources, _ = cache.cross(0)
        ids = sources[cache.row_sources, 0, :, 0].long()
        following = ids.gather(1, positions[:, None].clamp(max=ids.shape[1] - 1))
        if self._output == "loop":
            following[:] = WORDS + 7
        elif self._output in ("empty", "short"):
            following[positions >= (2 if self._output == "short" else 0)] = END
        return torch.zeros(len(token_ids), VOCABULARY).scatter(1, following, 9.0)


def paced_model(settings: Settings, **options: Any) -> ServedModel:
    """The toy behind the real engine, English to Chinese."""
    rows = int(os.environ.get(ROWS, settings.engine.rows))
    values = settings.engine.model_dump() | {"rows": rows, "workers": 1, "threads": 1}
    fields = EngineLimits.__dataclass_fields__
    limits = EngineLimits(**{name: value for name, value in values.items() if name in fields})
    output = os.environ.get(OUTPUT, "")
    model = PacedModel(float(os.environ.get(STEP_SECONDS, "0.001")), output)
    engine = EnginePool(model, limits=limits, name=NAME, **options)
    return ServedModel(
        name=NAME,
        tasks=(ModelTask.TRANSLATION,),
        source_language_codes=("en",),
        target_language_codes=("zh-Hans",),
        info=model.info,
        tokenizer=WordTokenizer(latin=output == "latin"),
        generator=engine,
        alive=lambda: engine.alive,
        read=lambda: reading(engine),
    )


def reading(engine: EnginePool) -> EngineReading:
    """What the metrics show of the engine."""
    statistics = engine.statistics()
    return EngineReading(
        model=NAME,
        alive=engine.alive,
        queued_segments=statistics.waiting,
        queued_tokens=statistics.waiting_tokens,
        rows_in_use=statistics.live_rows,
        rows=statistics.rows,
        source_tokens=statistics.counters.source_tokens,
        target_tokens=statistics.counters.output_tokens,
        decode_steps=statistics.counters.steps,
    )


def main() -> None:
    """Serves as the command line does, over the toy."""
    build = api.build_services

    def build_paced(settings: Settings, **options: Any) -> api.Services:
        return build(settings, hub=toy_hub(paced_model(settings)), **options)

    api.build_services = build_paced
    from glossd.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
