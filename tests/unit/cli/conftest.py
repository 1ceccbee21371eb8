"""What the command line's tests share: running a command as a person does, and a server of toys to talk to."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from glossd.cli.main import main
from glossd.config import ServerSettings

from tests.toys import ToyGenerator, toy_model, toy_services

ARTICLE = """The ship of the canal is free at last

March 29, 2021

The ship was pulled free on Monday, a port official said. Traffic resumed that evening, and the tugs blew their horns.

Some 12% of world trade passes through the canal. The owner of the ship and the insurers expect a long argument.
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """A function that runs ``glossd`` with the arguments it is given; what it did to logging is undone."""
    root, level = logging.getLogger(), logging.getLogger("glossd").level
    handlers, root_level = list(root.handlers), root.level

    def run_command(*arguments: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["glossd", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, written.out, written.err)

    yield run_command
    root.handlers[:] = handlers
    root.setLevel(root_level)
    logging.getLogger("glossd").setLevel(level)


@pytest.fixture
def article(tmp_path: Path) -> str:
    """A file with an article."""
    path = tmp_path / "article.txt"
    path.write_text(ARTICLE, encoding="utf-8")
    return str(path)


@contextmanager
def toy_server(**settings: Any) -> Iterator[str]:
    """A real server over toys in a thread of its own; its address."""
    from glossd.server.app import Server

    ready, stop = threading.Event(), asyncio.Event()
    state: dict[str, object] = {}

    async def serve() -> None:
        services = toy_services(toy_model(generator=ToyGenerator()))
        server = Server(services, ServerSettings(port=0, drain_seconds=1, **settings))
        state["address"] = f"127.0.0.1:{await server.start()}"
        state["loop"] = asyncio.get_running_loop()
        server.health.open()
        ready.set()
        await stop.wait()
        await server.drain()
        await services.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="toy server")
    thread.start()
    assert ready.wait(20)
    yield str(state["address"])
    loop = state["loop"]
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a real server over toys."""
    with toy_server() as address:
        yield address
