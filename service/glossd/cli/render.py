"""Answers as text for a person and as JSON for a program: the response message in protobuf's JSON mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glossd.digests import DigestResult
from glossd.languages import find_language
from glossd.types import TextResult, Usage, Warning

if TYPE_CHECKING:
    from google.protobuf.message import Message


def digest_json(result: DigestResult) -> str:
    """A ``DigestResponse``."""
    from glossd.wire.results import digest_to_message

    return message_json(digest_to_message(result))


def text_json(result: TextResult, command: str) -> str:
    """A ``SummarizeResponse`` or a ``TranslateResponse`` with one result."""
    from glossd.v1 import article_service_pb2 as articles
    from glossd.wire.results import text_to_message

    document = articles.DocumentResult(text=text_to_message(result))
    response = articles.SummarizeResponse if command == "summarize" else articles.TranslateResponse
    return message_json(response(results=[document]))


def message_json(message: Message) -> str:
    """Protobuf's JSON mapping with the original field names."""
    from google.protobuf.json_format import MessageToJson

    return str(MessageToJson(message, preserving_proto_field_name=True, ensure_ascii=False))


def digest_text(result: DigestResult, *, seconds: float) -> str:
    """The digest to read: language, headline, summary, its translation, the body, warnings, timing."""
    detected = result.source_language
    target = language_name(result.translated_summary.language_code)
    lines = [f"Language: {language_name(detected.language_code)} (confidence {detected.confidence:.2f})"]
    lines += [f"Title: {result.title}"] if result.title else []
    lines += [f"Date: {result.date}"] if result.date else []
    lines += _section(f"Summary ({result.summary.model})", result.summary.text)
    if result.translated_summary.text:
        name = f"Summary in {target} ({result.translated_summary.model})"
        lines += _section(name, result.translated_summary.text)
    if result.translated_body.text:
        body = result.translated_body
        lines += _section(f"Article in {target} ({body.model})", readable(body.text))
    texts = (result.summary, result.translated_summary, result.translated_body)
    warnings = (*result.warnings, *(warning for text in texts for warning in text.warnings))
    lines += _section("Warnings", "\n".join(warning_lines(warnings)))
    lines += ["", timing_line(result.usage, seconds=seconds)]
    return "\n".join(lines)


def text_notes(result: TextResult, *, seconds: float) -> str:
    """What to know about a text: its model, warnings and timing."""
    name = language_name(result.language_code)
    lines = warning_lines(result.warnings)
    return "\n".join([*lines, f"{name} by {result.model}; {timing_line(result.usage, seconds=seconds)}"])


def readable(text: str) -> str:
    """A text that parts its paragraphs by blank lines as it is, any other with a blank line after each of its lines."""
    if "\n\n" in text.strip():
        return text.strip("\n")
    return "\n\n".join(line.strip() for line in text.splitlines() if line.strip())


def warning_lines(warnings: tuple[Warning, ...]) -> list[str]:
    """One line per warning, each said once."""
    lines = [f"{warning.code.value}: {warning.message}{_place(warning)}" for warning in warnings]
    return list(dict.fromkeys(lines))


def timing_line(usage: Usage, *, seconds: float) -> str:
    """Time, and what was worked on in it."""
    line = f"{seconds:.2f} s; {usage.segments:,} segments, {usage.input_tokens:,} tokens in"
    line += f", {usage.output_tokens:,} out"
    if usage.output_tokens and seconds > 0:
        line += f" ({usage.output_tokens / seconds:,.0f}/s)"
    return line


def language_name(code: str) -> str:
    """The language's name with its code, or the code alone."""
    language = find_language(code)
    return f"{language.name} [{language.code}]" if language else code


def _section(heading: str, text: str) -> list[str]:
    return ["", f"{heading}:", text] if text else []


def _place(warning: Warning) -> str:
    return f" (characters {warning.source.start:,} to {warning.source.end:,})" if warning.source else ""
