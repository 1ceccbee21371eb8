"""Labelled pages: the layouts in ``tests/data/pages`` filled with authored articles, and what extraction keeps.

A layout is named ``NAME.LANGUAGE.txt`` or ``.html``; ``tests/data/pages/README.md`` says how its lines are written.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glossd.text.document import Document, parse
from glossd.types import DocumentInput, Extraction, MimeType

LAYOUTS = Path(__file__).resolve().parent / "data/pages"
ARTICLES = Path(__file__).resolve().parent / "data/text/articles.jsonl"
PAGES_OF_A_LAYOUT = 2

_SLOT = re.compile(r"\{(?P<name>[a-z]+)(?P<number>\d*)(?:\[(?P<start>\d*):(?P<stop>\d*)\])?(?:\*(?P<times>\d+))?\}")
_TAG = re.compile("<[^<>]*>")
_MARK = re.compile(r"(?:[-•*] |#{1,6} )")
_WRAP_COLUMNS = 72
_LEAST_SHARED = 20
_WORDS = {
    "en": {
        "date": "2014-05-08 08:12",
        "name": "Jane Porter",
        "caption": "People stand near the place where it happened, in a picture taken from a nearby hill on Tuesday.",
        "head1": "A slow start",
        "head2": "What happens next",
        "head3": "Wider questions",
    },
    "zh": {
        "date": "2014年05月08日",
        "name": "王小明",
        "caption": "5月7日，人们聚集在事发地点附近的山坡上。",
        "head1": "缓慢的开端",
        "head2": "下一步怎么走",
        "head3": "更大的疑问",
    },
}


@dataclass(frozen=True, slots=True)
class PageLine:
    """One line and whether it belongs to the article; None where either is right (date lines, bylines, blanks)."""

    text: str
    keep: bool | None


@dataclass(frozen=True, slots=True)
class LabelledPage:
    """A page of one layout, filled with one article; ``fresh`` when no rule was tuned on its layout."""

    layout: str
    language_code: str
    mime_type: MimeType
    lines: tuple[PageLine, ...]
    fresh: bool = False

    @property
    def text(self) -> str:
        """The page as a caller sends it."""
        return "\n".join(line.text for line in self.lines) + "\n"


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines kept that should be, kept that should not be, and lost."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def precision(self) -> float:
        """The share of the kept lines that belong to the article."""
        return self.right / max(self.right + self.wrong, 1)

    @property
    def recall(self) -> float:
        """The share of the article's lines that are kept."""
        return self.right / max(self.right + self.missed, 1)


@dataclass(frozen=True, slots=True)
class _Article:
    title: str
    place: str
    paragraphs: tuple[str, ...]
    sentences: tuple[str, ...]


def labelled_pages() -> list[LabelledPage]:
    """Every layout with two articles each, always the same."""
    articles = {code: _read_articles(side) for side, code in enumerate(("en", "zh"))}
    pages = []
    for number, path in enumerate(sorted(LAYOUTS.glob("**/*.*.*"))):
        name, code, form = path.name.split(".")
        mime_type = MimeType.HTML if form == "html" else MimeType.PLAIN
        for turn in range(PAGES_OF_A_LAYOUT):
            mine = (2 * number + turn) % len(articles[code])
            lines = _fill(path.read_text(encoding="utf-8"), articles[code], mine, code)
            pages.append(LabelledPage(name, code, mime_type, tuple(lines), path.parent != LAYOUTS))
    return pages


def extract(page: LabelledPage) -> Document:
    """The page's main content."""
    return parse(DocumentInput(page.text, page.mime_type, page.language_code, Extraction.MAIN_CONTENT))


def count(page: LabelledPage, document: Document) -> Counts:
    """How the kept lines compare with the labels."""
    counts = Counts()
    kept = kept_lines(page, document)
    for number, line in enumerate(page.lines):
        if line.keep is not None:
            both = number in kept
            counts += Counts(line.keep and both, both and not line.keep, line.keep and not both)
    return counts


def kept_lines(page: LabelledPage, document: Document) -> set[int]:
    """The numbers of the page's lines that the document kept."""
    if page.mime_type is MimeType.HTML:
        return _kept_texts(page, document)
    return {number for span in document.kept for number in range(span.start, span.end)}


def _kept_texts(page: LabelledPage, document: Document) -> set[int]:
    """The lines of an HTML page whose visible text stands in a kept line.

    A short text must be that line, or stand as words in a line that is no line of the article (all in one, say).
    """
    source = document.source
    lines = {_visible(source[part.span.start : part.span.end]) for part in document.parts}
    texts = [_visible(line.text) for line in page.lines]
    strange = " \n ".join(lines - {text for text, line in zip(texts, page.lines, strict=True) if line.keep})
    whole = "\n".join(lines)
    return {
        number
        for number, text in enumerate(texts)
        if text in lines or (text in whole if len(text) > _LEAST_SHARED else f" {text} " in f" {strange} ")
    }


def _visible(line: str) -> str:
    return _MARK.sub("", html.unescape(_TAG.sub("", line)).strip(), count=1).strip()


def _read_articles(side: int) -> list[_Article]:
    articles = []
    for line in ARTICLES.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sentences = tuple(pair[side] for paragraph in row["body"] for pair in paragraph)
        glue = "" if side else " "
        paragraphs = tuple(glue.join(pair[side] for pair in paragraph) for paragraph in row["body"])
        place = "".join(row["dateline"]).split(",")[0] if side == 0 else ""
        articles.append(_Article(row["title"][side], place, paragraphs, sentences))
    return articles


def _fill(layout: str, articles: Sequence[_Article], mine: int, code: str) -> Iterator[PageLine]:
    links = _links(articles, mine)
    for line in layout.splitlines():
        mark, template = line[:1], line[2:]
        keep = {"=": True, "-": False}.get(mark) if template.strip() else None
        for text in _expand(template, articles[mine], links, code):
            yield PageLine(text, keep if text else None)


def _links(articles: Sequence[_Article], mine: int) -> Iterator[str]:
    while True:
        for step in range(1, len(articles)):
            yield articles[(mine + step) % len(articles)].title


def _expand(template: str, article: _Article, links: Iterator[str], code: str) -> Iterator[str]:
    """The lines of one template: as many as its slot for paragraphs, sentences, wrapped lines or links asks for."""
    slot = next((slot for slot in _SLOT.finditer(template) if slot["start"] is not None or slot["times"]), None)
    if slot is None:
        yield _single(template, article, links, code)
        return
    for value in _values(slot, article, links):
        yield _single(template[: slot.start()] + value + template[slot.end() :], article, links, code)


def _values(slot: re.Match[str], article: _Article, links: Iterator[str]) -> list[str]:
    if slot["times"]:
        return [next(links) for _ in range(int(slot["times"]))]
    found = article.sentences if slot["name"] == "s" else article.paragraphs
    found = found[int(slot["start"] or 0) : int(slot["stop"]) if slot["stop"] else None]
    return list(_wrapped(found)) if slot["name"] == "wrap" else list(found)


def _wrapped(paragraphs: Sequence[str]) -> Iterator[str]:
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ""
        line = ""
        for word in paragraph.split():
            if line and len(line) + len(word) >= _WRAP_COLUMNS:
                yield line
                line = ""
            line += " " * bool(line) + word
        yield line


def _single(template: str, article: _Article, links: Iterator[str], code: str) -> str:
    def value(slot: re.Match[str]) -> str:
        name = slot["name"] + slot["number"]
        if name == "link":
            return next(links)
        return {"title": article.title, "place": article.place, "n": "1", **_WORDS[code]}[name]

    return _SLOT.sub(value, template)
