"""Who may call what: a guard before every method, and the name of the caller that it let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from typing import Any

import grpc

from glossd.config import ServerSettings
from glossd.errors import UnauthenticatedError
from glossd.server.errors import REQUEST_ID_KEY, Context, abort, failure_status
from glossd.server.surrounds import request_id_of
from glossd.server.tokens import Tokens
from glossd.telemetry.metrics import Metrics

AUTHORIZATION_KEY = "authorization"
OTHER_METHOD = "other"

_caller: ContextVar[str] = ContextVar("glossd_caller", default="")


def current_caller() -> str:
    """The name of the token that this call came with, "" where none was needed."""
    return _caller.get()


class Guard(grpc.aio.ServerInterceptor):
    """Lets in who shows one of ``tokens``; methods of the ``open_services`` are open to all.

    It stands before everything else, so a method that is added is guarded without being named here.
    """

    def __init__(
        self, tokens: Tokens, *, open_services: Collection[str], known_methods: Collection[str], metrics: Metrics
    ) -> None:
        self._tokens = tokens
        self._open = frozenset(open_services)
        self._known = frozenset(known_methods)
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of the call, or one that refuses it."""
        method = handler_call_details.method
        if method.strip("/").partition("/")[0] in self._open:
            return await continuation(handler_call_details)
        metadata = [(str(key), value) for key, value in handler_call_details.invocation_metadata]
        shown = [value for key, value in metadata if key == AUTHORIZATION_KEY and isinstance(value, str)]
        name = self._tokens.name_of(shown[0]) if len(shown) == 1 else None
        if name is None:
            known, reasons = method if method in self._known else OTHER_METHOD, {UnauthenticatedError.reason: 1}
            self._metrics.call_answered(known, "UNAUTHENTICATED", 0.0, reasons=reasons)
            return _refusal(request_id_of(dict(metadata)))
        self._metrics.caller_let_in(name)
        _caller.set(name)  # each call is served in a task, and so in a context, of its own
        return await continuation(handler_call_details)


def _refusal(request_id: str) -> Any:
    """A handler that refuses; the transport takes one of this kind for a stream, too."""

    async def refuse(request: bytes, context: Context) -> None:
        error = UnauthenticatedError(f"no valid bearer token; send one as {AUTHORIZATION_KEY!r}: 'Bearer TOKEN'")
        context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        await abort(context, failure_status(error, request_id), request_id)

    return grpc.unary_unary_rpc_method_handler(refuse)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def exposure(settings: ServerSettings) -> str:
    """What is dangerous about where the server listens, "" where nothing is."""
    if is_loopback(settings.host) or (settings.tls_certificate and (settings.token_file or settings.tls_client_ca)):
        return ""
    if settings.tls_certificate:
        return "anyone who reaches it can use it: set server.token_file or server.tls_client_ca"
    if settings.token_file:
        return "texts and tokens travel unencrypted: set server.tls_certificate and server.tls_key"
    return "anyone who reaches it can use it and texts travel unencrypted: set server.tls_certificate and token_file"
