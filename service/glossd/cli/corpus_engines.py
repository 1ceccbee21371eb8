"""Which engine a corpus run works with: one function for each value of ``--engine``, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from glossd.cli.reach import connection_of
from glossd.config import Settings
from glossd.errors import InvalidInputError

if TYPE_CHECKING:
    from glossd.corpus.engine import CorpusEngine
    from glossd.corpus.recipe import Recipe


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the options say about the engine: its kind, and what it is built from.

    ``endpoints`` are those of a fleet. ``address`` is that of a Ray cluster, "" for one on this machine, which has
    ``actors``, 0 for as many as fit, and keeps what is done in ``folder``.
    """

    kind: str
    settings: Settings
    recipe: Recipe
    endpoints: tuple[str, ...] = ()
    address: str = ""
    actors: int = 0
    folder: Path | None = None


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
    models = choice.settings.models
    recipe = replace(
        choice.recipe,
        translation_model=_only("--model", models.translation),
        summary_model=_only("--summary-model", models.summarization),
    )
    return FleetEngine(choice.endpoints, recipe, connection=connection)


def _ray(choice: EngineChoice) -> CorpusEngine:
    from glossd.corpus.ray_engine import RayLimits, build_ray_engine

    if choice.folder is None:
        raise InvalidInputError("--engine", "ray keeps what is done beside the output, and there is none")
    limits = RayLimits(address=choice.address, actors=choice.actors)
    return build_ray_engine(choice.settings, choice.recipe, folder=choice.folder, limits=limits)


def _only(option: str, names: tuple[str, ...]) -> str:
    """The model that a server is asked for, by the name it knows; "" leaves the choice to it."""
    if len(names) > 1:
        raise InvalidInputError(option, f"{len(names)} models; with --engine grpc it is one that the servers know")
    return names[0] if names else ""


ENGINES: Mapping[str, Callable[[EngineChoice], CorpusEngine]] = {"local": _local, "grpc": _grpc, "ray": _ray}
