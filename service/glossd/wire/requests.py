"""Questions: the tasks a caller has, as request messages. The way back is the server's, with its checks.

A task's ``deadline_ns`` is left out: a deadline travels as the gRPC timeout of the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from glossd.digests import DigestTask
from glossd.errors import InvalidInputError
from glossd.types import DecodeOptions, DocumentInput, RequestOptions, SummarizeTask, SummaryOptions, TranslateTask
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.wire.enums import EXTRACTION, PRIORITY, SUMMARY_METHOD


def document_to_message(document: DocumentInput) -> common.Document:
    """The message of a document; raises ``InvalidInputError`` for a text that UTF-8 cannot hold."""
    extraction = cast("common.Extraction.ValueType", EXTRACTION.number(document.extraction))
    message = common.Document(
        mime_type=document.mime_type.value, language_code=document.language_code or "", extraction=extraction
    )
    try:
        message.text = document.text
    except UnicodeEncodeError as error:
        raise InvalidInputError("document.text", f"character {error.start:,} is half of a surrogate pair") from error
    return message


def summary_to_message(summary: SummaryOptions) -> common.SummaryOptions:
    """The message of summary options; raises ``InvalidInputError`` when more than one length is set."""
    lengths = (summary.words, summary.sentences, summary.ratio)
    if sum(length is not None for length in lengths) > 1:
        raise InvalidInputError("summary", "at most one of words, sentences and ratio may be set")
    method = cast("common.SummaryMethod.ValueType", SUMMARY_METHOD.number(summary.method))
    message = common.SummaryOptions(method=method)
    if summary.words is not None:
        message.words = summary.words
    if summary.sentences is not None:
        message.sentences = summary.sentences
    if summary.ratio is not None:
        message.ratio = summary.ratio
    return message


def decode_to_message(decode: DecodeOptions) -> common.DecodeOptions:
    """The message of decode options; None stays unset."""
    return common.DecodeOptions(
        num_beams=decode.num_beams,
        max_new_tokens=decode.max_new_tokens,
        min_new_tokens=decode.min_new_tokens,
        length_penalty=decode.length_penalty,
        no_repeat_ngram_size=decode.no_repeat_ngram_size,
        repetition_penalty=decode.repetition_penalty,
    )


def options_to_message(options: RequestOptions) -> common.RequestOptions:
    """The message of request options, without the deadline."""
    return common.RequestOptions(
        priority=cast("common.Priority.ValueType", PRIORITY.number(options.priority)),
        fairness_key=options.fairness_key,
        allow_partial=options.allow_partial,
        glossary=[
            common.GlossaryEntry(source=entry.source, target=entry.target, ignore_case=entry.ignore_case)
            for entry in options.glossary
        ],
        do_not_translate=options.do_not_translate,
    )


def _translation_to_message(task: DigestTask) -> articles.TranslationOptions:
    return articles.TranslationOptions(
        target_language_code=task.target_language_code, omit_body=not task.translate_body
    )


def digest_to_request(task: DigestTask) -> articles.DigestRequest:
    """The request for a digest."""
    return articles.DigestRequest(
        document=document_to_message(task.document),
        translation=_translation_to_message(task),
        summary=summary_to_message(task.summary),
        decode=decode_to_message(task.decode),
        options=options_to_message(task.options),
        summary_model=task.summary_model,
        translation_model=task.translation_model,
    )


def digest_to_stream_request(task: DigestTask) -> articles.StreamDigestRequest:
    """The request for a streamed digest."""
    return articles.StreamDigestRequest(
        document=document_to_message(task.document),
        translation=_translation_to_message(task),
        summary=summary_to_message(task.summary),
        decode=decode_to_message(task.decode),
        options=options_to_message(task.options),
        summary_model=task.summary_model,
        translation_model=task.translation_model,
    )


def digest_to_bulk_request(key: str, task: DigestTask) -> articles.BulkDigestRequest:
    """The request for one digest of a bulk run."""
    return articles.BulkDigestRequest(key=key, request=digest_to_request(task))


def summarize_to_request(documents: Sequence[DocumentInput], task: SummarizeTask) -> articles.SummarizeRequest:
    """The request to summarize ``documents`` as ``task`` says; the task's own document is not sent."""
    return articles.SummarizeRequest(
        documents=[document_to_message(document) for document in documents],
        summary=summary_to_message(task.summary),
        model=task.model,
        decode=decode_to_message(task.decode),
        options=options_to_message(task.options),
    )


def translate_to_request(documents: Sequence[DocumentInput], task: TranslateTask) -> articles.TranslateRequest:
    """The request to translate ``documents`` as ``task`` says; the task's own document is not sent."""
    return articles.TranslateRequest(
        documents=[document_to_message(document) for document in documents],
        target_language_code=task.target_language_code,
        model=task.model,
        decode=decode_to_message(task.decode),
        options=options_to_message(task.options),
    )
