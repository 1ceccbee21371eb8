"""``glossd serve``: load the models, listen, say where, and drain on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from glossd import __version__
from glossd.cli.options import ConfigOption, ServedModelOption, SetOption, SummaryModelOption, read_settings
from glossd.config import Settings

if TYPE_CHECKING:
    from glossd.server.app import Server
    from glossd.tasks.api import Services

READY = "ready"
SWITCH_SECONDS = 0.0005
"""How long a thread that works on a text may keep the interpreter. The event loop, with its health checks and new
calls, waits behind each: with Python's own 5 ms a check beside 30 long documents took twice as long or more."""

_log = logging.getLogger(__name__)

HostOption = Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
PortOption = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port to listen on; 0 takes a free one.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve)


def serve(
    host: HostOption = None,
    port: PortOption = None,
    model: ServedModelOption = None,
    summary_model: SummaryModelOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Serve gRPC until SIGTERM or Ctrl-C. Without --model the embedded English to Chinese model is served.

    Try:

    glossd serve

    glossd serve --port 0 --model Helsinki-NLP/opus-mt-en-zh

    glossd serve --summary-model ./bart-large-cnn --set engine.rows=32
    """
    loaded = read_settings(
        config,
        set_,
        server__host=host,
        server__port=port,
        models__translation=model,
        models__summarization=summary_model,
    )
    from glossd.telemetry.logging import configure_logging

    configure_logging(loaded.settings.logging)
    sys.setswitchinterval(SWITCH_SECONDS)
    code = asyncio.run(_Process(loaded.settings).run())
    raise typer.Exit(code)


class _Process:
    """One server process from start to drain. ``run`` returns its exit code."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._engine_died = False

    async def run(self) -> int:
        """Start, serve until told to stop or until an engine dies, drain."""
        from glossd.server.app import Server  # grpc and torch load with the server, not with --help
        from glossd.tasks.api import build_services
        from glossd.telemetry.metrics import Metrics, serve_metrics
        from glossd.telemetry.traces import open_traces

        loop = asyncio.get_running_loop()

        def on_death(name: str, error: BaseException) -> None:
            loop.call_soon_threadsafe(self._end_with_failure)

        metrics = Metrics()
        traces = open_traces(self._settings.tracing, version=__version__)
        services = build_services(self._settings, metrics=metrics, on_engine_death=on_death)
        metrics.watch_engines(services.hub.readings)
        server = Server(services, self._settings.server, metrics=metrics, traces=traces)
        metrics.watch_process(__version__, lambda: server.health.serving, services.hub.readiness)
        endpoint = serve_metrics(metrics, self._settings.metrics)
        if endpoint is not None:
            _log.info("serving metrics", extra={"host": self._settings.metrics.host, "port": endpoint.port})
        try:
            # They stay until the process ends: the second signal may come while calls drain.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._on_signal)
            await self._serve(server, services)
        finally:
            await server.drain(self._hurry)
            await services.close()
            if endpoint is not None:
                await asyncio.to_thread(endpoint.close)
            if traces is not None:
                await asyncio.to_thread(traces.close)
        return 1 if self._engine_died else 0

    async def _serve(self, server: Server, services: Services) -> None:
        port = await server.start()
        loading = asyncio.create_task(services.start(), name="load models")
        stopping = asyncio.create_task(self._stop.wait(), name="wait for stop")
        try:
            await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                await loading
                server.health.open()
                address = f"{self._settings.server.host}:{port}"
                models = [model.name for model in services.hub.served()]
                _log.info(READY, extra={"address": address, "models": models})
                await stopping
                server.health.announce()
        finally:
            loading.cancel()
            stopping.cancel()
            await asyncio.gather(loading, stopping, return_exceptions=True)

    def _end_with_failure(self) -> None:
        self._engine_died = True
        self._stop.set()

    def _on_signal(self) -> None:
        """The first signal drains; the second one cuts what is still in flight."""
        (self._hurry if self._stop.is_set() else self._stop).set()
