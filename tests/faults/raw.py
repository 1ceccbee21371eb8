"""HTTP/2 written by hand: frames, headers without compression, one call over a plain socket, and everything broken.

RFC 9113 for frames, RFC 7541 (literal header fields without indexing) for headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4
TRANSLATE = "/glossd.v1.ArticleService/Translate"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One frame; ``length`` lies about the payload's."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind & 255, flags & 255]) + struct.pack(">I", stream) + payload


def _number(value: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """Header fields, each spelled out."""
    parts = []
    for name, value in fields:
        for text in (name, value):
            data = text.encode()
            parts.append(_number(len(data), 7) + data)
    return b"".join(b"\0" + parts[index] + parts[index + 1] for index in range(0, len(parts), 2))


def path_block(path: bytes) -> bytes:
    """The header fields of a gRPC call to a path that need not be text."""
    fields = [field for field in call_fields() if field[0] != ":path"]
    return b"\0" + _number(5, 7) + b":path" + _number(len(path), 7) + path + header_block(fields)


def call_fields(path: str = TRANSLATE, **changes: str) -> list[tuple[str, str]]:
    """The header fields of a gRPC call; a change of "" leaves a field out."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    fields |= {"te": "trailers", "content-type": "application/grpc"}
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    return [(name, value) for name, value in fields.items() if value]


def message(data: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """One gRPC message with its prefix; ``length`` lies about it."""
    return bytes([compressed]) + struct.pack(">I", len(data) if length is None else length) + data


def opening() -> bytes:
    """What a client says first."""
    return PREFACE + frame(SETTINGS)


@asynccontextmanager
async def connected(endpoint: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection, once there is one to be had."""
    reader, writer = await _connect(*endpoint.rpartition(":")[::2])
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _connect(host: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Tries again for a moment: a server that takes its port up again refuses or resets meanwhile."""
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            return await asyncio.open_connection(host, int(port))
        await asyncio.sleep(0.05)
    raise ConnectionRefusedError(f"nobody listens at {host}:{port}")


async def send(endpoint: str, data: bytes, *, seconds: float = 0.05) -> bytes:
    """Send bytes on a connection of their own; what came back until it was closed or ``seconds`` passed in silence."""
    answer = b""
    async with connected(endpoint) as (reader, writer):
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(data)
            await asyncio.wait_for(writer.drain(), 10)
            while chunk := await asyncio.wait_for(reader.read(65536), seconds):
                answer += chunk
    return answer


def broken(source: random.Random) -> bytes:
    """A connection's bytes with something wrong in them, of many kinds."""
    kind = source.randrange(7)
    if kind == 0:
        return source.randbytes(source.randint(1, 2000))
    if kind == 1:
        return PREFACE[: source.randint(1, len(PREFACE))] + source.randbytes(source.randint(0, 50))
    if kind == 2:
        return b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n" + source.randbytes(99)
    if kind == 3:
        return opening() + b"".join(_random_frame(source) for _ in range(source.randint(1, 20)))
    if kind == 4:
        return opening() + frame(HEADERS, END_HEADERS, 1, _spoiled(source, header_block(call_fields())))
    start = opening() + frame(HEADERS, END_HEADERS, 1, header_block(call_fields(**_odd_fields(source))))
    if kind == 5:
        return start + frame(DATA, END_STREAM, 1, message(source.randbytes(source.randint(0, 300))))
    lie = message(source.randbytes(40), compressed=source.randrange(256), length=source.choice((0, 7, 41, 2**32 - 1)))
    return start + frame(DATA, source.randrange(2), 1, lie) + _random_frame(source)


def _random_frame(source: random.Random) -> bytes:
    payload = source.randbytes(source.choice((0, 1, 4, 5, 8, 9, 64, 300)))
    length = source.choice((None, None, None, 0, 16384, 16385, 2**24 - 1))
    stream = source.choice((0, 1, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1))
    return frame(source.choice((*range(10), 10, 255)), source.randrange(256), stream, payload, length=length)


def _spoiled(source: random.Random, data: bytes) -> bytes:
    at = source.randrange(len(data))
    return data[:at] + source.randbytes(source.randint(1, 4)) + data[at + source.randint(0, 4) :]


def _odd_fields(source: random.Random) -> dict[str, str]:
    odd = [
        {"grpc_timeout": source.choice(("", "1n", "99999999H", "-5S", "soon", "5", "18446744073709551616S"))},
        {"grpc_encoding": source.choice(("gzip", "deflate", "zstd", "x" * 300))},
        {"content_type": source.choice(("text/html", "application/grpc+json", "", "application/grpc-web"))},
        {":path": source.choice(("", "/", "//", "/nobody/nothing", "*", "/" + "x" * 3000))},
        {":method": source.choice(("GET", "", "BREW", "CONNECT"))},
        {"te": ""},
        {"x_request_id": source.choice(("x" * 129, " ", "a\tb", "y" * 4000))},
        {},
    ]
    return source.choice(odd)
