"""A server is stopped by whoever wants it to end, at any time and at once; the process lives."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import Any

import grpc
from glossd.server.transport import Listener

SERVERS = 150


async def answer(request: bytes, context: object) -> bytes:
    """Takes about as long as the server is given."""
    await asyncio.sleep(0.01 * random.random())
    return request


async def one_server(source: random.Random) -> tuple[int, int]:
    """Three calls, and eight who end their server at about the moment at which it is done. Answered and cut calls."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Answer": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    listener = Listener(server)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: Any = channel.unary_unary("/toy/Answer")
        calls = [asyncio.ensure_future(ask(b"text", timeout=30)) for _ in range(3)]
        await asyncio.wait(calls, timeout=0.006)

        async def end() -> None:
            await asyncio.sleep(0.01 * source.random())
            await listener.stop(source.choice([0, 0.002, 0.004, 0.01, 1.0]))

        await asyncio.gather(*(end() for _ in range(8)))
        ended = await asyncio.gather(*calls, return_exceptions=True)
    cut = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    return len(ended) - len(cut), len(cut)


async def main() -> None:
    """Prints how many calls were answered and how many cut."""
    source = random.Random(1)
    ends = [await one_server(source) for _ in range(SERVERS)]
    print(sum(answered for answered, _ in ends), sum(cut for _, cut in ends))


def test_a_server_may_be_stopped_by_several_at_once() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answered, cut = map(int, done.stdout.split())
    assert answered + cut == 3 * SERVERS
    assert answered


if __name__ == "__main__":
    asyncio.run(main())
