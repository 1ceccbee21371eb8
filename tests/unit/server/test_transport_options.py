"""The transport takes any option and says nothing of those it does not know: each name must be one of the library's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from glossd.client import Connection
from glossd.config import ServerSettings
from glossd.server.app import server_options

SERVER = [name for name, _ in server_options(ServerSettings())]
CLIENT = [name for name, _ in Connection(tls=True, server_name="one").options()]


@pytest.fixture(scope="module")
def library() -> bytes:
    found = find_spec("grpc._cython.cygrpc")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_bytes()


@pytest.mark.parametrize("name", sorted({*SERVER, *CLIENT}))
def test_the_library_knows_each_option(name: str, library: bytes) -> None:
    assert name.encode() + b"\0" in library


def test_a_client_of_ours_asks_no_oftener_than_a_server_of_ours_allows() -> None:
    server, client = dict(server_options(ServerSettings())), dict(Connection().options())
    assert int(client["grpc.keepalive_time_ms"]) >= server["grpc.http2.min_ping_interval_without_data_ms"]
