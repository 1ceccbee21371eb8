"""``glossd digest``, ``summarize`` and ``translate``: one article in, its text out; here or by a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from glossd.cli import render
from glossd.cli.options import (
    BeamsOption,
    ConfigOption,
    EndpointOption,
    FileArgument,
    FormatOption,
    LanguageOption,
    MimeOption,
    ModelOption,
    SentencesOption,
    SetOption,
    SummaryModelOption,
    TimeoutOption,
    TlsCaOption,
    TlsOption,
    TokenFileOption,
    ToOption,
    WordsOption,
    check_choice,
    read_document,
    read_target,
)
from glossd.cli.reach import ConnectionFlags
from glossd.cli.work import Place, Work
from glossd.digests import DigestTask
from glossd.types import (
    DecodeOptions,
    Extraction,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TextResult,
    TranslateTask,
)

FORMATS = ("text", "json")

DigestExtraction = Annotated[
    bool, typer.Option("--main-content/--full", help="Headline and body only, or every line of the page.")
]
PlainExtraction = DigestExtraction
MethodOption = Annotated[
    str, typer.Option("--method", metavar="METHOD", help="auto, extractive (no model) or abstractive (a model).")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("digest")(digest)
    app.command("summarize")(summarize)
    app.command("translate")(translate)


def digest(
    file: FileArgument,
    to: ToOption = "zh",
    sentences: SentencesOption = None,
    words: WordsOption = None,
    main_content: DigestExtraction = True,
    body: Annotated[bool, typer.Option("--body/--no-body", help="Translate the body too.")] = True,
    language: LanguageOption = None,
    mime: MimeOption = "auto",
    beams: BeamsOption = None,
    model: ModelOption = None,
    summary_model: SummaryModelOption = None,
    format_: FormatOption = "text",
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = None,
    tls: TlsOption = None,
    tls_ca: TlsCaOption = None,
    token_file: TokenFileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Summarize an article and translate the summary and the body.

    Try:

    glossd digest article.txt

    curl -s https://example.org/news.html | glossd digest - --mime text/html --sentences 2

    glossd digest article.txt --format json --endpoint 127.0.0.1:50051
    """
    check_choice("--format", format_, FORMATS)
    connection = ConnectionFlags(tls, tls_ca, token_file)
    place = Place(endpoint, model, summary_model, config, tuple(set_ or ()), timeout, connection)
    task = DigestTask(
        document=read_document(file, mime=mime, language=language, extraction=_extraction(main_content)),
        target_language_code=read_target(to),
        summary=_summary(sentences, words),
        translate_body=body,
        summary_model=place.remote_summary_model,
        translation_model=place.remote_model,
        decode=DecodeOptions(num_beams=beams),
    )
    work = Work(place)
    result = work.digest(task)
    typer.echo(render.digest_json(result) if format_ == "json" else render.digest_text(result, seconds=work.seconds))


def summarize(
    file: FileArgument,
    sentences: SentencesOption = None,
    words: WordsOption = None,
    method: MethodOption = "auto",
    main_content: PlainExtraction = False,
    language: LanguageOption = None,
    mime: MimeOption = "auto",
    beams: BeamsOption = None,
    model: ModelOption = None,
    format_: FormatOption = "text",
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = None,
    tls: TlsOption = None,
    tls_ca: TlsCaOption = None,
    token_file: TokenFileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Summarize an article in its own language; without --model by choosing its best sentences.

    Try:

    glossd summarize article.txt --sentences 3

    glossd summarize article.txt --words 60 --model facebook/bart-large-cnn
    """
    check_choice("--format", format_, FORMATS)
    check_choice("--method", method, tuple(each.value for each in SummaryMethod))
    connection = ConnectionFlags(tls, tls_ca, token_file)
    place = Place(endpoint, None, model, config, tuple(set_ or ()), timeout, connection)
    task = SummarizeTask(
        document=read_document(file, mime=mime, language=language, extraction=_extraction(main_content)),
        summary=_summary(sentences, words, SummaryMethod(method)),
        model=place.remote_summary_model,
        decode=DecodeOptions(num_beams=beams),
    )
    work = Work(place)
    result = work.summarize(task)
    _print_text(result, "summarize", format_, work.seconds)


def translate(
    file: FileArgument,
    to: ToOption = "zh",
    main_content: PlainExtraction = False,
    language: LanguageOption = None,
    mime: MimeOption = "auto",
    beams: BeamsOption = None,
    model: ModelOption = None,
    format_: FormatOption = "text",
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = None,
    tls: TlsOption = None,
    tls_ca: TlsCaOption = None,
    token_file: TokenFileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Translate an article; its lines, lists and addresses stay in their places.

    Try:

    glossd translate article.txt --to zh

    echo "The library opened on Monday." | glossd translate -
    """
    check_choice("--format", format_, FORMATS)
    connection = ConnectionFlags(tls, tls_ca, token_file)
    place = Place(endpoint, model, None, config, tuple(set_ or ()), timeout, connection)
    task = TranslateTask(
        document=read_document(file, mime=mime, language=language, extraction=_extraction(main_content)),
        target_language_code=read_target(to),
        model=place.remote_model,
        decode=DecodeOptions(num_beams=beams),
    )
    work = Work(place)
    result = work.translate(task)
    _print_text(result, "translate", format_, work.seconds)


def _extraction(main_content: bool) -> Extraction:
    return Extraction.MAIN_CONTENT if main_content else Extraction.FULL


def _summary(sentences: int | None, words: int | None, method: SummaryMethod = SummaryMethod.AUTO) -> SummaryOptions:
    if sentences is not None and words is not None:
        raise typer.BadParameter("give --sentences or --words, not both", param_hint="--words")
    return SummaryOptions(method, words=words, sentences=sentences)


def _print_text(result: TextResult, command: str, format_: str, seconds: float) -> None:
    """The text alone on standard output; what there is to know about it on standard error."""
    if format_ == "json":
        typer.echo(render.text_json(result, command))
        return
    typer.echo(result.text.rstrip("\n"))
    typer.echo(render.text_notes(result, seconds=seconds), err=True)
