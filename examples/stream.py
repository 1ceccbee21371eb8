"""Show a digest as it is made: `glossd serve`, then `python examples/stream.py article.txt`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from glossd import AsyncClient
from glossd.digests import SegmentEvent, TextEvent, Track
from glossd.types import DetectedLanguage


async def show(article: str, endpoint: str) -> None:
    """Print each piece when it comes: the language, both summaries, then the translation sentence by sentence."""
    async with AsyncClient(endpoint) as client:
        async for event in client.stream_digest(article, to="zh"):
            if isinstance(event, DetectedLanguage):
                print(f"[{event.language_code}, {event.confidence:.2f}]")
            elif isinstance(event, TextEvent) and event.track is not Track.TRANSLATED_BODY:
                print(f"\n{event.text.text}\n")
            elif isinstance(event, SegmentEvent) and event.track is Track.TRANSLATED_BODY:
                print(event.separator + event.segment.text, end="", flush=True)
    print()


if __name__ == "__main__":
    endpoint = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50051"
    asyncio.run(show(Path(sys.argv[1]).read_text(encoding="utf-8"), endpoint))
