"""``glossd config show``: every setting, its value and where it came from."""

from __future__ import annotations

import json

import typer

from glossd.cli.options import ConfigOption, FormatOption, SetOption, check_choice, read_settings
from glossd.config import Setting


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="Look at the settings.", no_args_is_help=True)
    group.command("show")(show)
    app.add_typer(group, name="config")


def show(config: ConfigOption = None, set_: SetOption = None, format_: FormatOption = "text") -> None:
    """Print every setting, its value and where it came from: default, file, environment or flag.

    Example: glossd config show --set engine.rows=32
    """
    check_choice("--format", format_, ("text", "json"))
    rows = list(read_settings(config, set_).rows())
    if format_ == "json":
        typer.echo(json.dumps({row.name: _as_json(row) for row in rows}, indent=2))
        return
    width = max(len(row.name) for row in rows)
    values = max(min(30, len(_shown(row.value))) for row in rows)
    origins = max(len(row.origin) for row in rows)
    for row in rows:
        typer.echo(f"{row.name:{width}}  {_shown(row.value):{values}}  {row.origin:{origins}}  {row.explanation}")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value) or '""'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


def _as_json(row: Setting) -> dict[str, object]:
    return {
        "value": row.value,
        "default": row.default,
        "origin": row.origin,
        "variable": row.variable,
        "explanation": row.explanation,
    }
