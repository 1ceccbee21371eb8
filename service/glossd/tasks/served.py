"""A loaded model as the tasks see it: its tokenizer, its generator and what it is used for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from glossd.engine.generator import Aligner, Generator
from glossd.models.base import ModelInfo
from glossd.telemetry.metrics import EngineReading
from glossd.types import ModelDescription, ModelState


class TextTokenizer(Protocol):
    """Text to token ids with the special tokens of a language pair, and back. Thread-safe."""

    @property
    def window(self) -> int:
        """Largest number of source tokens with special tokens; 0 for no fixed limit."""
        ...

    def encode(self, text: str, *, source_language: str, target_language: str) -> tuple[int, ...]:
        """Token ids of ``text`` with special tokens. Codes are BCP-47."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, without special tokens."""
        ...

    def count(self, text: str) -> int:
        """Number of tokens of ``text`` with special tokens."""
        ...

    def forced_bos_token_id(self, target_language: str) -> int | None:
        """The first token to generate for a target language, or None."""
        ...

    def decoder_start_token_id(self, target_language: str) -> int | None:
        """The decoder's start token where the target language decides it, or None."""
        ...


class ModelTask(Enum):
    """What a model is used for."""

    TRANSLATION = "translation"
    SUMMARIZATION = "summarization"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that the settings name: ``source`` is a directory, a hub id or ``embedded``."""

    name: str
    source: str
    tasks: tuple[ModelTask, ...]


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A checkpoint with its running generator.

    ``max_beams`` is the most beams one segment may have; ``alive`` tells whether the generator still works and
    ``condition`` what is wrong with it, if anything; ``read`` gives its counters, where it has some; ``aligner`` is the
    generator again where it can align.
    """

    name: str
    tasks: tuple[ModelTask, ...]
    source_language_codes: tuple[str, ...]
    target_language_codes: tuple[str, ...]
    info: ModelInfo
    tokenizer: TextTokenizer
    generator: Generator
    dtype: str = "float32"
    device: str = "cpu"
    max_beams: int = 16
    alive: Callable[[], bool] = field(default=_always)
    condition: Callable[[], str] = field(default=str)
    read: Callable[[], EngineReading] | None = None
    aligner: Aligner | None = None

    @property
    def window(self) -> int:
        """Most source tokens with special tokens; 0 for no fixed limit."""
        return self.tokenizer.window

    def translates(self, source: str, target: str) -> bool:
        """Whether it translates this direction."""
        return (
            ModelTask.TRANSLATION in self.tasks
            and source in self.source_language_codes
            and target in self.target_language_codes
            and source != target
        )

    def summarizes(self, language: str) -> bool:
        """Whether it summarizes texts of this language."""
        return ModelTask.SUMMARIZATION in self.tasks and language in self.source_language_codes

    def describe(self, state: ModelState, detail: str = "") -> ModelDescription:
        """What the outside may know."""
        return ModelDescription(
            name=self.name,
            state=state,
            family=self.info.family,
            tasks=tuple(task.value for task in self.tasks),
            source_language_codes=self.source_language_codes,
            target_language_codes=self.target_language_codes,
            window_tokens=self.window,
            parameters=self.info.parameters,
            dtype=self.dtype,
            device=self.device,
            detail=detail,
        )
