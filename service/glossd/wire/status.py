"""Errors as ``google.rpc.Status`` with standard details, and back as the client's ``RemoteError``."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from glossd.errors import GlossdError, InvalidInputError, OverloadedError, RemoteError

DOMAIN = "glossd"
MOST_TEXT_BYTES = 1000  # a status travels in the trailers, which many proxies cut at 8 KiB


def error_to_status(error: GlossdError, *, request_id: str = "") -> Status:
    """The status of an error: ErrorInfo always, BadRequest and RetryInfo where they apply, RequestInfo with an id.

    An inner fault keeps its text to itself and names the request instead.
    """
    message = str(error) if error.status != "INTERNAL" else internal_message(request_id)
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, InvalidInputError):
        description = _shortened(error.description)
        violation = BadRequest.FieldViolation(field=_shortened(error.field), description=description)
        details.append(BadRequest(field_violations=[violation]))
    if isinstance(error, OverloadedError):
        nanoseconds = max(0, round(error.retry_after_seconds * 1e9))
        seconds, nanos = divmod(nanoseconds, 1_000_000_000)
        details.append(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    if request_id:
        details.append(RequestInfo(request_id=request_id))
    status = Status(code=Code.Value(error.status), message=_shortened(message))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def internal_message(request_id: str) -> str:
    """What a caller is told of a fault inside the server."""
    return f"internal error; request {request_id}" if request_id else "internal error"


def status_to_error(status: Status) -> RemoteError:
    """The error a client raises for a status. Details of kinds it does not know are skipped."""
    reason, fields, retry_after = "", [], None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo()
            detail.Unpack(info)
            reason = info.reason
        elif detail.Is(BadRequest.DESCRIPTOR):
            request = BadRequest()
            detail.Unpack(request)
            fields += [(violation.field, violation.description) for violation in request.field_violations]
        elif detail.Is(RetryInfo.DESCRIPTOR):
            retry = RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return RemoteError(
        code_name(status.code),
        status.message,
        reason=reason,
        fields=tuple(fields),
        retry_after_seconds=retry_after,
    )


def code_name(code: int) -> str:
    """The name of a status code; UNKNOWN for a number that is none."""
    return Code.Name(code) if code in Code.values() else "UNKNOWN"


def _shortened(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= MOST_TEXT_BYTES:
        return data.decode("utf-8")
    return data[: MOST_TEXT_BYTES - 3].decode("utf-8", "ignore") + "..."
