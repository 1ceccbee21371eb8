"""A server's life as a process: load the models, serve until a signal or a dead engine, drain, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from glossd.config import Settings
from glossd.server.app import Server
from glossd.tasks.api import build_services
from glossd.telemetry.metrics import Metrics, serve_metrics

_log = logging.getLogger(__name__)

HEALTH_SECONDS = 1.0  # how often those who watch are told of changes


class Ending:
    """Why and how fast the process ends. The first request counts, the second hurries it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.exit_code = 0

    def ask(self, reason: str, exit_code: int = 0) -> None:
        """Ends the process; asked once more, at once."""
        _log.info("stopping", extra={"reason": reason, "again": self.asked.is_set()})
        (self.hurried if self.asked.is_set() else self.asked).set()
        self.exit_code = max(self.exit_code, exit_code)

    def ask_from_thread(self, reason: str, exit_code: int) -> None:
        """As ``ask``, from any thread."""
        self._loop.call_soon_threadsafe(self.ask, reason, exit_code)

    def listen_to_signals(self) -> None:
        """SIGTERM and SIGINT ask."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.ask, number.name)

    def ignore_signals(self) -> None:
        """Gives the signals back to Python."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)


async def serve(settings: Settings, *, on_ready: Callable[[int], None] | None = None) -> int:
    """Serves until told to stop; answers the exit code, 1 when an engine has died.

    ``on_ready`` is called with the port once the models are loaded. Raises what is wrong with the settings, the
    address or a model's files.
    """
    ending = Ending()
    ending.listen_to_signals()

    def engine_died(model: str, error: BaseException) -> None:
        ending.ask_from_thread(f"the engine of model {model} has died: {type(error).__name__}", 1)

    metrics = Metrics()
    endpoint = serve_metrics(metrics, settings.metrics)
    services = build_services(settings, on_engine_death=engine_died)
    server = Server(services, settings.server, metrics=metrics)
    try:
        port = await server.start()
        if await _loaded(services.start(), ending):
            server.health.open()
            if on_ready is not None:
                on_ready(port)
            await _until_asked(server, ending)
    finally:
        await server.drain(ending.hurried)
        await services.close()
        if endpoint is not None:
            await asyncio.to_thread(endpoint.close)
        ending.ignore_signals()
    return ending.exit_code


async def _loaded(loading: Coroutine[Any, Any, None], ending: Ending) -> bool:
    """Waits for the models; False when told to stop before they are there."""
    task = asyncio.create_task(loading, name="load models")
    asked = asyncio.create_task(ending.asked.wait(), name="stop while loading")
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False
    await task
    return True


async def _until_asked(server: Server, ending: Ending) -> None:
    """Tells those who watch the health of every change, until told to stop."""
    while not ending.asked.is_set():
        server.health.announce()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEALTH_SECONDS):
                await ending.asked.wait()
