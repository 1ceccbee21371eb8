"""The way into this layer: the services that the server, the corpus runner and the command line call."""

from __future__ import annotations

from dataclasses import dataclass

from glossd.config import Settings
from glossd.tasks.detection import HubDetector
from glossd.tasks.digest import Digester
from glossd.tasks.hub import Hub
from glossd.tasks.loading import CheckpointLoader, OnDeath, known_models
from glossd.tasks.reading import Detector, Reader
from glossd.tasks.served import ModelTask
from glossd.tasks.summarize import Summarizer
from glossd.tasks.translate import Translator
from glossd.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that works on documents, over one hub. Used from one event loop."""

    hub: Hub
    detector: Detector
    reader: Reader
    translator: Translator
    summarizer: Summarizer
    digester: Digester

    async def start(self, *needed: ModelTask) -> None:
        """Load the known models that do any of ``needed``, all of them if nothing is said. Raises the first failure."""
        await self.hub.load_all(needed or tuple(ModelTask))

    async def close(self) -> None:
        """Stop the engines after what is queued. Idempotent."""
        await self.hub.close()


def build_services(
    settings: Settings,
    *,
    hub: Hub | None = None,
    detector: Detector | None = None,
    metrics: Metrics | None = None,
    on_engine_death: OnDeath | None = None,
) -> Services:
    """Services over the models that the settings name, not loaded yet, or over a hub that exists.

    ``on_engine_death`` is called in the dying engine's thread with the model's name and the error.
    """
    if hub is None:
        load = CheckpointLoader(settings.models, settings.engine, on_death=on_engine_death)
        hub = Hub(known_models(settings.models), load)
    detector = detector or HubDetector(hub)
    metrics = metrics or Metrics()
    reader = Reader(detector, metrics)
    translator = Translator(hub, reader, metrics)
    summarizer = Summarizer(hub, reader, metrics)
    return Services(hub, detector, reader, translator, summarizer, Digester(reader, summarizer, translator))
