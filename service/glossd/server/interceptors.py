"""How something is put around every call, whichever of the four kinds it is. What is put there: ``surrounds``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor

from glossd.server.errors import Context
from glossd.server.undecodable import Undecodable, tolerant

Handler = Any  # grpc.RpcMethodHandler, whose type stubs leave out the behaviours


@dataclass(frozen=True, slots=True)
class Call:
    """One call while it is served. ``method`` is as "/glossd.v1.ArticleService/Digest"."""

    method: str
    request_id: str
    context: Context


Surround = Callable[[Call], AbstractAsyncContextManager[None]]


class Surrounding(grpc.aio.ServerInterceptor):
    """Runs each call inside ``surrounds``, the first outermost, and reads requests without ever raising.

    Only the methods in ``requests`` (name to the descriptor of its request) are touched; others pass as they are.
    """

    def __init__(
        self,
        surrounds: Sequence[Surround],
        requests: Mapping[str, Descriptor],
        *,
        request_id: Callable[[Mapping[str, str | bytes]], str],
    ) -> None:
        self._surrounds = tuple(surrounds)
        self._requests = requests
        self._request_id = request_id

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """The handler of a call, wrapped; None where there is no such method."""
        handler = await continuation(handler_call_details)
        descriptor = self._requests.get(handler_call_details.method)
        if handler is None or descriptor is None:
            return handler
        metadata = dict([*handler_call_details.invocation_metadata])  # older libraries: a mapping of its own kind
        request_id = self._request_id(metadata)

        def enter(context: Context) -> _Inside:
            return _Inside(Call(handler_call_details.method, request_id, context), self._surrounds)

        return _wrapped(handler, enter, tolerant(handler.request_deserializer, descriptor))


class _Inside:
    """All surrounds of one call as one context manager."""

    def __init__(self, call: Call, surrounds: Sequence[Surround]) -> None:
        self._call = call
        self._surrounds = surrounds
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> None:
        async with AsyncExitStack() as entering:  # what one of them raises passes through those around it
            for surround in self._surrounds:
                await entering.enter_async_context(surround(self._call))
            self._stack = entering.pop_all()

    async def __aexit__(self, *failure: Any) -> bool | None:
        return await self._stack.__aexit__(*failure)


Enter = Callable[[Context], _Inside]


def _wrapped(handler: Handler, enter: Enter, deserializer: Callable[[bytes], Any]) -> Handler:
    if handler.request_streaming and handler.response_streaming:
        make, behavior = grpc.stream_stream_rpc_method_handler, handler.stream_stream
    elif handler.request_streaming:
        make, behavior = grpc.stream_unary_rpc_method_handler, handler.stream_unary
    elif handler.response_streaming:
        make, behavior = grpc.unary_stream_rpc_method_handler, handler.unary_stream
    else:
        make, behavior = grpc.unary_unary_rpc_method_handler, handler.unary_unary
    wrap = _streaming if handler.response_streaming else _single
    return make(wrap(behavior, enter), deserializer, handler.response_serializer)


def _single(behavior: Any, enter: Enter) -> Any:
    async def call(request: Any, context: Context) -> Any:
        async with enter(context):
            return await behavior(_readable(request), context)

    return call


def _streaming(behavior: Any, enter: Enter) -> Any:
    assert inspect.isasyncgenfunction(behavior), "streamed answers are written as async generators"

    # Not a generator itself: the transport drops one whose reader is gone, and it would be closed late, elsewhere.
    async def call(request: Any, context: Context) -> None:
        async with enter(context), aclosing(behavior(_readable(request), context)) as answers:
            async for answer in answers:
                await context.write(answer)

    return call


def _readable(request: Any) -> Any:
    """The request or, for a stream of them, the stream; raises for one that could not be read."""
    if isinstance(request, Undecodable):
        raise request.error()
    return _readable_stream(request) if hasattr(request, "__aiter__") else request


async def _readable_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request)
