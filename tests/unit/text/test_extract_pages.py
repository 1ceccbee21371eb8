"""Main content of the labelled pages: what the table in ``docs/extraction.md`` says holds."""

from __future__ import annotations

import pytest
from glossd.text.document import PartKind
from glossd.text.extractive import summarize
from glossd.types import MimeType, SummaryOptions

from tests.pages import LAYOUTS, Counts, LabelledPage, count, extract, kept_lines, labelled_pages

PAGES = labelled_pages()
ONE_LINE = ("table_layout",)
"""A page that trafilatura gives as one line."""
TEXTS = [page for page in PAGES if page.mime_type is MimeType.PLAIN]


def total(pages: list[LabelledPage]) -> Counts:
    return sum((count(page, extract(page)) for page in pages), Counts())


def test_there_are_enough_pages_of_enough_layouts_and_they_are_small() -> None:
    assert len(PAGES) >= 60
    assert len({page.layout for page in PAGES}) >= 25
    assert {(page.language_code, page.mime_type) for page in PAGES} == {
        (code, form) for code in ("en", "zh") for form in (MimeType.PLAIN, MimeType.HTML)
    }
    assert sum(path.stat().st_size for path in LAYOUTS.rglob("*") if path.is_file()) < 1_000_000


def test_every_page_has_lines_of_both_kinds() -> None:
    for page in PAGES:
        labels = [line.keep for line in page.lines]
        assert labels.count(True) >= 3
        assert labels.count(False) >= 1


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("mime_type", "precision", "recall"), [(MimeType.PLAIN, 0.98, 0.98), (MimeType.HTML, 0.92, 0.95)]
)
def test_lines_are_kept_and_dropped_as_labelled(
    language: str, mime_type: MimeType, precision: float, recall: float
) -> None:
    counts = total([page for page in PAGES if page.language_code == language and page.mime_type is mime_type])
    assert counts.precision >= precision
    assert counts.recall >= recall


@pytest.mark.parametrize("layout", sorted({page.layout for page in PAGES}))
def test_no_layout_loses_a_paragraph(layout: str) -> None:
    for page in PAGES:
        if page.layout == layout:
            kept = kept_lines(page, extract(page))
            lost = [line.text for number, line in enumerate(page.lines) if line.keep and number not in kept]
            assert not [text for text in lost if len(text) > 90]


def test_the_headline_of_a_scraped_page_is_found() -> None:
    headlines = [next(line.text for line in page.lines if line.keep) for page in TEXTS]
    found = [extract(page).title == headline for page, headline in zip(TEXTS, headlines, strict=True)]
    assert sum(found) >= 0.95 * len(TEXTS)


def test_a_hard_wrapped_text_is_body_to_its_last_line() -> None:
    page = next(page for page in TEXTS if page.layout == "hard_wrapped")
    document = extract(page)
    assert not document.warnings
    assert count(page, document).recall == 1.0


def test_a_list_of_links_between_two_paragraphs_does_not_part_an_article() -> None:
    page = next(page for page in TEXTS if page.layout == "related_inside")
    document = extract(page)
    paragraphs = [part for part in document.parts if part.kind is PartKind.PARAGRAPH]
    assert len(paragraphs) == sum(line.keep is True for line in page.lines) - 1


def test_a_summary_of_a_scraped_page_has_nothing_of_what_is_around_the_article() -> None:
    for page in PAGES:
        if page.layout in ONE_LINE:
            continue
        document = extract(page)
        body = "\n".join(line.text for line in page.lines if line.keep)
        for options in (SummaryOptions(), SummaryOptions(words=80)):
            summary = summarize(document, options, language_code=page.language_code)
            sentences = [document.segments[index].text for index in summary.segments]
            assert all(sentence in body for sentence in sentences)


@pytest.mark.parametrize(
    "sentence",
    [
        "The bakery on the corner sells two hundred cookies a day, and the mayor says that he eats three.",
        "Thousands of customers signed up for the scheme in the first week, said the company that runs the ferries.",
        "据外交部微信公众号消息，双方周二就渔业问题举行了磋商，并同意年内再次会晤，具体日期尚待商定。",
    ],
)
def test_a_paragraph_may_speak_of_what_pages_ask_for(sentence: str) -> None:
    page = next(page for page in TEXTS if page.layout == ("brief_zh" if sentence[0] == "据" else "wire_brief"))
    lines = list(page.lines)
    place = 1 + max(number for number, line in enumerate(lines) if line.keep)
    lines.insert(place, type(lines[0])(sentence, True))
    longer = LabelledPage(page.layout, page.language_code, page.mime_type, tuple(lines))
    assert count(longer, extract(longer)).recall == 1.0
