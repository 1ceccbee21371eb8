"""The options that several commands share, each defined once, and how they become settings and documents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from glossd.config import LoadedSettings, load_settings
from glossd.errors import InvalidInputError
from glossd.languages import get_language
from glossd.types import DocumentInput, Extraction, MimeType

SUFFIXES = {
    ".html": MimeType.HTML,
    ".htm": MimeType.HTML,
    ".xhtml": MimeType.HTML,
    ".md": MimeType.MARKDOWN,
    ".markdown": MimeType.MARKDOWN,
}
STANDARD_INPUT = "-"

FileArgument = Annotated[str, typer.Argument(metavar="FILE|-", help="The article, or - for standard input.")]
ToOption = Annotated[str, typer.Option("--to", metavar="LANGUAGE", help="Language to translate to, as zh or de.")]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="LANGUAGE", help="The article's language; detected if not given.")
]
FormatOption = Annotated[str, typer.Option("--format", metavar="text|json", help="text to read, json for programs.")]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="HOST:PORT", help="A running server; without it the work is done here."),
]
MimeOption = Annotated[
    str,
    typer.Option("--mime", metavar="TYPE", help="auto (by the file's suffix), text/plain, text/html, text/markdown."),
]
SentencesOption = Annotated[
    int | None, typer.Option("--sentences", min=1, max=500, help="At most this many sentences in the summary.")
]
WordsOption = Annotated[
    int | None, typer.Option("--words", min=1, max=5000, help="At most this many words in the summary.")
]
BeamsOption = Annotated[int | None, typer.Option("--beams", min=1, max=16, help="Beams of the search; 1 is greedy.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="Hub id or directory; with --endpoint a name the server knows."),
]
ServedModelOption = Annotated[
    str | None, typer.Option("--model", metavar="MODEL", help="Hub id or directory; several with commas between.")
]
SummaryModelOption = Annotated[
    str | None,
    typer.Option("--summary-model", metavar="MODEL", help="The same for summaries; extractive without it."),
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Give up after this long.")
]
TlsOption = Annotated[bool | None, typer.Option("--tls/--no-tls", help="Use TLS to the endpoint; implied by --tls-ca.")]
TlsCaOption = Annotated[
    str | None, typer.Option("--tls-ca", metavar="FILE", help="PEM file: who signs the endpoint's certificate.")
]
TokenFileOption = Annotated[
    str | None, typer.Option("--token-file", metavar="FILE", help="File with the bearer token for the endpoint.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; also by GLOSSD_CONFIG.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as engine.rows=64. Repeatable.")
]


def read_settings(config: Path | None, assignments: list[str] | None, **flags: object) -> LoadedSettings:
    """File, environment, ``--set``, then the flags that are not None; ``server__port`` is ``server.port``."""
    named = [f"{name.replace('__', '.')}={value}" for name, value in flags.items() if value is not None]
    return load_settings(file=config, assignments=[*(assignments or ()), *named])


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    """``value`` if it is one of ``choices``; a usage error otherwise."""
    if value not in choices:
        raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}", param_hint=option)
    return value


def read_document(file: str, *, mime: str, language: str | None, extraction: Extraction) -> DocumentInput:
    """The article as a document. Raises ``InvalidInputError`` where it cannot be read or is not UTF-8."""
    content = _read_bytes(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"{file}: byte {error.start:,} of {len(content):,} is not UTF-8"
        raise InvalidInputError("document", problem) from error
    if not text.strip():
        raise InvalidInputError("document", f"{file} is empty" if not text else f"{file} holds only white space")
    if language is not None:
        language = get_language(language, field="--language").code
    return DocumentInput(text, _mime_type(file, mime), language, extraction)


def read_target(to: str) -> str:
    """The code of the language to translate to; a usage error where nobody knows it."""
    return get_language(to, field="--to").code


def _read_bytes(file: str) -> bytes:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise InvalidInputError("document", f"cannot read {file}: {error.strerror}") from error


def _mime_type(file: str, mime: str) -> MimeType:
    if mime == "auto":
        return SUFFIXES.get(Path(file).suffix.lower(), MimeType.PLAIN)
    check_choice("--mime", mime, ("auto", *(kind.value for kind in MimeType)))
    return MimeType(mime)
