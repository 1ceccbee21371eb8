"""``glossd corpus``: the options of a run over many articles, and how they become a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glossd.cli import corpus_work
from glossd.cli.article import DigestExtraction, MethodOption
from glossd.cli.corpus_engines import ENGINES, EngineChoice
from glossd.cli.options import (
    BeamsOption,
    ConfigOption,
    LanguageOption,
    ModelOption,
    SentencesOption,
    SetOption,
    SummaryModelOption,
    ToOption,
    WordsOption,
    check_choice,
    read_settings,
    read_target,
)
from glossd.config import Settings
from glossd.corpus.recipe import Recipe
from glossd.corpus.sources import FileKind
from glossd.languages import get_language
from glossd.types import DecodeOptions, Extraction, MimeType, SummaryMethod, SummaryOptions

InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT|-", help="A file, a directory, or - for standard input.", show_default=False)
]
OutOption = Annotated[
    Path,
    typer.Option("--out", metavar="OUTPUT", help="What to write: .jsonl, .jsonl.gz or .parquet.", show_default=False),
]
KindOption = Annotated[
    str,
    typer.Option("--format", metavar="KIND", help="The input's: auto (by suffix), text, jsonl, csv, tsv or parquet."),
]
CorpusMimeOption = Annotated[
    str,
    typer.Option("--mime", metavar="TYPE", help="auto (by suffix or field), text/plain, text/html, text/markdown."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("corpus")(corpus)


def corpus(
    source: InputArgument,
    out: OutOption,
    to: ToOption = "zh",
    summary: Annotated[bool, typer.Option("--summary/--no-summary", help="Write the summary.")] = True,
    translated_summary: Annotated[
        bool, typer.Option("--translated-summary/--no-translated-summary", help="Write the summary's translation.")
    ] = True,
    body: Annotated[bool, typer.Option("--body/--no-body", help="Write the body's translation.")] = True,
    segments: Annotated[
        bool, typer.Option("--segments/--no-segments", help="Write each text's segments with their places too.")
    ] = False,
    sentences: SentencesOption = None,
    words: WordsOption = None,
    method: MethodOption = "auto",
    main_content: DigestExtraction = True,
    language: LanguageOption = None,
    mime: CorpusMimeOption = "auto",
    kind: KindOption = "auto",
    text_field: Annotated[str, typer.Option("--text-field", metavar="FIELD", help="Holds the text.")] = "text",
    id_field: Annotated[
        str, typer.Option("--id-field", metavar="FIELD", help="Holds the id; without it `id`, or else file and line.")
    ] = "",
    title_field: Annotated[
        str, typer.Option("--title-field", metavar="FIELD", help="Holds a title to put before the text.")
    ] = "",
    language_field: Annotated[str, typer.Option("--language-field", metavar="FIELD", help="Holds the language.")] = "",
    mime_field: Annotated[str, typer.Option("--mime-field", metavar="FIELD", help="Holds the MIME type.")] = "",
    max_record_bytes: Annotated[
        int, typer.Option("--max-record-bytes", min=1, help="A record that is larger is an error.")
    ] = 16 << 20,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take so many records at most.")] = None,
    sample: Annotated[
        float, typer.Option("--sample", min=0.0, max=1.0, help="Take this share of the records, spread over all.")
    ] = 1.0,
    shard_records: Annotated[
        int, typer.Option("--shard-records", min=1, max=100_000, help="Records that become safe together.")
    ] = 128,
    start_over: Annotated[
        bool, typer.Option("--start-over/--resume", help="Remove what an earlier run has left; else go on with it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, try a few, say how long it would take.")] = False,
    beams: BeamsOption = None,
    model: ModelOption = None,
    summary_model: SummaryModelOption = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="ENGINE", help=f"Where the work is done: {', '.join(ENGINES)}.")
    ] = "local",
    endpoint: Annotated[
        list[str] | None,
        typer.Option("--endpoint", metavar="HOST:PORT", help="For grpc: a server, or a name of several. Repeatable."),
    ] = None,
    address: Annotated[
        str, typer.Option("--address", metavar="ADDRESS", help="For ray: a running cluster, as auto. Else one here.")
    ] = "",
    actors: Annotated[int, typer.Option("--actors", min=0, help="For ray: actors; 0 takes as many as fit.")] = 0,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Summarize and translate many articles: files, JSONL, CSV or Parquet in, JSONL or Parquet out.

    Killed at any moment, the same command goes on where it was. Records that fail go to OUTPUT.errors.jsonl.

    Try:

    glossd corpus articles/ --out digests.jsonl

    glossd corpus news.jsonl.gz --text-field body --title-field title --no-body --out digests.parquet

    zcat news.csv.gz | glossd corpus - --format csv --out digests.jsonl

    glossd corpus news.jsonl --out digests.jsonl --engine grpc --endpoint dns:///glossd:50051

    glossd corpus news.jsonl --out digests.jsonl --engine ray
    """
    from glossd.corpus.entries import Fields, ReadSettings
    from glossd.corpus.job import Job, JobSettings
    from glossd.corpus.numbering import Selection

    settings = read_settings(config, set_, models__translation=model, models__summarization=summary_model).settings
    recipe = Recipe(
        target_language_code=read_target(to),
        summary=summary,
        translated_summary=translated_summary,
        translated_body=body,
        segments=segments,
        summary_options=_summary_options(method, sentences, words),
        decode=DecodeOptions(num_beams=beams),
    )
    reading = ReadSettings(
        fields=Fields(text_field, id_field, title_field, language_field, mime_field),
        language_code=get_language(language, field="--language").code if language else None,
        mime_type=_mime_type(mime),
        extraction=Extraction.MAIN_CONTENT if main_content else Extraction.FULL,
        largest_bytes=max_record_bytes,
    )
    job = Job(
        JobSettings(
            source=source,
            output=out,
            recipe=recipe,
            kind=_kind(kind),
            reading=reading,
            selection=Selection(limit, sample),
            shard_records=shard_records,
            models=_models(settings),
            start_over=start_over,
        )
    )
    _quiet_logs(settings)
    choice = EngineChoice(
        kind=check_choice("--engine", engine, tuple(ENGINES)),
        settings=settings,
        recipe=recipe,
        endpoints=tuple(endpoint or ()),
        address=address,
        actors=actors,
        folder=job.paths.parts / "ray",
    )
    raise typer.Exit(corpus_work.survey(job, choice) if dry_run else corpus_work.work(job, choice))


def _summary_options(method: str, sentences: int | None, words: int | None) -> SummaryOptions:
    check_choice("--method", method, tuple(each.value for each in SummaryMethod))
    if sentences is not None and words is not None:
        raise typer.BadParameter("give --sentences or --words, not both", param_hint="--words")
    return SummaryOptions(SummaryMethod(method), words=words, sentences=sentences)


def _mime_type(mime: str) -> MimeType | None:
    check_choice("--mime", mime, ("auto", *(each.value for each in MimeType)))
    return None if mime == "auto" else MimeType(mime)


def _kind(kind: str) -> FileKind | None:
    check_choice("--format", kind, ("auto", *(each.value for each in FileKind)))
    return None if kind == "auto" else FileKind(kind)


def _models(settings: Settings) -> dict[str, str]:
    """What was asked for, as far as rows depend on it."""
    models = settings.models
    return {
        "translation": ",".join(models.translation),
        "summarization": ",".join(models.summarization),
        "dtype": models.dtype,
        "device": models.device,
    }


def _quiet_logs(settings: Settings) -> None:
    """Warnings only, as text, unless the settings say otherwise: the display tells the rest."""
    from glossd.telemetry.logging import configure_logging

    logging = settings.logging
    if "level" not in logging.model_fields_set:
        logging = logging.model_copy(update={"level": "warning", "format": "text"})
    configure_logging(logging)
