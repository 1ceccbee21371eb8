"""One map from what a handler raises to what its caller is told. Nothing else in the server ends a call."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from glossd.errors import DrainingError, GlossdError
from glossd.telemetry.calls import current_call
from glossd.wire.status import code_name, error_to_status

_log = logging.getLogger(__name__)

REQUEST_ID_KEY = "x-request-id"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

Context = grpc.aio.ServicerContext[Any, Any]


@contextmanager
def given_up_inside() -> Iterator[None]:
    """A cancellation inside that is not this call's own becomes an error, or the transport would never answer.

    A call's own means that its task is being cancelled: by its caller, its deadline or a drain.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise DrainingError("the work was given up inside the server; try again") from error


def failure_status(error: Exception, request_id: str) -> Status:
    """The status of anything a handler raised. A fault of our own is logged and tells its caller only the id.

    Notes the reason for whoever watches the call: a document's failure does not show in the call's own status.
    """
    current_call().failed(error.reason if isinstance(error, GlossdError) else GlossdError.reason)
    if isinstance(error, GlossdError) and error.status != "INTERNAL":
        return error_to_status(error, request_id=request_id)
    _log_fault(error, request_id)
    return error_to_status(GlossdError("internal error"), request_id=request_id)


def _log_fault(error: Exception, request_id: str) -> None:
    """Logs where it happened; its message, which may quote the caller's text, only for who asks for debug."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    extra = {"request_id": request_id, "error": type(error).__name__, "frames": where}
    _log.error("a call failed inside", extra=extra)
    _log.debug("what failed inside", extra={"request_id": request_id}, exc_info=error)


async def abort(context: Context, status: Status, request_id: str) -> None:
    """Ends the call with a status, its details and, where the caller should wait, for how long.

    Raises ``grpc.aio.AbortError``, as ``context.abort`` does. The status is not given whole
    (``abort_with_status``), because tracing records such calls as successful.
    """
    trailers: list[tuple[str, str | bytes]] = [(REQUEST_ID_KEY, request_id)]
    trailers += rpc_status.to_status(status).trailing_metadata
    for detail in status.details:
        retry = RetryInfo()
        if detail.Unpack(retry):
            trailers.append((PUSHBACK_KEY, str(retry.retry_delay.ToMilliseconds())))
    code = grpc.StatusCode[code_name(status.code)]
    await context.abort(code, status.message, trailing_metadata=tuple(trailers))
