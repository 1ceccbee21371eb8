"""Main content of plain text: body and headline stay, the page around them goes."""

from __future__ import annotations

import random

import pytest
from glossd.text.document import Document, PartKind, parse
from glossd.types import DocumentInput, Extraction, Span, WarningCode

from .conftest import DATA, Authored
from .pages import Article, build_page

BODY_LINES = [*range(7, 15), *range(16, 22), *range(23, 26)]
RESIDUE_LINES = [3, 4, *range(27, 55)]
PAGES = 60


def main_content(text: str, code: str = "en") -> Document:
    return parse(DocumentInput(text, language_code=code, extraction=Extraction.MAIN_CONTENT))


def kept_lines(document: Document) -> set[int]:
    return {line for span in document.kept for line in range(span.start, span.end)}


def test_every_body_paragraph_of_the_seed_article_stays_and_no_residue(seed_article: str) -> None:
    document = main_content(seed_article)
    kept = kept_lines(document)
    assert len(BODY_LINES) == 17
    assert len(RESIDUE_LINES) == 30
    assert kept >= set(BODY_LINES)
    assert not kept & set(RESIDUE_LINES)
    assert document.title == "Kerry, Putin hold talks on Syria issue"
    assert document.date == "2013-05-08 08:00"
    assert [part.kind for part in document.parts[:2]] == [PartKind.TITLE, PartKind.DATE]
    assert "[Photo/Agencies]" not in "".join(segment.text for segment in document.segments)
    headings = [document.segments_of(part)[0].text for part in document.parts if part.kind is PartKind.HEADING]
    assert headings[-2:] == ["Important meeting", "Deadly weapon"]
    assert not document.warnings


@pytest.mark.parametrize(
    ("name", "code", "title", "date", "kept"),
    [
        ("scraped_page.txt", "en", "Ferry service returns to island after two-year break", "2016-04-19 07:45", 11),
        ("scraped_page_zh.txt", "zh", "停航两年后海岛轮渡恢复通航", "2016年4月19日 07:45", 7),
    ],
)
def test_a_scraped_page_keeps_headline_date_and_body(name: str, code: str, title: str, date: str, kept: int) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    document = main_content(text, code)
    assert (document.title, document.date) == (title, date)
    body = [part for part in document.parts if part.kind in (PartKind.PARAGRAPH, PartKind.HEADING)]
    first, last = body[0].span.start, body[-1].span.end
    assert text[first:].startswith(("The first passenger ferry", "Islanders cheer", "周一，两年来"))
    assert text[:last].endswith(("signs the final papers.", "最早6月底可以办理。"))
    assert len([part for part in body if part.kind is PartKind.PARAGRAPH]) == kept


@pytest.mark.parametrize("language", ["en", "zh"])
def test_precision_and_recall_by_line_on_generated_pages(
    language: str, english: list[Authored], chinese: list[Authored]
) -> None:
    articles = english if language == "en" else chinese
    chance = random.Random(11)
    right = wrong = missed = titles = 0
    for number in range(PAGES):
        article = articles[number % len(articles)]
        links = [other.title for other in articles if other is not article]
        page = build_page(Article(article.title, article.dateline, article.paragraphs), links, language, chance)
        document = main_content(page.text, language)
        kept = kept_lines(document)
        titles += document.title == article.title
        for line, truth in enumerate(page.truth):
            if truth != "blank":
                right += line in kept and truth != "drop"
                wrong += line in kept and truth == "drop"
                missed += line not in kept and truth != "drop"
    assert right / (right + wrong) >= 0.97
    assert right / (right + missed) >= 0.97
    assert titles >= 0.9 * PAGES


def test_paragraphs_alone_are_all_kept(english: list[Authored], chinese: list[Authored]) -> None:
    for article in [*english, *chinese]:
        text = "\n\n".join(article.paragraphs)
        document = main_content(text)
        assert len(document.parts) == len(article.paragraphs)
        assert not document.warnings


def test_a_list_of_links_alone_is_kept_whole_with_a_warning() -> None:
    text = "\n".join(f"Headline number {number} about things" for number in range(30))
    document = main_content(text)
    assert len(document.segments) == 30
    assert [warning.code for warning in document.warnings] == [WarningCode.EXTRACTION_UNCERTAIN]


def test_a_small_body_in_a_large_page_is_not_trusted() -> None:
    links = "\n".join(f"- Another headline with some words in it number {number}" for number in range(60))
    document = main_content(
        f"{links}\nThe mayor said on Monday that the old bridge would be closed until May.\n{links}"
    )
    assert [warning.code for warning in document.warnings] == [WarningCode.EXTRACTION_UNCERTAIN]
    assert len(document.parts) == 121


def test_full_keeps_everything_but_tells_the_parts_apart(seed_article: str) -> None:
    document = parse(DocumentInput(seed_article, language_code="en"))
    assert len(document.parts) == 55
    assert document.parts[5].kind is PartKind.CAPTION
    assert document.parts[-1].kind is PartKind.RESIDUE
    assert document.parts[-1].segments


def test_an_introduced_list_inside_the_body_stays() -> None:
    paragraph = "The council met on Monday evening in the town hall and talked for three hours about the plan."
    text = f"{paragraph}\n{paragraph} It has three parts:\n- a new bridge\n- two schools\n- one park\n{paragraph}\n"
    assert len(main_content(text).parts) == 6


@pytest.mark.parametrize(
    "line",
    [
        'Jane Porter is a writer based in Leeds and the author of "Small Rooms".',
        "Jane Porter is our Berlin correspondent",
        "本文作者系复旦大学教授。",
    ],
)
def test_a_line_about_the_author_is_no_part_of_the_article(line: str) -> None:
    prose = "The council closed the old bridge over the river on Monday after a boat struck it, and nobody was hurt."
    document = parse(DocumentInput(f"{prose}\n{prose}\n{line}", extraction=Extraction.MAIN_CONTENT))
    assert document.kept == (Span(0, 2),)


@pytest.mark.parametrize(
    "line",
    [
        "Jane Porter is a writer, she said, who never wrote a word before she was forty and had left the sea for good.",
        "Her father was a reporter.",
    ],
)
def test_a_sentence_that_speaks_of_a_writer_stays(line: str) -> None:
    prose = "The council closed the old bridge over the river on Monday after a boat struck it, and nobody was hurt."
    document = parse(DocumentInput(f"{prose}\n{line}\n{prose}", extraction=Extraction.MAIN_CONTENT))
    assert document.kept == (Span(0, 3),)
