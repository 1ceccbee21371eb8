"""How a client reaches a server: encryption, token, transport options, when to try again. No calls here."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
from google.rpc.status_pb2 import Status

from glossd.errors import RemoteError
from glossd.wire.status import status_to_error

STATUS_KEY = "grpc-status-details-bin"
LOOPBACK = re.compile(r"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?")
LOST_ANSWER = "Internal error from Core"
SERVICES = ("glossd.v1.ArticleService", "glossd.v1.ModelService")

# Nothing a call does changes anything, so a call that met a dead or draining server is sent again by the transport.
# A server that begins to drain while a call is on its way to it answers CANCELLED.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": name} for name in SERVICES],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}


@dataclass(frozen=True, slots=True)
class Connection:
    """How to connect. By default plain text, for a server on the same machine.

    ``tls`` encrypts; ``root_certificates`` (PEM) are then trusted instead of the system's, and ``certificate`` with
    ``private_key`` (PEM) show who the client is. ``server_name`` is the name in the server's certificate where the
    endpoint is another. ``token`` is sent as a bearer token: over ``tls``, or in plain text on this machine.
    ``overload_attempts`` is how often a call is sent that a busy server asks to send later.
    """

    tls: bool = False
    root_certificates: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    server_name: str = ""
    token: str = field(default="", repr=False)
    max_message_bytes: int = 64 << 20
    overload_attempts: int = 5

    def __post_init__(self) -> None:
        if not self.tls and (self.server_name or self.root_certificates or self.certificate or self.private_key):
            raise ValueError("certificates are for TLS only; set tls=True")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What a secure channel needs; None for plain text."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate)

    def metadata(self, endpoint: str) -> tuple[tuple[str, str], ...]:
        """What every call carries. Raises ``ValueError`` for a token that would travel unencrypted."""
        if not self.token:
            return ()
        if not self.tls and not LOOPBACK.fullmatch(endpoint):
            raise ValueError(f"a token is sent over TLS or to this machine only, not to {endpoint}; set tls=True")
        return (("authorization", f"Bearer {self.token}"),)

    def options(self) -> Sequence[tuple[str, str | int]]:
        """Options of the transport."""
        named = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return (
            *named,
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            ("grpc.enable_retries", 1),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.max_reconnect_backoff_ms", 10_000),
        )


def remote_error(error: grpc.RpcError) -> RemoteError:
    """What the server answered, or what the transport says when there was no answer.

    A stream that a server ends while ``grpc.aio`` sends on it is reported as a fault of that library, and what the
    server said is lost (seen in 1.85): UNAVAILABLE here, for nothing is known but that it ended.
    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError), "an error that ended a call is one"
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            return status_to_error(Status.FromString(value))
    details = error.details() or ""
    if error.code() is grpc.StatusCode.INTERNAL and details.startswith(LOST_ANSWER):
        return RemoteError("UNAVAILABLE", "the server ended the call while it was sent to")
    return RemoteError(error.code().name, details)


class Patience:
    """How long one call is waited for, and when it is sent again."""

    def __init__(self, attempts: int, timeout_seconds: float | None) -> None:
        self._attempts_left = attempts - 1
        self._end = None if timeout_seconds is None else time.monotonic() + timeout_seconds

    def seconds_left(self) -> float | None:
        """The timeout of the next attempt; None for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def pause_seconds(self, error: RemoteError) -> float | None:
        """Seconds to wait, a little more than the server asked for so that callers do not all return at once.

        None when the call should fail: the server did not ask to try again, or attempts or time are used up.
        """
        asked = error.retry_after_seconds
        if error.code != "RESOURCE_EXHAUSTED" or asked is None or self._attempts_left < 1:
            return None
        self._attempts_left -= 1
        pause = asked * random.uniform(1.0, 1.5)
        left = self.seconds_left()
        return pause if left is None or pause < left else None
