"""TLS for the server's port: certificates from files that may be renewed while it runs, its own and its clients'."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from glossd.config import ServerSettings
from glossd.errors import InvalidInputError
from glossd.server.watched import Watched


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """What a secure port needs; None where the settings name no certificate.

    The files are looked at before each handshake; a renewed certificate counts for new connections. With
    ``tls_client_ca`` only clients with a certificate that it signed get in. Raises ``InvalidInputError``.
    """
    if not settings.tls_certificate:
        for name in ("tls_key", "tls_client_ca"):
            if value := getattr(settings, name):
                raise InvalidInputError(f"server.{name}", f"{value}: there is no server.tls_certificate")
        return None
    if not settings.tls_key:
        raise InvalidInputError("server.tls_key", f"is missing for the certificate {settings.tls_certificate}")
    files = [Path(name) for name in (settings.tls_certificate, settings.tls_key, settings.tls_client_ca) if name]
    watched = Watched("certificates", files, lambda: _configuration(settings))
    configuration, _ = watched.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """Called by the transport, in a thread of its own; None keeps what it has."""
        renewed, changed = watched.current()
        return renewed if changed else None

    # The stubs know nothing of None, which the library's documentation gives as "no change".
    return grpc.dynamic_ssl_server_credentials(configuration, fetch, bool(settings.tls_client_ca))  # type: ignore[arg-type]


def _configuration(settings: ServerSettings) -> grpc.ServerCertificateConfiguration:
    certificate = _read("server.tls_certificate", settings.tls_certificate)
    key = _read("server.tls_key", settings.tls_key)
    client_ca = _read("server.tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
    _check_pair(settings)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)


def _read(name: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidInputError(name, f"cannot read {file}: {error.strerror}") from error


def _check_pair(settings: ServerSettings) -> None:
    """The transport would only say that every handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=b"")  # never ask for one
    except (ssl.SSLError, OSError) as error:
        pair = f"{settings.tls_certificate} and {settings.tls_key}"
        raise InvalidInputError("server.tls_certificate", f"{pair} are no PEM certificate and its key") from error
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (ssl.SSLError, OSError) as error:
            raise InvalidInputError(
                "server.tls_client_ca", f"{settings.tls_client_ca} holds no PEM certificate"
            ) from error
