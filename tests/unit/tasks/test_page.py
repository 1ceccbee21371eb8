"""A page of HTML on its road: answered as a page, with its tags around what their words became."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from glossd.tasks.reading import Reader
from glossd.tasks.translate import Translator
from glossd.types import (
    DocumentInput,
    Extraction,
    FinishReason,
    GlossaryEntry,
    MimeType,
    RequestOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.pages import labelled_pages
from tests.toys import ToyDetector, ToyGenerator, toy_hub, toy_model
from tests.unit.tasks.test_guarded import PlaceholderGenerator, model_of
from tests.unit.tasks.test_looking import LookingGenerator

SHELL = (
    '<!DOCTYPE html>\n<html lang="en"><head><title>T</title><style>p{a:b}</style></head><body class="x">\n'
    "%s\n</body></html>\n"
)


async def translated(html: str, generator: ToyGenerator | None = None, **options: object) -> TextResult:
    model = model_of(generator or PlaceholderGenerator())
    if isinstance(generator, LookingGenerator):
        model = replace(toy_model(generator=generator), aligner=generator)
    translator = Translator(toy_hub(model), Reader(ToyDetector()))
    request = RequestOptions(**options)  # type: ignore[arg-type]
    return await translator.translate(TranslateTask(DocumentInput(html, MimeType.HTML, "en"), "zh", options=request))


async def test_everything_around_the_words_of_a_page_stays() -> None:
    result = await translated(SHELL % '<p id=1>The ship left.</p><ul>\n <li>One <br/>two\n</ul><!-- c --><img alt="a">')
    pattern = re.escape(SHELL % '<p id=1>@</p><ul>\n <li>@ <br/>@\n</ul><!-- c --><img alt="a">').replace(
        "@", "[^<>A-Za-z]+"
    )
    assert re.fullmatch(pattern, result.text), result.text
    assert result.warnings == ()


async def test_tags_go_where_the_model_looked() -> None:
    words = {"They": "他们", "quickly": "匆忙", "left": "离开了", "old house": "旧房子", "again": "又"}
    generator = LookingGenerator("他们又匆忙离开了旧房子.", words)
    html = '<p>They <em class="x">quickly</em> left the <a href="h?a=1&amp;b=2">old <b>house</b></a> again.</p>'
    generator.words = {**words, "old house": "旧房子"}
    result = await translated(html, generator)
    assert result.text.startswith('<p>他们又<em class="x">匆忙</em>离开了<a href="h?a=1&amp;b=2">')
    assert result.text.count("<b>") == result.text.count("</b>") == 1
    assert result.text.endswith("</a>。</p>")
    assert result.warnings == ()


async def test_what_a_page_would_read_as_markup_is_escaped() -> None:
    result = await translated(
        "<p>The ship &lt;b&gt; &amp; port.</p>", glossary=(GlossaryEntry("ship", "<script>alert(1)</script>"),)
    )
    assert "<script>" not in result.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in result.text
    assert "&amp;" in result.text
    assert (result.usage.terms_found, result.usage.terms_kept) == (1, 1)


async def test_code_and_what_must_not_be_translated_come_through_as_they_are() -> None:
    html = "<p>Run <code>make <i>x</i> &amp;&amp; y</code> in <span translate=no>Port Side</span> now.</p>"
    result = await translated(html)
    assert "<code>make <i>x</i> &amp;&amp; y</code>" in result.text
    assert "<span translate=no>Port Side</span>" in result.text


async def test_an_element_over_two_sentences_keeps_both_ends() -> None:
    result = await translated("<p><b>It is here. It was</b> there.</p>")
    assert re.fullmatch("<p><b>[^<]+。[^<]*</b>[^<]*。?</p>", result.text), result.text


async def test_a_sentence_that_is_handed_through_keeps_its_markup() -> None:
    html = "<p>他们<b>很快</b>就离开了 &amp; 那里。</p><p>The ship left.</p>"
    result = await translated(html)
    assert result.text.startswith("<p>他们<b>很快</b>就离开了 &amp; 那里。</p>")
    assert result.segments[0].finish_reason is FinishReason.PASSTHROUGH


async def test_an_element_that_finds_no_place_is_dropped_and_named() -> None:
    generator = PlaceholderGenerator(lambda text: "他们已经离开了旧房子。" if len(text) > 8 else text)
    result = await translated("<p>They <b>quickly</b> left the old house.</p>", generator)
    assert result.text == "<p>他们已经离开了旧房子。</p>"
    assert [warning.code for warning in result.warnings] == [WarningCode.MARKUP_DROPPED]
    assert "<b>quickly</b>" in result.warnings[0].message


@pytest.mark.parametrize("number", range(4))
async def test_a_whole_page_has_the_same_tags_before_and_after(number: int) -> None:
    page = [page for page in labelled_pages() if page.mime_type is MimeType.HTML and page.language_code == "en"][number]
    result = await translated(page.text)
    dropped = [warning for warning in result.warnings if warning.code is WarningCode.MARKUP_DROPPED]
    before, after = (re.findall("<[^>]*>", text) for text in (page.text, result.text))
    assert sorted(before) == sorted(after) or dropped
    assert "".join(segment.text for segment in result.segments).count("<script") == 0


async def test_spans_lead_into_the_page_that_was_sent_and_the_page_that_came() -> None:
    html = "<p>The ship &amp; crew left.</p><p>It is <b>free</b>.</p>"
    result = await translated(html)
    assert [html[each.source.start : each.source.end] for each in result.segments] == [
        "The ship &amp; crew left.",
        "It is <b>free</b>.",
    ]
    assert [result.text[each.target.start : each.target.end] for each in result.segments] == [
        each.text for each in result.segments
    ]


async def test_the_main_content_of_a_page_is_answered_as_text() -> None:
    page = next(page for page in labelled_pages() if page.layout == "blog")
    translator = Translator(toy_hub(), Reader(ToyDetector()))
    document = DocumentInput(page.text, MimeType.HTML, "en", Extraction.MAIN_CONTENT)
    assert "<" not in (await translator.translate(TranslateTask(document, "zh"))).text
