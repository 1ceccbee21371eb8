"""What a call may set beyond its text, the tasks that calls send, and the outcomes they bring back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from grpc_health.v1 import health_pb2

from glossd.digests import DigestResult, DigestTask
from glossd.errors import RemoteError
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    RequestOptions,
    SummarizeTask,
    SummaryOptions,
    TextResult,
    TranslateTask,
)
from glossd.v1 import article_service_pb2 as articles
from glossd.wire.results import digest_from_message, text_from_message
from glossd.wire.status import status_to_error

AnyDocument = str | DocumentInput


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What a call may set; the defaults are the server's.

    A model is "" for the server's choice. ``model`` is that of a call that makes a summary or a translation; a
    digest makes both and takes ``summary_model`` and ``translation_model``. ``timeout_seconds`` is for the whole
    call, waiting for a busy server included; None waits for as long as it takes.
    """

    model: str = ""
    summary_model: str = ""
    translation_model: str = ""
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    options: RequestOptions = field(default_factory=RequestOptions)
    timeout_seconds: float | None = None


DEFAULT_SETTINGS = CallSettings()
DEFAULT_SUMMARY = SummaryOptions()


def document_of(document: AnyDocument) -> DocumentInput:
    """A document; a plain string is plain text of unknown language."""
    return DocumentInput(document) if isinstance(document, str) else document


def digest_task(
    document: AnyDocument, *, to: str, summary: SummaryOptions, body: bool, settings: CallSettings
) -> DigestTask:
    """The task of a digest."""
    return DigestTask(
        document=document_of(document),
        target_language_code=to,
        summary=summary,
        summary_model=settings.summary_model,
        translation_model=settings.translation_model,
        translate_body=body,
        decode=settings.decode,
        options=settings.options,
    )


def summarize_task(summary: SummaryOptions, settings: CallSettings) -> SummarizeTask:
    """The task of summaries; documents are sent beside it."""
    return SummarizeTask(DocumentInput(""), summary, settings.model, settings.decode, settings.options)


def translate_task(to: str, settings: CallSettings) -> TranslateTask:
    """The task of translations; documents are sent beside it."""
    return TranslateTask(DocumentInput(""), to, settings.model, settings.decode, settings.options)


def outcomes(results: Iterable[articles.DocumentResult]) -> tuple[TextResult | RemoteError, ...]:
    """A text or an error per document."""
    return tuple(
        text_from_message(result.text) if result.HasField("text") else status_to_error(result.error)
        for result in results
    )


def only(results: tuple[TextResult | RemoteError, ...]) -> TextResult:
    """The text of the only document; raises its error."""
    (outcome,) = results
    if isinstance(outcome, RemoteError):
        raise outcome
    return outcome


def bulk_outcome(answer: articles.BulkDigestResponse) -> DigestResult | RemoteError:
    """The digest of one document of a bulk run, or its error."""
    if answer.HasField("response"):
        return digest_from_message(answer.response)
    return status_to_error(answer.error)


def health_name(answer: health_pb2.HealthCheckResponse) -> str:
    """The name of a health answer."""
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
