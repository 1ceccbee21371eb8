"""Encrypted connections: who may get in does, and nobody else; certificates are renewed while the server runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from glossd.client import AsyncClient, Client, Connection
from glossd.errors import InvalidInputError, RemoteError

from tests.e2e.certificates import Authority, Pair
from tests.e2e.serving import Serving, serving

TIMEOUT_SECONDS = 20.0


@pytest.fixture(scope="module")
def ours() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def stranger() -> Authority:
    return Authority("somebody else")


@pytest.fixture
async def secured(ours: Authority, tmp_path: Path) -> AsyncIterator[Serving]:
    certificate, key = ours.sign().write(tmp_path)
    async with serving(tls_certificate=certificate, tls_key=key) as running:
        yield running


@pytest.fixture
async def mutual(ours: Authority, tmp_path: Path) -> AsyncIterator[Serving]:
    certificate, key = ours.sign().write(tmp_path)
    (tmp_path / "ca.crt").write_bytes(ours.root)
    async with serving(tls_certificate=certificate, tls_key=key, tls_client_ca=str(tmp_path / "ca.crt")) as running:
        yield running


def connection(root: bytes, client: Pair | None = None, *, name: str = "localhost") -> Connection:
    certificate, key = (client.certificate, client.key) if client else (None, None)
    return Connection(tls=True, root_certificates=root, certificate=certificate, private_key=key, server_name=name)


async def outcome(endpoint: str, connected: Connection | None) -> str:
    """SERVING, or the status that a call ends with."""
    async with AsyncClient(endpoint, connection=connected) as client:
        try:
            await client.models(timeout_seconds=TIMEOUT_SECONDS)
            return await client.health(timeout_seconds=TIMEOUT_SECONDS)
        except RemoteError as error:
            return error.code


async def test_who_trusts_the_certificate_is_served(secured: Serving, ours: Authority) -> None:
    async with AsyncClient(secured.endpoint, connection=connection(ours.root)) as client:
        assert await client.health() == "SERVING"
        assert (await client.translate("hello")).text == "HELLO"


async def test_who_does_not_trust_it_or_speaks_plainly_or_wants_another_name_is_not(
    secured: Serving, ours: Authority, stranger: Authority
) -> None:
    attempts = (connection(stranger.root), None, connection(ours.root, name="example.org"))
    assert [await outcome(secured.endpoint, attempt) for attempt in attempts] == ["UNAVAILABLE"] * 3


async def test_a_certificate_that_has_expired_is_trusted_by_nobody(ours: Authority, tmp_path: Path) -> None:
    certificate, key = ours.sign(days=-1).write(tmp_path)
    async with serving(tls_certificate=certificate, tls_key=key) as running:
        assert await outcome(running.endpoint, connection(ours.root)) == "UNAVAILABLE"


async def test_a_client_needs_a_certificate_where_the_server_asks_for_one(
    mutual: Serving, ours: Authority, stranger: Authority
) -> None:
    assert await outcome(mutual.endpoint, connection(ours.root, ours.sign("a client"))) == "SERVING"
    for client in (None, stranger.sign("a client"), ours.sign("a client", days=-1)):
        assert await outcome(mutual.endpoint, connection(ours.root, client)) == "UNAVAILABLE"


async def test_a_renewed_certificate_counts_for_new_connections_and_old_ones_go_on(
    secured: Serving, ours: Authority, stranger: Authority, tmp_path: Path
) -> None:
    async with AsyncClient(secured.endpoint, connection=connection(ours.root)) as early:
        assert (await early.translate("hello")).text == "HELLO"
        stranger.sign().write(tmp_path)
        assert await outcome(secured.endpoint, connection(stranger.root)) == "SERVING"
        assert await outcome(secured.endpoint, connection(ours.root)) == "UNAVAILABLE"
        assert (await early.translate("again")).text == "AGAIN"


async def test_who_may_get_in_is_renewed_too(
    mutual: Serving, ours: Authority, stranger: Authority, tmp_path: Path
) -> None:
    late = connection(ours.root, stranger.sign("a client"))
    assert await outcome(mutual.endpoint, late) == "UNAVAILABLE"
    (tmp_path / "ca.crt").write_bytes(stranger.root)
    assert await outcome(mutual.endpoint, late) == "SERVING"
    assert await outcome(mutual.endpoint, connection(ours.root, ours.sign("a client"))) == "UNAVAILABLE"


async def test_a_renewal_that_cannot_be_read_leaves_the_old_certificate(
    secured: Serving, ours: Authority, stranger: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for content in (b"no certificate", stranger.sign().certificate, b""):
        (tmp_path / "server.crt").write_bytes(content)
        assert await outcome(secured.endpoint, connection(ours.root)) == "SERVING"
    (tmp_path / "server.crt").unlink()
    assert await outcome(secured.endpoint, connection(ours.root)) == "SERVING"
    assert caplog.text.count("cannot renew certificates; the last ones stand") == 4
    ours.sign().write(tmp_path)
    assert await outcome(secured.endpoint, connection(ours.root)) == "SERVING"


async def test_settings_that_make_no_secure_port_are_refused_at_the_start(ours: Authority, tmp_path: Path) -> None:
    certificate, key = ours.sign().write(tmp_path)
    _, other_key = ours.sign().write(tmp_path, "other")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"garbage")
    refused = {
        "server.tls_key": [{"tls_certificate": certificate}, {"tls_key": key}],
        "server.tls_certificate": [
            {"tls_certificate": str(garbage), "tls_key": key},
            {"tls_certificate": certificate, "tls_key": other_key},
            {"tls_certificate": str(tmp_path / "none"), "tls_key": key},
        ],
        "server.tls_client_ca": [
            {"tls_client_ca": certificate},
            {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": str(garbage)},
        ],
    }
    for field, cases in refused.items():
        for case in cases:
            with pytest.raises(InvalidInputError) as caught:
                async with serving(**case):
                    pass
            assert caught.value.field == field


async def test_a_plain_health_port_answers_probes_and_nothing_else(ours: Authority, tmp_path: Path) -> None:
    certificate, key = ours.sign().write(tmp_path)
    async with serving(tls_certificate=certificate, tls_key=key, health_port=0) as running:
        probes = f"127.0.0.1:{running.server.health_port}"
        async with AsyncClient(probes) as client:
            assert await client.health() == "SERVING"
            with pytest.raises(RemoteError, match="UNIMPLEMENTED"):
                await client.translate("hello")
            running.server.health.close()
            assert await client.health() == "NOT_SERVING"


def test_the_plain_client_makes_a_secure_channel_too(ours: Authority) -> None:
    with Client("localhost:1", connection=connection(ours.root)) as client, pytest.raises(RemoteError):
        client.health(timeout_seconds=0.1)
