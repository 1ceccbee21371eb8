"""The engine of a cluster: Ray Data reads the records, actors that each hold a hub work on them, outcomes are kept.

Nothing is shared between the machines but a folder, which all of them see. A run that was killed and begins again with
the same folder does only what has no outcome yet.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from glossd import __version__
from glossd.config import Settings
from glossd.corpus.ray_files import KEY, Staged, outcomes_of, stage
from glossd.corpus.ray_worker import BuildEngine, Worker, build_local
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Outcome, Record
from glossd.errors import GlossdError, InvalidInputError

_log = logging.getLogger(__name__)

SPARE_CPUS = 2  # for reading, writing and, in a run that is resumed, for the actor that filters what is done
_UNSUPPORTED = ".*Checkpointing will be disabled"


class StalledError(GlossdError):
    """Ray has written nothing for longer than the limit."""

    reason = "STALLED"


@dataclass(frozen=True, slots=True)
class RayLimits:
    """``address`` "" starts a cluster on this machine. ``actors`` 0 takes as many as fit, each with ``actor_cpus``
    engine workers. ``block`` records are read, worked on and committed together, ``wave_characters`` are one Ray job.
    """

    address: str = ""
    actors: int = 0
    actor_cpus: int = 1
    block: int = 256
    wave_characters: int = 256_000_000
    stall_seconds: float = 1800.0


class RayEngine:
    """A :class:`glossd.corpus.engine.CorpusEngine` over a Ray cluster. ``folder`` is seen by all of its machines."""

    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        *,
        folder: Path,
        identity: Mapping[str, str],
        limits: RayLimits | None = None,
        build: BuildEngine = build_local,
    ) -> None:
        """Join or start the cluster. Raises ``InvalidInputError`` where Ray is missing or the cluster too small."""
        recipe.check()
        self._limits = limits or RayLimits()
        self._recipe = recipe
        self._build = build
        self._identity = dict(identity)
        said = json.dumps([self._identity, recipe.as_json()], sort_keys=True)
        self._folder = folder.absolute() / f"ray-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        self._actors, self._gpus = self._join(settings)
        engine = {"workers": self._limits.actor_cpus, "threads": 1}
        self._settings = settings.model_copy(update={"engine": settings.engine.model_copy(update=engine)})

    def identity(self) -> Mapping[str, str]:
        """See :class:`glossd.corpus.engine.CorpusEngine`: that of the engine in every actor."""
        return self._identity

    def occupancy(self) -> float | None:
        """Not known from here."""
        return None

    def run(self, records: Iterable[Record]) -> Iterator[Outcome]:
        """See :class:`glossd.corpus.engine.CorpusEngine`. A wave of records is written to the folder and worked on; its
        outcomes come in order of position when all are there. Then the next.
        """
        left = iter(records)
        staging = self._folder / "input"
        while True:
            shutil.rmtree(staging, ignore_errors=True)
            staged = stage(_wave(left, self._limits.wave_characters), staging, block=self._limits.block)
            if staged.count:
                self._work(staged)
                yield from outcomes_of(staged, self._folder / "output")
            shutil.rmtree(self._folder, ignore_errors=True)
            if not staged.count:
                return

    def close(self) -> None:
        """Leave the cluster; one that was started here ends. Idempotent."""
        import ray

        ray.shutdown()

    def _join(self, settings: Settings) -> tuple[int, int]:
        """The number of actors, and of GPUs for each."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise InvalidInputError("--engine", "ray is not installed; pip install 'glossd[ray]'") from error
        limits = self._limits
        # More processors than there are, by the spare ones: Ray only counts them, and what they do is little.
        wanted = limits.actors * limits.actor_cpus or len(os.sched_getaffinity(0))
        ray.init(
            address=limits.address or None,
            num_cpus=None if limits.address else max(wanted, limits.actor_cpus) + SPARE_CPUS,
            include_dashboard=None if limits.address else False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            ignore_reinit_error=True,
        )
        total = ray.cluster_resources()
        gpus = int(total.get("GPU", 0)) if settings.models.device != "cpu" else 0
        fitting = int((total.get("CPU", 0) - SPARE_CPUS) // limits.actor_cpus)
        actors = limits.actors or (min(fitting, gpus) if gpus else fitting)
        if actors < 1 or actors > fitting:
            self.close()
            needed = max(1, limits.actors) * limits.actor_cpus + SPARE_CPUS
            found = f"{total.get('CPU', 0):g} processors"
            raise InvalidInputError("--engine", f"ray needs {needed} processors here; the cluster has {found}")
        return actors, 1 if gpus else 0

    def _work(self, staged: Staged) -> None:
        """Run the job to its end in a thread of its own, and watch that it gets on."""
        failures: list[BaseException] = []
        ended = threading.Event()

        def work() -> None:
            try:
                self._execute(staged)
            except BaseException as error:
                failures.append(error)
            finally:
                ended.set()

        _log.info("ray begins", extra={"records": staged.count, "actors": self._actors})
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=_UNSUPPORTED)
            threading.Thread(target=work, name="ray job", daemon=True).start()
            written = -1
            while not ended.wait(self._limits.stall_seconds):
                before, written = written, self._written()
                if before == written:
                    message = f"ray has written nothing for {self._limits.stall_seconds:g} s, at {written:,} files"
                    raise StalledError(message)
        if failures:
            raise failures[0]

    def _written(self) -> int:
        """How much the job has left on disk: files of outcomes and of checkpoints."""
        return sum(1 for part in ("output", "checkpoint") for _ in (self._folder / part).glob("*"))

    def _execute(self, staged: Staged) -> None:
        import ray
        from ray.data.checkpoint import CheckpointConfig

        logging.getLogger("ray.data").setLevel(logging.WARNING)  # the display tells how far the run is
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = sys.stderr.isatty()
        context.checkpoint_config = CheckpointConfig(
            id_column=KEY,
            checkpoint_path=str(self._folder / "checkpoint"),
            delete_checkpoint_on_success=False,
        )
        # The newer reader joins small files to one block, and with them what is committed together. Either is given the
        # folder and not its files: Ray looks at several paths in threads, whose imports then break each other.
        context.use_datasource_v2 = False
        data = ray.data.read_parquet(str(self._folder / "input"), override_num_blocks=len(staged.files))
        data = data.map_batches(
            Worker,
            fn_constructor_kwargs={"settings": self._settings, "recipe": self._recipe, "build": self._build},
            batch_size=self._limits.block,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=self._actors),
            num_cpus=self._limits.actor_cpus,
            num_gpus=self._gpus,
        )
        data.write_parquet(str(self._folder / "output"))


def _wave(records: Iterator[Record], characters: int) -> Iterator[Record]:
    """The next records, about so many characters of them."""
    for record in records:
        yield record
        characters -= record.length
        if characters <= 0:
            return


def build_ray_engine(settings: Settings, recipe: Recipe, *, folder: Path, limits: RayLimits | None = None) -> RayEngine:
    """An engine over the models that the settings name, which every machine of the cluster has."""
    from glossd.corpus.local import digests_of

    models = {f"model {name}": digest for name, digest in digests_of(settings, recipe).items()}
    formats = {"dtype": settings.models.dtype, "device": settings.models.device}
    identity = {"glossd": __version__, **formats, **models}
    return RayEngine(settings, recipe, folder=folder, identity=identity, limits=limits)
