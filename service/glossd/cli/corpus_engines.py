"""Which engine a corpus run works with: one function for each value of ``--engine``, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glossd.cli.reach import connection_of
from glossd.config import Settings
from glossd.errors import InvalidInputError

if TYPE_CHECKING:
    from glossd.corpus.engine import CorpusEngine
    from glossd.corpus.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the options say about the engine: its kind, what it is built from, and a fleet's ``endpoints``."""

    kind: str
    settings: Settings
    recipe: Recipe
    endpoints: tuple[str, ...] = ()


def build_engine(choice: EngineChoice) -> CorpusEngine:
    """The engine that was chosen, ready to work. The caller closes it."""
    return ENGINES[choice.kind](choice)


def _local(choice: EngineChoice) -> CorpusEngine:
    from glossd.corpus.local import build_local_engine  # loads torch

    return build_local_engine(choice.settings, choice.recipe)


def _grpc(choice: EngineChoice) -> CorpusEngine:
    from glossd.corpus.fleet import FleetEngine

    if not choice.endpoints:
        raise InvalidInputError("--endpoint", "--engine grpc needs one, as dns:///glossd:50051, or several")
    connection = connection_of(choice.settings.client)
    if connection.token and not connection.tls:
        raise InvalidInputError("client.token_file", "a fleet's token is sent over TLS only; set client.tls")
    return FleetEngine(choice.endpoints, choice.recipe, connection=connection)


ENGINES: Mapping[str, Callable[[EngineChoice], CorpusEngine]] = {"local": _local, "grpc": _grpc}
