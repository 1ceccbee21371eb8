"""``glossd models``: which models are configured, whether they are fit to be served, and downloads when asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import typer

from glossd.cli.options import (
    ConfigOption,
    EndpointOption,
    FormatOption,
    ModelOption,
    SetOption,
    SummaryModelOption,
    TlsCaOption,
    TlsOption,
    TokenFileOption,
    check_choice,
    read_settings,
)
from glossd.cli.reach import ConnectionFlags, client_at
from glossd.config import ClientSettings, Settings
from glossd.errors import GlossdError
from glossd.tasks.served import KnownModel
from glossd.types import ModelDescription


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="List, verify and fetch models.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command("verify")(verify)
    group.command("fetch")(fetch)
    app.add_typer(group, name="models")


def list_models(
    model: ModelOption = None,
    summary_model: SummaryModelOption = None,
    format_: FormatOption = "text",
    endpoint: EndpointOption = None,
    tls: TlsOption = None,
    tls_ca: TlsCaOption = None,
    token_file: TokenFileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """List the models of a running server, or those that the settings name here.

    Try: glossd models list --endpoint 127.0.0.1:50051
    """
    check_choice("--format", format_, ("text", "json"))
    if endpoint is not None:
        _list_remote(endpoint, ConnectionFlags(tls, tls_ca, token_file).settings(config, set_), format_)
        return
    settings = _settings(config, set_, model, summary_model)
    known = _known(settings)
    rows = [
        (each.name, "+".join(task.value for task in each.tasks), each.source, _files(each, settings)) for each in known
    ]
    if format_ == "json":
        names = ("name", "tasks", "source", "files")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, ensure_ascii=False))
        return
    _print_table(("NAME", "TASKS", "SOURCE", "FILES"), rows)


def verify(
    model: ModelOption = None,
    summary_model: SummaryModelOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Load every configured model, check its files and weights, and let it answer a test sentence.

    Try: glossd models verify --model ./opus-mt-en-zh
    """
    settings = _settings(config, set_, model, summary_model)
    failures = 0
    for known in _known(settings):
        try:
            description = asyncio.run(_load(known, settings))
        except GlossdError as error:
            failures += 1
            typer.echo(f"{known.name}: {error}", err=True)
        else:
            typer.echo(f"{known.name}: fit to be served: {_facts(description)}")
    raise typer.Exit(1 if failures else 0)


def fetch(
    source: str = typer.Argument(metavar="MODEL", help="Hub id, as Helsinki-NLP/opus-mt-en-zh."),
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Download a model from the hub, so that it can be served without a network.

    Try: glossd models fetch Helsinki-NLP/opus-mt-en-zh
    """
    from glossd.models.hub import fetch as fetch_files

    directory = fetch_files(source, cache_dir=read_settings(config, set_).settings.models.cache_dir)
    typer.echo(f"{source} is in {directory}; serve it with: glossd serve --model {source}")


def _settings(
    config: ConfigOption, assignments: SetOption, model: ModelOption, summary_model: SummaryModelOption
) -> Settings:
    from glossd.telemetry.logging import configure_logging

    settings = read_settings(
        config, assignments, models__translation=model, models__summarization=summary_model
    ).settings
    configure_logging(settings.logging.model_copy(update={"level": "warning", "format": "text"}))
    return settings


def _known(settings: Settings) -> tuple[KnownModel, ...]:
    from glossd.tasks.loading import known_models

    return known_models(settings.models)


def _files(known: KnownModel, settings: Settings) -> str:
    """Where the model's files are on this machine."""
    from glossd.models.hub import locate

    try:
        directory = locate(known.source, cache_dir=settings.models.cache_dir)
    except GlossdError:
        return "missing"
    return str(directory) if directory.is_dir() else "missing"


async def _load(known: KnownModel, settings: Settings) -> ModelDescription:
    from glossd.tasks.hub import Hub
    from glossd.tasks.loading import CheckpointLoader

    hub = Hub([known], CheckpointLoader(settings.models, settings.engine))
    try:
        return await hub.load(known.name)
    finally:
        await hub.close()


def _list_remote(endpoint: str, settings: ClientSettings, format_: str) -> None:
    with client_at(endpoint, settings) as client:
        models = client.models()
    if format_ == "json":
        from glossd.cli.render import message_json
        from glossd.v1 import model_service_pb2
        from glossd.wire.results import model_to_message

        message = model_service_pb2.ListModelsResponse(models=[model_to_message(each) for each in models])
        typer.echo(message_json(message))
        return
    rows = [(each.name, each.state.value, "+".join(each.tasks), _facts(each)) for each in models]
    _print_table(("NAME", "STATE", "TASKS", "FACTS"), rows)


def _facts(model: ModelDescription) -> str:
    if model.detail:
        return model.detail
    languages = f"{','.join(model.source_language_codes[:4])} to {','.join(model.target_language_codes[:4])}"
    size = f"{model.parameters / 1e6:,.1f} million parameters"
    window = f"window {model.window_tokens:,}" if model.window_tokens else "no fixed window"
    return f"{model.family}, {languages}, {size}, {window}, {model.dtype} on {model.device}"


def _print_table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = [heading, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())
