"""Which engine a corpus run works with: one function for each value of ``--engine``, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glossd.config import Settings

if TYPE_CHECKING:
    from glossd.corpus.engine import CorpusEngine
    from glossd.corpus.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the options say about the engine: its kind, and what it is built from."""

    kind: str
    settings: Settings
    recipe: Recipe


def build_engine(choice: EngineChoice) -> CorpusEngine:
    """The engine that was chosen, ready to work. The caller closes it."""
    return ENGINES[choice.kind](choice)


def _local(choice: EngineChoice) -> CorpusEngine:
    from glossd.corpus.local import build_local_engine  # loads torch

    return build_local_engine(choice.settings, choice.recipe)


ENGINES: Mapping[str, Callable[[EngineChoice], CorpusEngine]] = {"local": _local}
