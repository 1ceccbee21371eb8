"""Endpoints to replicas: every address behind the names that were given, now. Nothing is contacted but name servers."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from glossd.errors import InvalidInputError

_FORMS = ((socket.AF_INET, "ipv4", "{}"), (socket.AF_INET6, "ipv6", "[{}]"))
_FAMILIES = tuple(family for family, *_ in _FORMS)
_ADDRESS_SCHEMES = ("ipv4:", "ipv6:", "unix:", "unix-abstract:")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One replica. ``target`` is what a channel connects to, ``name`` the name that its certificate has."""

    target: str
    name: str


def resolve(endpoints: Sequence[str]) -> tuple[Address, ...]:
    """The replicas behind ``host:port`` or ``dns:///host:port`` endpoints, each once, in order of the endpoints.

    A name with several addresses is as many replicas. Where it has IPv4 addresses only those are taken, since the
    others are most often the same replicas once more. A name that cannot be resolved is left out; when no endpoint is
    left, ``InvalidInputError`` names them.
    """
    found: dict[Address, None] = {}
    problems = []
    for endpoint in endpoints:
        if endpoint.startswith(_ADDRESS_SCHEMES):
            found[Address(endpoint, endpoint.partition(":")[2].rpartition(":")[0])] = None
            continue
        host, port = split(endpoint)
        try:
            found.update(dict.fromkeys(_addresses(host, port)))
        except OSError as error:
            problems.append(f"{host}: {error.strerror or error}")
    if not found:
        raise InvalidInputError("--endpoint", f"no replica behind {', '.join(endpoints)}; {'; '.join(problems)}")
    return tuple(found)


def split(endpoint: str) -> tuple[str, int]:
    """Host and port. Raises ``InvalidInputError`` where there are not both."""
    rest = endpoint.removeprefix("dns:").removeprefix("///")
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65535 or "/" in host:
        raise InvalidInputError("--endpoint", f"{endpoint!r} is neither HOST:PORT nor dns:///HOST:PORT")
    return host, int(port)


def _addresses(host: str, port: int) -> list[Address]:
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = {family: [str(where[0]) for kind, *_, where in entries if kind == family] for family in _FAMILIES}
    family, scheme, form = next((each for each in _FORMS if hosts[each[0]]), _FORMS[0])
    return [Address(f"{scheme}:{form.format(address)}:{port}", host) for address in hosts[family]]
