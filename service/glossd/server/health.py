"""Whether the server, a service or a model can take work, by the standard health service.

Answers are computed when they are asked for, so that a dead engine is never reported well. The library's own
servicer keeps a table instead, and lets one watcher that does not read hold up all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from glossd.server.errors import Context
from glossd.types import ModelState

if TYPE_CHECKING:
    from glossd.tasks.hub import Hub

MODEL_PREFIX = "models/"
ANNOUNCE_SECONDS = 1.0
Response: TypeAlias = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the library has no types
    """``grpc.health.v1.Health``: "" for the whole, a service's full name, or "models/NAME".

    Nothing is SERVING before ``open`` and after ``close``.
    """

    def __init__(self, hub: Hub, services: Sequence[str]) -> None:
        self._hub = hub
        self._services = tuple(services)
        self._open = False
        self._changed = asyncio.Event()
        self._announced: Mapping[str, bool] = {}

    def open(self) -> None:
        """From now on the hub decides."""
        self._open = True
        self.announce()

    def close(self) -> None:
        """From now on nothing is SERVING."""
        self._open = False
        self.announce()

    @property
    def serving(self) -> bool:
        """Whether the whole is SERVING. From any thread."""
        return self._open and all(model.alive() for model in self._hub.served())

    def states(self) -> dict[str, bool]:
        """Every name that can be asked for, and whether it is SERVING."""
        states = dict.fromkeys(("", *self._services), self.serving)
        for model in self._hub.descriptions():
            states[MODEL_PREFIX + model.name] = self._open and model.state is ModelState.READY
        return states

    def announce(self) -> None:
        """Wakes those who watch, if anything has changed since the last time."""
        states = self.states()
        if states != self._announced:
            self._announced = states
            self._changed.set()
            self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Announces what changes by itself, such as an engine's death, once a second and for ever."""
        while True:
            self.announce()
            await asyncio.sleep(ANNOUNCE_SECONDS)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Response:
        """The state now; NOT_FOUND for a name there is not."""
        serving = self.states().get(request.service)
        if serving is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:80]!r}")
        return _response(serving)

    async def List(self, request: health_pb2.HealthListRequest, context: Context) -> health_pb2.HealthListResponse:
        """The state of everything that can be asked for."""
        statuses = {name: _response(serving) for name, serving in self.states().items()}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> AsyncIterator[Response]:
        """The state now and whenever it changes; SERVICE_UNKNOWN for a name there is not."""
        last = None
        while True:
            changed = self._changed
            serving = self.states().get(request.service)
            answer = Response(status=Response.SERVICE_UNKNOWN) if serving is None else _response(serving)
            if answer != last:
                yield answer
            last = answer
            await changed.wait()


def _response(serving: bool) -> Response:
    return Response(status=Response.SERVING if serving else Response.NOT_SERVING)
