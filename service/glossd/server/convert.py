"""Requests to tasks, with every check on what the caller sent. The way back, answers, is ``glossd.wire``'s.

Everything here raises ``InvalidInputError`` with the path of the field as the caller sees it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from glossd.digests import DigestTask
from glossd.errors import InvalidInputError
from glossd.server import checks
from glossd.server.access import current_caller
from glossd.server.checks import DECODE_RANGES, SUMMARY_RANGES, Limits
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    Extraction,
    GlossaryEntry,
    MimeType,
    Priority,
    RequestOptions,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TranslateTask,
)
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.wire.enums import EXTRACTION, PRIORITY, SUMMARY_METHOD, Member, WireEnum

LEAST_MARGIN_NS, MOST_MARGIN_NS = 50_000_000, 1_000_000_000

AnyDigestRequest = articles.DigestRequest | articles.StreamDigestRequest
Option = TypeVar("Option", int, float)


def digest_task(request: AnyDigestRequest, limits: Limits, *, deadline_ns: int | None = None) -> DigestTask:
    """The task of a digest, streamed or not."""
    target = checks.check_language(
        "translation.target_language_code", request.translation.target_language_code, required=True
    )
    assert target is not None
    return DigestTask(
        document=document_input(request.document, "document", limits),
        target_language_code=target,
        summary=summary_options(request.summary),
        summary_model=checks.check_name("summary_model", request.summary_model),
        translation_model=checks.check_name("translation_model", request.translation_model),
        translate_body=not request.translation.omit_body,
        decode=decode_options(request.decode),
        options=request_options(request.options, limits, deadline_ns),
    )


def summarize_settings(
    request: articles.SummarizeRequest, limits: Limits, *, deadline_ns: int | None = None
) -> SummarizeTask:
    """What holds for every document of the call; the task's document is empty."""
    checks.check_count("documents", request.documents, least=1, most=limits.max_documents)
    return SummarizeTask(
        document=DocumentInput(""),
        summary=summary_options(request.summary),
        model=checks.check_name("model", request.model),
        decode=decode_options(request.decode),
        options=request_options(request.options, limits, deadline_ns),
    )


def translate_settings(
    request: articles.TranslateRequest, limits: Limits, *, deadline_ns: int | None = None
) -> TranslateTask:
    """What holds for every document of the call; the task's document is empty."""
    checks.check_count("documents", request.documents, least=1, most=limits.max_documents)
    target = checks.check_language("target_language_code", request.target_language_code, required=True)
    assert target is not None
    return TranslateTask(
        document=DocumentInput(""),
        target_language_code=target,
        model=checks.check_name("model", request.model),
        decode=decode_options(request.decode),
        options=request_options(request.options, limits, deadline_ns),
    )


def document_input(message: common.Document, path: str, limits: Limits) -> DocumentInput:
    """One document; ``path`` is where it stands in the request."""
    text = message.text
    source = message.WhichOneof("source")
    if source is None:
        raise InvalidInputError(path, "is required; set its text or its content")
    if source == "content":
        text = checks.check_utf8(f"{path}.content", message.content)
    return DocumentInput(
        text=checks.check_text(f"{path}.{source}", text, limits),
        mime_type=mime_type(f"{path}.mime_type", message.mime_type),
        language_code=checks.check_language(f"{path}.language_code", message.language_code, required=False),
        extraction=_member(f"{path}.extraction", EXTRACTION, message.extraction) or Extraction.FULL,
    )


def mime_type(field: str, value: str) -> MimeType:
    """The kind of a document; a ``charset`` is allowed where it says UTF-8."""
    kind, _, parameter = value.strip().lower().partition(";")
    if parameter.strip() not in ("", "charset=utf-8"):
        raise InvalidInputError(field, f"{value[:80]!r}; documents are UTF-8")
    try:
        return MimeType(kind.strip() or MimeType.PLAIN.value)
    except ValueError:
        known = ", ".join(member.value for member in MimeType)
        raise InvalidInputError(field, f"{value[:80]!r} is not one of {known}") from None


def summary_options(message: common.SummaryOptions) -> SummaryOptions:
    """How to summarize."""
    method = _member("summary.method", SUMMARY_METHOD, message.method) or SummaryMethod.AUTO
    match message.WhichOneof("length"):
        case "words":
            return SummaryOptions(method, words=_summary_length("words", message.words))
        case "sentences":
            return SummaryOptions(method, sentences=_summary_length("sentences", message.sentences))
        case "ratio":
            return SummaryOptions(method, ratio=_summary_length("ratio", message.ratio))
        case _:
            return SummaryOptions(method)


def _summary_length(name: str, value: Option) -> Option:
    return checks.check_range(f"summary.{name}", value, SUMMARY_RANGES[name])


def decode_options(message: common.DecodeOptions) -> DecodeOptions:
    """How to decode; what is not set stays None."""

    def option(name: str, value: Option, is_set: bool) -> Option | None:
        return checks.check_range(f"decode.{name}", value, DECODE_RANGES[name]) if is_set else None

    has = message.HasField
    decode = DecodeOptions(
        num_beams=option("num_beams", message.num_beams, has("num_beams")),
        max_new_tokens=option("max_new_tokens", message.max_new_tokens, has("max_new_tokens")),
        min_new_tokens=option("min_new_tokens", message.min_new_tokens, has("min_new_tokens")),
        length_penalty=option("length_penalty", message.length_penalty, has("length_penalty")),
        no_repeat_ngram_size=option("no_repeat_ngram_size", message.no_repeat_ngram_size, has("no_repeat_ngram_size")),
        repetition_penalty=option("repetition_penalty", message.repetition_penalty, has("repetition_penalty")),
    )
    least, most = decode.min_new_tokens, decode.max_new_tokens
    if least is not None and most is not None and least > most:
        raise InvalidInputError("decode.min_new_tokens", f"{least:,} is more than max_new_tokens, {most:,}")
    return decode


def request_options(message: common.RequestOptions, limits: Limits, deadline_ns: int | None) -> RequestOptions:
    """Scheduling and terms."""
    checks.check_count("options.glossary", message.glossary, least=0, most=checks.MOST_TERMS)
    checks.check_count("options.do_not_translate", message.do_not_translate, least=0, most=checks.MOST_TERMS)
    glossary = tuple(
        GlossaryEntry(
            source=checks.check_term(f"options.glossary[{index}].source", entry.source),
            target=checks.check_term(f"options.glossary[{index}].target", entry.target),
            ignore_case=entry.ignore_case,
        )
        for index, entry in enumerate(message.glossary)
    )
    if deadline_ns is not None and message.allow_partial:
        deadline_ns = answer_by(deadline_ns, now_ns=time.monotonic_ns())
    return RequestOptions(
        priority=_member("options.priority", PRIORITY, message.priority) or Priority.INTERACTIVE,
        fairness_key=checks.check_length("options.fairness_key", message.fairness_key, checks.LONGEST_FAIRNESS_KEY),
        allow_partial=message.allow_partial,
        glossary=glossary,
        do_not_translate=tuple(
            checks.check_term(f"options.do_not_translate[{index}]", term)
            for index, term in enumerate(message.do_not_translate)
        ),
        deadline_ns=deadline_ns,
        caller=current_caller(),
        max_tokens=limits.max_tokens,
    )


def answer_by(deadline_ns: int, *, now_ns: int) -> int:
    """When a partial answer must leave so that its caller, who stops waiting at the deadline, receives it.

    A tenth of the time is kept for that, at least 50 ms, at most a second, and never more than half of the time.
    """
    left = max(0, deadline_ns - now_ns)
    return deadline_ns - min(left // 2, MOST_MARGIN_NS, max(left // 10, LEAST_MARGIN_NS))


def _member(field: str, enum: WireEnum[Member], number: int) -> Member | None:
    """The member of a number; None for unspecified. A number that is no value is refused."""
    member = enum.member(number)
    if member is None and number != 0:
        raise InvalidInputError(field, f"{number} is not a value of this enum")
    return member


def digest_paths(request: AnyDigestRequest) -> Mapping[str, str]:
    """Where a digest's request has what a task names. With both models given, ``model`` may be either and stays."""
    paths = {"target_language_code": "translation.target_language_code"}
    named = [name for name in ("summary_model", "translation_model") if getattr(request, name)]
    if len(named) == 1:
        paths["model"] = named[0]
    return paths


@contextmanager
def caller_paths(paths: Mapping[str, str], *, prefix: str = "") -> Iterator[None]:
    """Errors raised inside name the field where the caller has it.

    ``paths`` maps what a task's paths may begin with; ``prefix`` is put before the outcome.
    """
    try:
        yield
    except InvalidInputError as error:
        raise type(error)(prefix + _caller_path(error.field, paths), error.description) from error


def _caller_path(field: str, paths: Mapping[str, str]) -> str:
    for name, path in paths.items():
        rest = field.removeprefix(name)
        if field.startswith(name) and rest[:1] in ("", ".", "["):
            return path + rest
    return field


def document_paths(index: int) -> Mapping[str, str]:
    """Where a call with many documents has the one that a task calls ``document``."""
    return {"document": f"documents[{index}]"}
