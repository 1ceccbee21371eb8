"""A toy model whose faults can be switched: it translates every letter to a Chinese character until it is told to fail.

What it does wrong is read from a file before every decode step (one word, some with a number behind it), or stands in
the source text itself as one of three signs. It runs under the real engine pool.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from glossd.engine.limits import EngineLimits
from glossd.engine.pool import EnginePool
from glossd.models.base import DecodeDefaults, ModelInfo
from glossd.models.cache import KVCache
from glossd.tasks.canary import check_canary
from glossd.tasks.hub import Hub
from glossd.tasks.loading import reading_of
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from torch import Tensor

from tests.unit.engine.toy_model import END, POISON, START, VOCABULARY, EchoModel

NAME = "faulty-en-zh"
SHIFT = 2
CURSED, HUNGRY = 198, 197
SIGNS = {"^": POISON, "~": CURSED, "%": HUNGRY}
"""In a text: scores that are not numbers, a step that raises, a step that finds no memory."""

FAULTS = {
    "none": "all is well",
    "raise": "every step raises",
    "memory N": "a step with more than N rows finds no memory",
    "nan": "all scores are not numbers",
    "hang": "a step waits until the file says something else",
    "die": "the engine's thread ends",
    "fatal": "every step raises what a GPU does after which it answers nothing more",
    "crash": "the process ends by SIGSEGV",
}
SECRET = "what the model knows of its users"


class Faults:
    """What goes wrong now: the content of a file, or what ``set`` said where there is none."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._word = "none"
        self._changed = threading.Event()

    def set(self, fault: str) -> None:
        """From now on."""
        self._word = fault
        if self._path is not None:
            self._path.write_text(fault)

    def now(self) -> tuple[str, int]:
        """The fault and its number."""
        text = self._word
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                text = self._path.read_text()
        word, _, number = text.strip().partition(" ")
        return word or "none", int(number or 0)

    def wait_while(self, word: str) -> None:
        """Until something else goes wrong, or nothing."""
        while self.now()[0] == word:
            self._changed.wait(0.01)


class FaultyModel(EchoModel):
    """Repeats its source, and fails as ``faults`` or the source say."""

    def __init__(self, faults: Faults, *, window: int = 512) -> None:
        super().__init__()
        self.info = ModelInfo("faulty", 1, 1, 1, VOCABULARY, window, window, 1, 0, START, (END,), DecodeDefaults())
        self.faults = faults

    def decode(self, token_ids: Tensor, positions: Tensor, cache: KVCache) -> Tensor:
        word, number = self.faults.now()
        sources = cache.cross(0)[0][cache.row_sources]
        if word == "raise" or bool((sources == CURSED).any()):
            raise RuntimeError(SECRET)
        if (word == "memory" and len(token_ids) > number) or bool((sources == HUNGRY).any()):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")
        if word == "fatal":
            raise RuntimeError("CUDA error: device-side assert triggered")
        if word == "hang":
            self.faults.wait_while("hang")
        if word == "die":
            raise SystemExit(SECRET)
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        scores = super().decode(token_ids, positions, cache)
        return torch.full_like(scores, torch.nan) if word == "nan" else scores


class FaultyTokenizer:
    """One token per character; other than ASCII becomes a space."""

    def __init__(self, window: int = 512) -> None:
        self._window = window

    @property
    def window(self) -> int:
        return self._window

    def encode(self, text: str, *, source_language: str, target_language: str) -> tuple[int, ...]:
        return (*(SIGNS.get(each, SHIFT + ord(each) if each.isascii() else SHIFT + 32) for each in text), END)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(_written(chr(token - SHIFT)) for token in ids if token >= SHIFT + 32)

    def count(self, text: str) -> int:
        return len(text) + 1

    def forced_bos_token_id(self, target_language: str) -> int | None:
        return None

    def decoder_start_token_id(self, target_language: str) -> int | None:
        return None


def _written(character: str) -> str:
    return chr(0x4E00 + ord(character)) if character.isalpha() else character.strip()


def faulty_hub(
    faults: Faults,
    *,
    limits: EngineLimits | None = None,
    on_death: Callable[[str, BaseException], None] | None = None,
) -> Hub:
    """A hub that loads the one faulty model as a real one is loaded, its test sentence included."""

    async def load(known: KnownModel) -> ServedModel:
        model = FaultyModel(faults)

        def lost(error: BaseException) -> None:
            if on_death is not None:
                on_death(known.name, error)

        pool = EnginePool(model, limits=limits or EngineLimits(workers=1), name=known.name, on_death=lost)
        served = ServedModel(
            name=known.name,
            tasks=known.tasks,
            source_language_codes=("en",),
            target_language_codes=("zh-Hans",),
            info=model.info,
            tokenizer=FaultyTokenizer(model.info.window),
            generator=pool,
            alive=lambda: pool.alive,
            condition=lambda: pool.condition,
            read=lambda: reading_of(known.name, pool),
        )
        try:
            await check_canary(served)
        except BaseException:
            pool.close()
            raise
        return served

    return Hub([KnownModel(NAME, NAME, (ModelTask.TRANSLATION,))], load)
