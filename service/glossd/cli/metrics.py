"""``glossd metrics``: every Prometheus metric that a server shows, and what it means."""

from __future__ import annotations

from typing import Annotated

import typer

from glossd.cli.options import check_choice


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("metrics")(metrics)


def metrics(
    format_: Annotated[
        str, typer.Option("--format", metavar="text|markdown", help="text to read, markdown for the docs.")
    ] = "text",
) -> None:
    """Print the name, kind, unit, labels and meaning of every metric. What a server counts: glossd top.

    Example: glossd metrics
    """
    from glossd.telemetry.catalogue import all_metrics, markdown_table

    check_choice("--format", format_, ("text", "markdown"))
    if format_ == "markdown":
        typer.echo(markdown_table(), nl=False)
        return
    for spec in all_metrics():
        labels = f"{{{', '.join(spec.labels)}}}" if spec.labels else ""
        typer.echo(f"{spec.name}{labels}\n    {spec.kind.value}, {spec.unit}. {spec.explanation}")
