"""What is put around every call: its request id, the error map, and the count that a drain waits for.

What is seen of it from outside is put there by ``observing``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from glossd.errors import DrainingError
from glossd.server.errors import REQUEST_ID_KEY, abort, failure_status, given_up_inside
from glossd.server.interceptors import Call
from glossd.telemetry.logging import new_request_id, request_context

_ACCEPTABLE_ID = re.compile(r"[!-~]{1,128}")


def request_id_of(metadata: Mapping[str, str | bytes]) -> str:
    """The caller's own request id, or a new one where there is none or it is not 1 to 128 printable letters."""
    given = metadata.get(REQUEST_ID_KEY, "")
    return given if isinstance(given, str) and _ACCEPTABLE_ID.fullmatch(given) else new_request_id()


@asynccontextmanager
async def with_request_id(call: Call) -> AsyncIterator[None]:
    """Logs inside carry the id, and the answer brings it back.

    It comes in the trailers: headers sent early would keep the caller's library from trying again.
    """
    call.context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
    with request_context(call.request_id):
        yield


@asynccontextmanager
async def with_error_map(call: Call) -> AsyncIterator[None]:
    """Ends a call whose handler raised with the status of what it raised."""
    try:
        with given_up_inside():
            yield
    except grpc.aio.AbortError:
        raise
    except Exception as error:
        await abort(call.context, failure_status(error, call.request_id), call.request_id)


class CallsInFlight:
    """Knows how many calls are being served, and can be waited on until there are none."""

    def __init__(self) -> None:
        self._count = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        """Calls being served now."""
        return self._count

    @asynccontextmanager
    async def counted(self, call: Call) -> AsyncIterator[None]:
        """Counts one call, with everything that is put around it inside."""
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._idle.set()

    @asynccontextmanager
    async def admitted(self, call: Call) -> AsyncIterator[None]:
        """Raises ``DrainingError`` once a drain has begun."""
        if self._draining:
            raise DrainingError("the server is shutting down; try another one")
        yield

    def refuse_more(self) -> None:
        """From now on every new call is refused."""
        self._draining = True

    async def wait_until_idle(self) -> None:
        """Waits until the last handler has returned, its cleaning up included."""
        await self._idle.wait()
