"""How commands reach a running server: the client settings as a connection, and what is said when nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glossd.cli.options import read_settings
from glossd.config import ClientSettings
from glossd.errors import GlossdError, InvalidInputError, RemoteError

if TYPE_CHECKING:
    from glossd.client import Client, Connection


@dataclass(frozen=True, slots=True)
class ConnectionFlags:
    """The flags of a command that go before the client settings; None where not given."""

    tls: bool | None = None
    tls_ca: str | None = None
    token_file: str | None = None

    def settings(self, config: Path | None = None, assignments: list[str] | None = None) -> ClientSettings:
        """File, environment, ``--set``, then these."""
        flags = {f"client__{name}": getattr(self, name) for name in ("tls", "tls_ca", "token_file")}
        return read_settings(config, assignments, **flags).settings.client


@contextmanager
def client_at(endpoint: str, settings: ClientSettings) -> Iterator[Client]:
    """A client of the server there; one that cannot be reached is named, with what to do."""
    from glossd.client import Client

    try:
        client = Client(endpoint, connection=connection_of(settings))
    except ValueError as error:
        raise InvalidInputError("client.token_file", str(error)) from error
    with client, reaching(endpoint):
        yield client


def connection_of(settings: ClientSettings) -> Connection:
    """The settings with the contents of their files. Raises ``InvalidInputError`` for one that cannot be read."""
    from glossd.client import Connection

    tls = settings.tls or bool(settings.tls_ca or settings.tls_certificate or settings.tls_name)
    return Connection(
        tls=tls,
        root_certificates=_content("client.tls_ca", settings.tls_ca),
        certificate=_content("client.tls_certificate", settings.tls_certificate),
        private_key=_content("client.tls_key", settings.tls_key) if tls else None,
        server_name=settings.tls_name,
        token=_first_token(settings.token_file),
    )


@contextmanager
def reaching(endpoint: str) -> Iterator[None]:
    """A server that cannot be reached is named, with what to do."""
    try:
        yield
    except RemoteError as error:
        if error.code != "UNAVAILABLE" or error.remote_reason:
            raise
        if "handshake" in error.message.lower():
            hint = "check --tls-ca, client.tls_name and, where the server asks for one, client.tls_certificate"
            raise GlossdError(f"no secure connection to {endpoint}: the TLS handshake failed; {hint}") from error
        problem = error.message.rpartition(": ")[2] or "no answer"
        raise GlossdError(f"no server at {endpoint} ({problem}); start one with `glossd serve`") from error


def _content(setting: str, file: str) -> bytes | None:
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidInputError(setting, f"cannot read {file}: {error.strerror}") from error


def _first_token(file: str) -> str:
    """The first token of a file as the server reads it: lines of NAME TOKEN or TOKEN, and comments."""
    content = _content("client.token_file", file)
    if content is None:
        return ""
    lines = (line.split() for line in content.decode("utf-8", "replace").splitlines())
    token = next((words[-1] for words in lines if words and not words[0].startswith("#")), "")
    if not token.isascii() or not token.isprintable() or not token:
        raise InvalidInputError("client.token_file", f"{file} holds no token of printable ASCII")
    return token
