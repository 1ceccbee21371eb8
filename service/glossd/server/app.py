"""The server put together: services, interceptors and options on one port, from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import grpc
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from glossd.config import ServerSettings
from glossd.server.access import Guard, exposure
from glossd.server.admission import AdmittedArticles
from glossd.server.articles import Articles
from glossd.server.budget import Budget, Load
from glossd.server.checks import Limits
from glossd.server.estimate import Estimator
from glossd.server.health import Health
from glossd.server.interceptors import Surrounding
from glossd.server.models import Models
from glossd.server.observing import Observed
from glossd.server.reflection import V1, add_reflection
from glossd.server.surrounds import (
    CallsInFlight,
    request_id_of,
    with_error_map,
    with_request_id,
)
from glossd.server.tls import server_credentials
from glossd.server.tokens import Tokens
from glossd.server.transport import Address, Transport, by_path_only
from glossd.telemetry.metrics import Metrics
from glossd.telemetry.traces import Traces
from glossd.v1 import article_service_pb2, model_service_pb2
from glossd.v1.article_service_pb2_grpc import add_ArticleServiceServicer_to_server
from glossd.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server

if TYPE_CHECKING:
    from glossd.tasks.api import Services

_log = logging.getLogger(__name__)

SERVICES: tuple[ServiceDescriptor, ...] = (
    article_service_pb2.DESCRIPTOR.services_by_name["ArticleService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
)
SERVICE_NAMES = tuple(service.full_name for service in SERVICES)
HEALTH: ServiceDescriptor = health_pb2.DESCRIPTOR.services_by_name["Health"]
STANDARD: tuple[ServiceDescriptor, ...] = (HEALTH, reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])

LAST_ANSWERS_SECONDS = 1.0
LAST_WORDS_SECONDS = 5.0  # for handlers to clean up after their calls have been cut


class Server:
    """One gRPC server over one set of services. Belongs to the event loop that starts it."""

    def __init__(
        self,
        services: Services,
        settings: ServerSettings,
        *,
        metrics: Metrics | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._services = services
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._traces = traces
        self._transport: Transport | None = None
        self._probes: Transport | None = None
        self._watching: asyncio.Task[None] | None = None
        self.calls = CallsInFlight()
        most = Load(settings.max_calls_in_flight, settings.max_tokens_in_flight, settings.max_memory_bytes)
        self.budget = Budget(most)
        self.health = Health(services.hub, SERVICE_NAMES)
        self.health_port = -1

    async def start(self) -> int:
        """Listens and answers its port. Health says NOT_SERVING until ``health.open``.

        Raises ``InvalidInputError`` when the address cannot be had, or a file of certificates or tokens not be read.
        """
        settings = self._settings
        credentials = server_credentials(settings)
        interceptors = self._interceptors()

        def build() -> grpc.aio.Server:
            server = by_path_only(grpc.aio.server(interceptors=interceptors, options=server_options(settings)))
            self._register(server)
            return server

        self._transport = Transport(build, Address("server.port", settings.host, settings.port), credentials)
        port = await self._transport.start()
        if settings.health_port >= 0:
            address = Address("server.health_port", settings.health_host, settings.health_port)
            self._probes = Transport(self._build_probes, address)
            self.health_port = await self._probes.start()
            _log.info("answering health checks", extra={"host": settings.health_host, "port": self.health_port})
        self._watching = asyncio.create_task(self.health.watch(), name="watch health")
        security = {"tls": credentials is not None, "tokens": bool(settings.token_file)}
        _log.info("listening", extra={"host": settings.host, "port": port, **security})
        if danger := exposure(settings):
            _log.warning("%s: %s", settings.host, danger)
        return port

    def _interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """The guard first, if there are tokens; then what is put around our own methods and the standard ones."""
        settings, calls = self._settings, self.calls
        surrounds = (
            calls.counted,
            with_request_id,
            Observed(self._metrics, self._traces),
            with_error_map,
            calls.admitted,
        )
        ours = Surrounding(surrounds, request_descriptors(SERVICES), request_id=request_id_of)
        standard = Surrounding([with_error_map], request_descriptors(STANDARD), request_id=request_id_of)
        if not settings.token_file:
            return [ours, standard]
        open_services = [HEALTH.full_name] if settings.open_health else []
        open_services += [V1, reflection.SERVICE_NAME] if settings.open_reflection else []
        guard = Guard(
            Tokens(settings.token_file),
            open_services=open_services,
            known_methods=request_descriptors((*SERVICES, *STANDARD)),
            metrics=self._metrics,
        )
        return [guard, ours, standard]

    def _build_probes(self) -> grpc.aio.Server:
        """What answers health checks and nothing else."""
        server = by_path_only(grpc.aio.server(options=server_options(self._settings)))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        return server

    def _register(self, server: grpc.aio.Server) -> None:
        settings = self._settings
        limits = Limits(settings.max_characters, settings.max_documents, settings.max_tokens)
        estimator = Estimator(self._services.hub)
        articles = AdmittedArticles(Articles(self._services, limits), self.budget, estimator)
        add_ArticleServiceServicer_to_server(articles, server)
        add_ModelServiceServicer_to_server(Models(self._services.hub), server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        if settings.reflection:
            add_reflection((*SERVICE_NAMES, HEALTH.full_name), server)
        if settings.channelz:
            channelz.add_channelz_servicer(server)

    async def drain(self, hurry: asyncio.Event | None = None) -> None:
        """Says NOT_SERVING, after ``drain_notice_seconds`` takes no new call, lets those in flight finish, and cuts
        them after ``drain_seconds``. ``hurry`` ends all waiting.

        Returns when every handler has returned. Harmless when repeated.
        """
        self.health.close()
        transport, self._transport = self._transport, None
        if transport is None or self._watching is None:
            self.calls.refuse_more()
            return
        self._watching.cancel()
        settings = self._settings
        _log.info("draining", extra={"calls": self.calls.count, "seconds": settings.drain_seconds})
        hurried = asyncio.create_task((hurry or asyncio.Event()).wait(), name="hurry")
        if settings.drain_notice_seconds:
            await asyncio.wait({hurried}, timeout=settings.drain_notice_seconds)
        self.calls.refuse_more()
        await self._stop(transport, hurried)
        if self._probes is not None:
            await self._probes.stop(0)
        # grpc answers before the handlers it has cut are through with their cleaning up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.calls.wait_until_idle()
        _log.info("drained", extra={"calls": self.calls.count})

    async def _stop(self, transport: Transport, hurried: asyncio.Task[bool]) -> None:
        """Waits for the calls in flight, for as long as they get, and stops the transport."""
        stopping = asyncio.create_task(transport.stop(self._settings.drain_seconds), name="drain")
        idle = asyncio.create_task(self.calls.wait_until_idle(), name="wait for calls")
        await asyncio.wait({stopping, idle, hurried}, return_when=asyncio.FIRST_COMPLETED)
        # What is left when our own calls are done are watchers of the health and the like, which never end; the
        # last answers may still be on their way.
        await transport.stop(0 if hurried.done() else LAST_ANSWERS_SECONDS)
        await stopping
        for waiting in (idle, hurried):
            waiting.cancel()


def request_descriptors(services: Iterable[ServiceDescriptor]) -> Mapping[str, Descriptor]:
    """The request of every method, by "/service/method"."""
    return {
        f"/{service.full_name}/{method.name}": method.input_type for service in services for method in service.methods
    }


def server_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Options of the transport.

    Never ``maximum_concurrent_rpcs``: it refuses health checks too. Old connections are told to go, so that
    clients spread over new servers; calls under way on them have all the time they need.
    """
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 8 << 10),
        ("grpc.max_concurrent_streams", 1000),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.max_connection_age_ms", 300_000),
    ]
