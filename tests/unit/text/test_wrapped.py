"""Markdown that is wrapped by hand: its paragraphs are whole, its spans are right, other lines stay apart."""

from __future__ import annotations

import pytest
from glossd.text.document import Document, parse, rebuild
from glossd.text.normalize import normalize_source
from glossd.types import DocumentInput, Extraction, MimeType, Span

WRAPPED = """# A title
The council closed the old bridge over the
river on Monday. It will stay
closed.

- The first item goes
  on here.
- The second one.

> A quote.
"""


def parsed(text: str, mime_type: MimeType = MimeType.MARKDOWN, code: str = "en") -> Document:
    return parse(DocumentInput(text, mime_type, code))


def sentences(document: Document) -> list[str]:
    return [" ".join(segment.text.split()) for segment in document.segments]


def test_a_sentence_over_several_lines_is_one_segment() -> None:
    document = parsed(WRAPPED)
    assert sentences(document) == [
        "A title",
        "The council closed the old bridge over the river on Monday.",
        "It will stay closed.",
        "The first item goes on here.",
        "The second one.",
        "A quote.",
    ]
    for segment in document.segments:
        assert WRAPPED[segment.source.start : segment.source.end] == segment.text


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_the_own_sentences_give_the_source_and_others_stand_on_one_line(line_break: str) -> None:
    text = WRAPPED.replace("\n", line_break)
    document = parsed(text)
    own = [segment.text for segment in document.segments]
    assert rebuild(document, own, language_code="en").text == text
    rebuilt = rebuild(document, ["好。"] * len(own), language_code="zh")
    assert rebuilt.text.split(line_break)[:4] == ["# 好。", "好。好。", "", "- 好。"]
    assert [rebuilt.text[span.start : span.end] for span in rebuilt.targets] == ["好。"] * len(own)


@pytest.mark.parametrize(
    "text",
    [
        "One line.  \nAfter a hard break.",
        "One line.\\\nAfter a hard break.",
        "# Heading\nText under it.",
        "Text.\n- item",
        "Text.\n\nMore text.",
        "Text.\n> quote",
        "| a | b |\n| c | d |",
        "Text.\n```\ncode\n```",
        "**Alone.**\nText below.",
    ],
)
def test_lines_that_are_apart_in_markdown_stay_apart(text: str) -> None:
    assert all("\n" not in segment.text for segment in parsed(text).segments)


def test_plain_text_keeps_its_line_breaks() -> None:
    document = parsed("The council closed\nthe bridge.", MimeType.PLAIN)
    assert len(document.segments) == 2


def test_kept_lines_count_every_line_of_a_paragraph() -> None:
    document = parse(DocumentInput(WRAPPED, MimeType.MARKDOWN, "en", Extraction.FULL))
    assert document.kept == (Span(0, WRAPPED.count("\n") + 1),)


def test_a_chinese_paragraph_is_joined_without_a_space() -> None:
    assert normalize_source("市议会周一\n开会。\n他用 Python\n写。", "zh") == "市议会周一开会。他用 Python 写。"
    (segment,) = parsed("市议会周一\n开会。", code="zh").segments
    assert normalize_source(segment.text, "zh") == "市议会周一开会。"
