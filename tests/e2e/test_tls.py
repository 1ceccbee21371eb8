"""Encrypted connections: who trusts the server's certificate gets in, others do not; tokens travel inside."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from glossd.client import AsyncClient, Client, Connection
from glossd.config import ServerSettings
from glossd.errors import RemoteError
from glossd.server.app import Server

from tests.e2e.serving import ToyServices

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed here")


def certificate(folder: Path, name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for localhost and its key, both PEM."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([str(OPENSSL), *request, *subject, *files], check=True, capture_output=True)
    return certificate.read_bytes(), key.read_bytes()


@pytest.fixture
def ours(tmp_path: Path) -> tuple[bytes, bytes]:
    return certificate(tmp_path, "server")


@pytest.fixture
async def endpoint(ours: tuple[bytes, bytes], tmp_path: Path) -> AsyncIterator[str]:
    root, key = ours
    credentials = grpc.ssl_server_credentials([(key, root)])
    settings = ServerSettings(port=0, drain_seconds=0)
    server = Server(ToyServices(), settings, credentials=credentials)  # type: ignore[arg-type]
    port = await server.start()
    server.health.open()
    yield f"localhost:{port}"
    await server.drain()


async def test_who_trusts_the_certificate_is_served(endpoint: str, ours: tuple[bytes, bytes]) -> None:
    connection = Connection(tls=True, root_certificates=ours[0], token="secret")
    async with AsyncClient(endpoint, connection=connection) as client:
        assert await client.health() == "SERVING"
        assert (await client.translate("hello")).text == "HELLO"


async def test_who_does_not_trust_it_or_speaks_plainly_is_not(endpoint: str, tmp_path: Path) -> None:
    stranger, _ = certificate(tmp_path, "stranger")
    for connection in (Connection(tls=True, root_certificates=stranger), Connection()):
        async with AsyncClient(endpoint, connection=connection) as client:
            with pytest.raises(RemoteError, match="UNAVAILABLE"):
                await client.models(timeout_seconds=20)


def test_the_plain_client_makes_a_secure_channel_too(ours: tuple[bytes, bytes]) -> None:
    connection = Connection(tls=True, root_certificates=ours[0])
    with Client("localhost:1", connection=connection) as client, pytest.raises(RemoteError):
        client.health(timeout_seconds=0.1)
