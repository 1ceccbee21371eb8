"""``glossd demo``: start a server on a free port, send it an article by gRPC, print the answer, stop the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from time import perf_counter
from typing import Annotated

import typer

from glossd.cli import render
from glossd.cli.options import ModelOption, SummaryModelOption, ToOption, read_document
from glossd.cli.serve import READY
from glossd.digests import DigestResult, TextEvent, Track
from glossd.errors import GlossdError
from glossd.types import DetectedLanguage, DocumentInput, Extraction

SAMPLE = "sample_article.txt"
STOP_SECONDS = 60.0

FileArgument = Annotated[
    str | None, typer.Argument(metavar="[FILE|-]", help="The article; a sample that comes with glossd if not given.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    file: FileArgument = None,
    to: ToOption = "zh",
    model: ModelOption = None,
    summary_model: SummaryModelOption = None,
) -> None:
    """Show the whole road once: server, one gRPC call, summary, its translation and the translated article.

    Try: glossd demo, or: glossd demo article.txt
    """
    document = _sample() if file is None else _article(file)
    flags = [
        flag
        for name, value in (("--model", model), ("--summary-model", summary_model))
        if value
        for flag in (name, value)
    ]
    start = perf_counter()
    typer.echo(f"Starting a server with {model or 'the models that come with glossd'} ...")
    with _server(flags) as address:
        typer.echo(f"It serves at {address} after {perf_counter() - start:.1f} s.")
        _digest(address, document, to)
    typer.echo("The server has stopped.")


def _sample() -> DocumentInput:
    text = resources.files("glossd.cli").joinpath(SAMPLE).read_text(encoding="utf-8")
    return DocumentInput(text, extraction=Extraction.MAIN_CONTENT)


def _article(file: str) -> DocumentInput:
    return read_document(file, mime="auto", language=None, extraction=Extraction.MAIN_CONTENT)


def _digest(address: str, document: DocumentInput, to: str) -> None:
    """Send the article and print the pieces as they come."""
    from glossd.client import Client

    start = perf_counter()
    with Client(address) as client:
        status = client.health()
        typer.echo(f"Health: {status}. Sending {len(document.text):,} characters ...\n")
        for event in client.stream_digest(document, to=to):
            seconds = perf_counter() - start
            if isinstance(event, DetectedLanguage):
                typer.echo(
                    f"Language: {render.language_name(event.language_code)}"
                    f" (confidence {event.confidence:.2f}) [{seconds:.2f} s]"
                )
            elif isinstance(event, TextEvent):
                _print_text(event, seconds)
            elif isinstance(event, DigestResult):
                typer.echo(f"\nDone: {render.timing_line(event.usage, seconds=seconds)}")
                for line in render.warning_lines(event.warnings + event.translated_body.warnings):
                    typer.echo(f"Warning: {line}")


def _print_text(event: TextEvent, seconds: float) -> None:
    language = render.language_name(event.text.language_code)
    kind = "Article" if event.track is Track.TRANSLATED_BODY else "Summary"
    typer.echo(f"\n{kind} in {language}, by {event.text.model} [{seconds:.2f} s]:")
    typer.echo(render.readable(event.text.text))


@contextmanager
def _server(flags: list[str]) -> Iterator[str]:
    """A ``glossd serve`` of our own on a free port; its address. It is stopped on leaving, however that is."""
    command = [sys.executable, "-m", "glossd", "serve", "--port", "0", *flags]
    command += ["--set", "logging.format=json", "--set", "logging.level=info"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield _wait_until_ready(process)
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=STOP_SECONDS)
    if process.returncode != os.EX_OK:
        raise GlossdError(f"the server ended with code {process.returncode}: {rest.strip()[-400:]}")


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Read the server's log up to the line that gives its address."""
    assert process.stderr is not None, "its log is piped"
    last = ""
    for line in process.stderr:
        last = line.strip() or last
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("message") == READY:
            return str(entry["address"])
    raise GlossdError(last.removeprefix("glossd: ") or "the server ended before it was ready")
