"""Pages as templates: every byte outside of words stays, and every tag inside of a sentence comes back."""

from __future__ import annotations

import re
from html import unescape

import pytest
from glossd.errors import InvalidInputError
from glossd.text.document import Document, parse, rebuild
from glossd.text.elements import take_apart_markup
from glossd.text.template import read_template
from glossd.text.terms import TermFinder
from glossd.types import DocumentInput, MimeType, Span
from hypothesis import given
from hypothesis import strategies as st

from tests.pages import labelled_pages

PIECES = [
    *("Hello world. ", "It rained &amp; rained!", "He said: ", "<p>", "</p>", "<b>", "</b>", "<a href='x>y'>", "</a>"),
    *("<br>", "<ul><li>", "</li></ul>", "\n  ", "&nbsp;", "&#20320;", "&lt;", "a < b ", "<!-- a > b -->"),
    *(
        "<script>if(a<b)x()</script>",
        "<pre>",
        "</pre>",
        "<code>x()</code>",
        "<img src=i.png>",
        "<div hidden>",
        "</div>",
    ),
    *("<h1>", "</h1>", "<svg><text>", "</svg>", "<td>", "<title>t</title>", "&bogus;", "<p translate=no>", "<", "</"),
    *("</div>", "&#27;[31m", "&#x200b;", "你好。", "👍", "e\u0301", "\r\n"),
]
HTML = st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("".join)


def page(html: str) -> Document:
    return parse(DocumentInput(html, MimeType.HTML, "en"))


@given(HTML)
def test_with_its_own_sentences_a_page_is_the_same_byte_for_byte(html: str) -> None:
    try:
        document = page("<body>" + html)
    except InvalidInputError:
        return
    assert document.template is not None
    own = [segment.written for segment in document.segments]
    assert rebuild(document, own, language_code="en").text == document.template.html
    for segment in document.segments:
        assert document.source[segment.source.start : segment.source.end] == segment.text
        span = document.template.span(segment.source)
        assert document.template.html[span.start : span.end] == segment.markup


@pytest.mark.parametrize("number", range(0, len([p for p in labelled_pages() if p.mime_type is MimeType.HTML])))
def test_real_looking_pages_are_the_same_byte_for_byte(number: int) -> None:
    html = [page.text for page in labelled_pages() if page.mime_type is MimeType.HTML][number]
    document = page(html)
    rebuilt = rebuild(document, [segment.written for segment in document.segments], language_code="en")
    assert rebuilt.text == html
    for segment, span in zip(document.segments, rebuilt.targets, strict=True):
        assert re.sub(r"\s+", " ", unescape(re.sub("<[^>]*>", "", rebuilt.text[span.start : span.end]))) == segment.text


@given(HTML)
def test_every_tag_of_a_sentence_is_in_its_parts_once(html: str) -> None:
    try:
        document = page("<body>" + html)
    except InvalidInputError:
        return
    for segment in document.segments:
        sentence = take_apart_markup(segment, TermFinder(()))
        parts = "".join(mark.left + mark.right for mark in sentence.marks)
        parts += "".join(guard.target for guard in (*sentence.guards, *sentence.loose))
        for inline in segment.tags:
            assert segment.markup[inline.tag.span.start : inline.tag.span.end] in parts


def test_what_is_hidden_or_not_to_be_translated_is_no_text() -> None:
    html = "<p>Seen.<p hidden>Hidden.<p>Again.<div translate='no'>Kept.</div>"
    html += "<script>'<p>no'</script><svg><text>No</text></svg>"
    assert read_template(html).text.split() == ["Seen.", "Again."]


def test_spans_of_a_page_count_the_page_that_was_sent() -> None:
    html = "\ufeff<p>One &amp; <b>two</b>.</p>\r\n<p>Three.</p>"
    document = page(html)
    spans = [document.original(segment.source) for segment in document.segments]
    assert [html[span.start : span.end] for span in spans] == ["One &amp; <b>two</b>.", "Three."]


def test_a_page_that_never_closes_a_tag_ends_there() -> None:
    assert read_template("<p>Text.</p><a href='<p>More.</p>").text == "Text."


def test_elements_are_marks_code_is_guarded_and_halves_are_kept() -> None:
    (first, second) = page("<p>It <b>is <i>here. Now</i> go</b> to <code>a&lt;b</code> fast.</p>").segments
    one, two = (take_apart_markup(segment, TermFinder(())) for segment in (first, second))
    assert [(mark.left, mark.right, mark.plain) for mark in one.marks] == [
        ("<b>", "", Span(3, 11)),
        ("<i>", "", Span(6, 11)),
    ]
    assert [(mark.left, mark.right) for mark in two.marks] == [("", "</i>"), ("", "</b>")]
    assert two.masked == "Now go to ⟦0⟧ fast."
    assert two.guards[0].target == "<code>a&lt;b</code>"
