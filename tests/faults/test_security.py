"""Certificates and tokens that are not the right ones, against a server that asks for both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.e2e.certificates import Authority, Pair
from tests.faults.calls import OPTIONS, translate
from tests.faults.process import ServerProcess
from tests.faults.results import Results

TOKEN = "a-token-that-counts-0123456789"
SECRETS = ("not-the-token-0123456789", TOKEN)


@dataclass(frozen=True, slots=True)
class Caller:
    """How a client comes. ``name`` is the host that it believes to have reached."""

    root: bytes
    shown: Pair | None = None
    token: str | None = TOKEN
    name: str = "localhost"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server over mutual TLS with tokens, and who signs for it."""

    server: ServerProcess
    authority: Authority


def _start(authority: Authority, folder: Path, pair: Pair) -> ServerProcess:
    folder.mkdir()
    certificate, key = pair.write(folder)
    (folder / "ca.pem").write_bytes(authority.root)
    (folder / "tokens").write_text(f"tester {TOKEN}\n", encoding="utf-8")
    settings = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": folder / "ca.pem"}
    settings["token_file"] = folder / "tokens"
    return ServerProcess(*(word for name, value in settings.items() for word in ("--set", f"server.{name}={value}")))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    authority = Authority()
    server = _start(authority, tmp_path_factory.mktemp("secure") / "files", authority.sign())
    yield Guarded(server, authority)
    server.close()


async def code_of(endpoint: str, caller: Caller) -> str:
    """How a call of such a caller ends."""
    shown = (caller.shown.key, caller.shown.certificate) if caller.shown else (None, None)
    credentials = grpc.ssl_channel_credentials(caller.root, *shown)
    if caller.token is not None:
        credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(caller.token))
    options = [*OPTIONS, ("grpc.ssl_target_name_override", caller.name)]
    async with grpc.aio.secure_channel(endpoint, credentials, options) as channel:
        return (await translate(channel, "The bridge is open.", timeout=20)).code


@pytest.mark.fault(28)
async def test_who_is_not_who_it_should_be_is_not_served(guarded: Guarded, tmp_path: Path, results: Results) -> None:
    ours, stranger = guarded.authority, Authority("a stranger")
    client = ours.sign("client")
    callers = {
        "another authority's server": (Caller(stranger.root, client), "UNAVAILABLE"),
        "another host": (Caller(ours.root, client, name="elsewhere"), "UNAVAILABLE"),
        "no client certificate": (Caller(ours.root), "UNAVAILABLE"),
        "a stranger's client certificate": (Caller(ours.root, stranger.sign("client")), "UNAVAILABLE"),
        "an expired client certificate": (Caller(ours.root, ours.sign("client", days=-1)), "UNAVAILABLE"),
        "no token": (Caller(ours.root, client, token=None), "UNAUTHENTICATED"),
        "an empty token": (Caller(ours.root, client, token=""), "UNAUTHENTICATED"),
        "a wrong token": (Caller(ours.root, client, token=SECRETS[0]), "UNAUTHENTICATED"),
        "a token cut short": (Caller(ours.root, client, token=TOKEN[:-1]), "UNAUTHENTICATED"),
        "a token with more": (Caller(ours.root, client, token=TOKEN + "0"), "UNAUTHENTICATED"),
    }
    endpoint = guarded.server.endpoint.replace("127.0.0.1", "localhost")
    seen = {name: await code_of(endpoint, caller) for name, (caller, _) in callers.items()}
    wrong = {name: code for name, code in seen.items() if code != callers[name][1]}
    async with grpc.aio.insecure_channel(endpoint, OPTIONS) as plain:
        seen["plain text"] = (await translate(plain, "The bridge is open.", timeout=20)).code
    wrong |= {} if seen["plain text"] == "UNAVAILABLE" else {"plain text": seen["plain text"]}
    expired = await asyncio.to_thread(_start, ours, tmp_path / "expired", ours.sign(days=-1))
    try:
        late = expired.endpoint.replace("127.0.0.1", "localhost")
        seen["an expired server"] = await code_of(late, Caller(ours.root, client))
    finally:
        expired.close()
    wrong |= {} if seen["an expired server"] == "UNAVAILABLE" else {"an expired server": seen["an expired server"]}
    leaked = [secret for secret in SECRETS if secret in guarded.server.log]
    handshakes = sum(code == "UNAVAILABLE" for code in seen.values())
    figure = (
        f"{handshakes} kinds without a handshake, {len(seen) - handshakes} tokens UNAUTHENTICATED; "
        f"tokens in the log: {len(leaked)}; the right one is served"
    )
    results.record(28, tried=len(seen), failed=len(wrong) + len(leaked), figure=figure)
    assert await code_of(endpoint, Caller(ours.root, client)) == "OK"
    assert (wrong, leaked) == ({}, [])
