"""Every error that glossd raises on purpose, each with the gRPC status it becomes. No gRPC import lives here.

The tree::

    GlossdError                      INTERNAL
    ├── InvalidInputError            INVALID_ARGUMENT     the caller's fault; names the field
    │   └── UnsupportedLanguageError INVALID_ARGUMENT
    ├── ModelNotFoundError           NOT_FOUND
    ├── ModelNotLoadedError          FAILED_PRECONDITION
    ├── ModelLoadingError            UNAVAILABLE          retry
    ├── ModelFilesError              FAILED_PRECONDITION  a checkpoint that must not be served
    ├── OverloadedError              RESOURCE_EXHAUSTED   retry after the given time
    ├── RequestTooLargeError         RESOURCE_EXHAUSTED   one request alone exceeds what the server may hold
    ├── DrainingError                UNAVAILABLE          retry elsewhere
    ├── DeadlineError                DEADLINE_EXCEEDED
    ├── UnauthenticatedError         UNAUTHENTICATED      no token, or one that is not known
    ├── EngineDeadError              UNAVAILABLE          the engine thread is gone or hangs
    ├── ModelOutputError             INTERNAL             a model gave scores that are not numbers
    ├── ModelFaultError              INTERNAL             a model call failed on one segment alone
    ├── ModelMemoryError             RESOURCE_EXHAUSTED   one segment alone needs more memory than there is
    └── RemoteError                  as the server said   raised by the client only
"""

from __future__ import annotations

from typing import ClassVar


class GlossdError(Exception):
    """Base of all errors raised on purpose.

    ``status`` is the gRPC status name, ``reason`` a stable upper-case word for programs
    (``google.rpc.ErrorInfo.reason``), ``retryable`` whether the same call may succeed later.
    """

    status: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False


class InvalidInputError(GlossdError):
    """The caller sent something that can never work. ``field`` is the path of the offending field."""

    status = "INVALID_ARGUMENT"
    reason = "INVALID_INPUT"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.description = message


class UnsupportedLanguageError(InvalidInputError):
    """A language, or a pair of languages, that no served model covers."""

    reason = "UNSUPPORTED_LANGUAGE"


class ModelNotFoundError(GlossdError):
    """No model of that name is known to this server."""

    status = "NOT_FOUND"
    reason = "MODEL_NOT_FOUND"


class ModelNotLoadedError(GlossdError):
    """The model is known but not loaded."""

    status = "FAILED_PRECONDITION"
    reason = "MODEL_NOT_LOADED"


class ModelLoadingError(GlossdError):
    """The model is being loaded; ask again soon."""

    status = "UNAVAILABLE"
    reason = "MODEL_LOADING"
    retryable = True


class ModelFilesError(GlossdError):
    """A checkpoint is missing, damaged, of an unknown kind or not safe to load. Names the file."""

    status = "FAILED_PRECONDITION"
    reason = "MODEL_FILES"


class OverloadedError(GlossdError):
    """A limit on work in flight was met. ``retry_after_seconds`` says when to try again."""

    status = "RESOURCE_EXHAUSTED"
    reason = "OVERLOADED"
    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RequestTooLargeError(GlossdError):
    """One request alone would take more than the server may hold; it can be sent in parts."""

    status = "RESOURCE_EXHAUSTED"
    reason = "REQUEST_TOO_LARGE"


class DrainingError(GlossdError):
    """The server is shutting down and takes no new work."""

    status = "UNAVAILABLE"
    reason = "DRAINING"
    retryable = True


class DeadlineError(GlossdError):
    """The caller's deadline passed before the work was done."""

    status = "DEADLINE_EXCEEDED"
    reason = "DEADLINE"


class UnauthenticatedError(GlossdError):
    """The caller did not show who it is, or nobody knows it by what it showed."""

    status = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class EngineDeadError(GlossdError):
    """The engine thread that owned this work has died; its cause is chained."""

    status = "UNAVAILABLE"
    reason = "ENGINE_DEAD"
    retryable = True


class ModelOutputError(GlossdError):
    """A model gave no finite score for a segment: damaged weights, or rules that forbid every token."""

    reason = "MODEL_OUTPUT"


class ModelFaultError(GlossdError):
    """A model call failed with one segment alone on its rows; the cause is chained."""

    reason = "MODEL_FAULT"


class ModelMemoryError(GlossdError):
    """A segment, alone on the rows, needs more memory than there is. The same call would need as much again."""

    status = "RESOURCE_EXHAUSTED"
    reason = "OUT_OF_MEMORY"


class RemoteError(GlossdError):
    """What a server answered, seen from the client: status code name, message, field violations, request id."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remote_reason = reason
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds
