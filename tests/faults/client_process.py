"""A client as a process of its own: opens streams and calls, says that they run, and waits to be killed."""

from __future__ import annotations

import asyncio
import random
import sys

from glossd.v1.article_service_pb2_grpc import ArticleServiceStub

from tests.faults.calls import channel_to, digest, text_of, translation

SENTENCES = 60
PATIENCE_SECONDS = 30.0


async def hold(endpoint: str, seed: int) -> None:
    """One stream of which the first piece was read, one call, and no end."""
    source = random.Random(seed)
    async with channel_to(endpoint) as channel:
        stub = ArticleServiceStub(channel)
        call = stub.Translate(translation(text_of(source, SENTENCES)))
        stream = stub.StreamDigest(digest(text_of(source, SENTENCES)))
        async with asyncio.timeout(PATIENCE_SECONDS):  # a call that nobody answers ends it: its parent reads no line
            await stream.read()
        print("running", flush=True)
        await asyncio.gather(call, *([stream.read()] if seed % 2 else []))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], int(sys.argv[2])))
