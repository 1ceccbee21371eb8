"""Typed clients of a glossd server: ``Client`` for plain code, ``AsyncClient`` for asyncio.

::

    with Client("localhost:50051") as client:
        digest = client.digest(article, to="zh")
        print(digest.summary.text, digest.translated_summary.text)
"""

from glossd.client.asynchronous import AsyncClient
from glossd.client.calls import CallSettings
from glossd.client.connection import Connection
from glossd.client.synchronous import Client

__all__ = ["AsyncClient", "CallSettings", "Client", "Connection"]
