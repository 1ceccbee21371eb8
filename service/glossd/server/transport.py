"""One port that is listened on for as long as it should be. What is served there is built by who asks for it.

A call whose path is not UTF-8 ends the accepting loop of ``grpc.aio`` (seen in 1.85), and with it the listening: one
connection could silence a server for good. Calls under way are not touched by it
if ``by_path_only`` has seen the server. So the port is taken up again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from glossd.errors import InvalidInputError

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
RETIRED_SECONDS = 300.0  # for the calls of a server that has stopped accepting
FOREVER_SECONDS = 1e7


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, and the setting that says so."""

    setting: str
    host: str
    port: int


class Listener:
    """One server and its end, which may be asked for often and at once.

    Of two stops with a grace, in ``grpc.aio``, the one whose time is up just when the other has freed the server goes
    on with what is no more: SIGSEGV. So there is one stop that waits for ever, and who will not wait as long cuts.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.server = server
        self._ending: asyncio.Task[None] | None = None

    async def stop(self, grace: float) -> None:
        """Accepts no more, gives calls under way ``grace`` seconds and cuts the rest."""
        if self._ending is None:
            self._ending = asyncio.create_task(self.server.stop(FOREVER_SECONDS), name="end a server")
        await asyncio.wait({self._ending}, timeout=grace)
        if not self._ending.done():
            await self.server.stop(None)
        await self._ending


class Transport:
    """Listens at ``address`` with servers from ``build``, one at a time. Belongs to the event loop that starts it."""

    def __init__(
        self, build: Callable[[], grpc.aio.Server], address: Address, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self._build = build
        self._address = address
        self._credentials = credentials
        self._listener: Listener | None = None
        self._retired: dict[asyncio.Task[None], Listener] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listens and answers its port. Raises ``InvalidInputError`` when the address cannot be had."""
        listener, port = await self._listen(self._address.port)
        self._watching = asyncio.create_task(self._watch(listener, port), name=f"watch {self._address.setting}")
        return port

    async def _listen(self, port: int) -> tuple[Listener, int]:
        server = self._build()
        taken = _bind(server, self._address, port, self._credentials)
        self._listener = Listener(server)  # it is stopped with the rest from here on
        await server.start()
        return self._listener, taken

    async def _watch(self, listener: Listener, port: int) -> None:
        """Takes the port up again whenever its server has stopped accepting, for ever."""
        while True:
            try:
                while await listener.server.wait_for_termination(timeout=LOOK_SECONDS):
                    pass
                return  # it was stopped as it should be
            except Exception as error:  # what ended its loop
                _log.error("the port is taken up again", extra={"port": port, "error": type(error).__name__})
            self._retire(listener)
            listener = await self._take_up(port)

    def _retire(self, listener: Listener) -> None:
        """Its calls go on to their end, without new ones."""
        task = asyncio.create_task(listener.stop(RETIRED_SECONDS), name=f"retire {self._address.setting}")
        self._retired[task] = listener
        task.add_done_callback(self._retired.pop)

    async def _take_up(self, port: int) -> Listener:
        while True:
            try:
                listener, _ = await self._listen(port)
            except InvalidInputError as error:
                _log.error("the port is not free", extra={"port": port, "error": type(error).__name__})
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return listener

    async def stop(self, grace: float) -> None:
        """Accepts no more, gives calls under way ``grace`` seconds and cuts the rest. Again, with less, hurries."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        listeners = [*self._retired.values(), *([self._listener] if self._listener else [])]
        await asyncio.gather(*(listener.stop(grace) for listener in listeners), *self._retired)


def by_path_only(server: grpc.aio.Server) -> grpc.aio.Server:
    """The server, which finds every method by its path.

    ``grpc.aio`` asks its core for the next call of each registered method. When its accepting loop ends it frees what
    the core still writes to: calls that are never answered, or SIGSEGV. Without registered methods it asks for one call
    at a time, and for none when the loop has ended.
    """
    server.add_registered_method_handlers = lambda service_name, method_handlers: None  # type: ignore[method-assign]
    return server


def _bind(server: grpc.aio.Server, address: Address, port: int, credentials: grpc.ServerCredentials | None) -> int:
    """Listens there and answers the port."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    target = f"{host}:{port}"
    try:
        return server.add_secure_port(target, credentials) if credentials else server.add_insecure_port(target)
    except RuntimeError as error:
        raise InvalidInputError(address.setting, f"cannot listen on {target}; is it taken?") from error
