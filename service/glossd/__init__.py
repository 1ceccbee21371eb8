"""glossd: summaries and translations of articles over gRPC. Importing the package loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "GlossdError", "RemoteError", "__version__"]

if TYPE_CHECKING:
    from glossd.client import AsyncClient, Client
    from glossd.errors import GlossdError, RemoteError


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that a bare import stays cheap."""
    if name in {"AsyncClient", "Client"}:
        from glossd import client

        return getattr(client, name)
    if name in {"GlossdError", "RemoteError"}:
        from glossd import errors

        return getattr(errors, name)
    raise AttributeError(f"module 'glossd' has no attribute {name!r}")
