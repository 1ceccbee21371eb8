"""``glossd health``: whether a running server takes work, as an exit code for scripts and containers."""

from __future__ import annotations

from typing import Annotated

import typer

from glossd.cli.options import ConfigOption, SetOption, TlsCaOption, TlsOption, TokenFileOption
from glossd.cli.reach import ConnectionFlags, client_at

ServiceOption = Annotated[
    str, typer.Option("--service", metavar="NAME", help='A service or "models/NAME"; the whole server if not given.')
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("health")(health)


def health(
    endpoint: Annotated[str, typer.Option("--endpoint", metavar="HOST:PORT", help="The server.")] = "127.0.0.1:50051",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Give up after this long.")
    ] = 5.0,
    service: ServiceOption = "",
    tls: TlsOption = None,
    tls_ca: TlsCaOption = None,
    token_file: TokenFileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Ask a server for its health: prints SERVING and exits 0, or says what else it is and exits 1.

    Example: glossd health --endpoint 127.0.0.1:50051 --timeout 2
    """
    settings = ConnectionFlags(tls, tls_ca, token_file).settings(config, set_)
    with client_at(endpoint, settings) as client:
        status = client.health(service, timeout_seconds=timeout)
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else 1)
