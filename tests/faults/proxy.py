"""A TCP proxy of our own that makes a bad network: slow, thin, cut, reset, closed on one side, never read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Weather:
    """What the proxy does to the bytes of a connection, in both directions unless it says otherwise.

    ``delay_seconds`` holds every chunk, ``bytes_per_second`` thins them (0: no limit). After so many bytes from
    server to client: ``reset_after`` resets both sides, ``cut_after`` closes them, ``stop_reading_after`` reads no
    more from the server. ``close_upstream_after`` tells the server that the client has ended, after so many bytes.
    """

    delay_seconds: float = 0.0
    bytes_per_second: int = 0
    reset_after: int | None = None
    cut_after: int | None = None
    stop_reading_after: int | None = None
    close_upstream_after: int | None = None


class Proxy:
    """Listens on a free loopback port while inside, and forwards to ``endpoint``."""

    def __init__(self, endpoint: str, weather: Weather) -> None:
        host, _, port = endpoint.rpartition(":")
        self._target = (host, int(port))
        self._weather = weather
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.endpoint = ""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
            self._writers |= {writer, upstream}
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._forward(reader, upstream, writer, down=False),
                    self._forward(upstream_reader, writer, upstream, down=True),
                )
        finally:
            for each in (writer, *([upstream] if "upstream" in locals() else [])):
                each.close()
                self._writers.discard(each)
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter, *, down: bool
    ) -> None:
        weather, passed = self._weather, 0
        while chunk := await reader.read(CHUNK):
            if weather.delay_seconds:
                await asyncio.sleep(weather.delay_seconds)
            if weather.bytes_per_second:
                await asyncio.sleep(len(chunk) / weather.bytes_per_second)
            passed += len(chunk)
            if down and _reached(passed, weather.reset_after):
                _reset(writer, back)
                return
            writer.write(chunk)
            await writer.drain()
            if down and _reached(passed, weather.cut_after):
                writer.close()
                back.close()
                return
            if down and _reached(passed, weather.stop_reading_after):
                await asyncio.Event().wait()
            if not down and _reached(passed, weather.close_upstream_after):
                break
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reached(passed: int, limit: int | None) -> bool:
    return limit is not None and passed >= limit


def _reset(*writers: asyncio.StreamWriter) -> None:
    """Closes so that the other side sees a reset, not an end."""
    for writer in writers:
        connection = writer.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
