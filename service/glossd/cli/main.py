"""The ``glossd`` command: its subcommands, its exit codes and how errors reach a person.

Exit codes: 0 done, 1 it failed, 2 it was called wrongly, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from glossd import __version__
from glossd.cli import article, corpus, demo, health, metrics, models, serve, settings, top
from glossd.errors import GlossdError, InvalidInputError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="glossd",
    help="Summaries and translations of articles: a gRPC service, and the same on the command line.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glossd {__version__}")
        raise typer.Exit


@app.callback()
def glossd(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Summaries and translations of articles: a gRPC service, and the same on the command line."""


article.register(app)
corpus.register(app)
serve.register(app)
models.register(app)
health.register(app)
settings.register(app)
metrics.register(app)
top.register(app)
demo.register(app)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app(prog_name="glossd")
    except InvalidInputError as error:
        _fail(str(error), FAILED if error.field.startswith("document") else MISUSED)
    except GlossdError as error:
        _fail(str(error), FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has left; nothing can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _fail(message: str, code: int) -> None:
    line = " ".join(message.split())
    print(f"glossd: {line}", file=sys.stderr)
    sys.exit(code)
