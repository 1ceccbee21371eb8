"""What runs inside a Ray actor: one engine of one process, and batches of records through it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from glossd.config import Settings
from glossd.corpus.engine import CorpusEngine
from glossd.corpus.ray_files import KEY, OUTCOME, POSITION, from_table, result_to_json
from glossd.corpus.recipe import Recipe
from glossd.errors import EngineDeadError

if TYPE_CHECKING:
    import pyarrow

BuildEngine = Callable[[Settings, Recipe], CorpusEngine]


def build_local(settings: Settings, recipe: Recipe) -> CorpusEngine:
    """The engine that ``--engine local`` has."""
    from glossd.corpus.local import build_local_engine  # loads torch

    return build_local_engine(settings, recipe)


class Worker:
    """An actor: loads the models once, then turns batches of records into batches of outcomes."""

    def __init__(self, settings: Settings, recipe: Recipe, build: BuildEngine) -> None:
        self._engine = build(settings, recipe)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Outcomes in the order of the records."""
        import pyarrow

        try:
            results = {outcome.position: outcome.result for outcome in self._engine.run(from_table(batch))}
        except EngineDeadError:
            # Ray would give the same batch to the same actor again; one that is gone is started anew.
            os._exit(1)
        outcomes = [result_to_json(results[position]) for position in batch[POSITION].to_pylist()]
        return pyarrow.table({KEY: batch[KEY], POSITION: batch[POSITION], OUTCOME: outcomes})
