"""HTML to plain text, one line a block: the main content through trafilatura, or the whole page. No labels here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glossd.types import Extraction, Warning, WarningCode

_LEFT_OUT = frozenset({"script", "style", "noscript", "template", "head", "svg", "math", "object", "iframe", "select"})
_BLOCKS = frozenset(
    {
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "button",
            "caption",
            "dd",
            "details",
            "dialog",
            "div",
            "dl",
        ),
        *(
            "dt",
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "header",
            "hr",
        ),
        *("html", "legend", "li", "main", "menu", "nav", "ol", "option", "p", "pre", "section", "summary", "table"),
        *("tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
    }
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLANK = re.compile(r"\s+")
_TAG = re.compile("<[/!?]?([A-Za-z0-9]{0,20})[^<>]*>")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says. ``extraction`` is what is still to be done on ``text``; ``title`` and ``date`` may be ""."""

    text: str
    title: str
    date: str
    extraction: Extraction
    warnings: tuple[Warning, ...] = ()
    origins: Sequence[int] | None = None


def read_page(source: str, extraction: Extraction) -> Page:
    """The page's text: headline, date and body for MAIN_CONTENT, every visible block for FULL.

    Where trafilatura finds no main content, the whole page's text is given and MAIN_CONTENT is left to the line scorer.
    Text without any tag comes back as it is.
    """
    if "<" not in source:
        return Page(source, "", "", extraction)
    dropped = Warning(WarningCode.MARKUP_DROPPED, "HTML became plain text; offsets count that text")
    if extraction is Extraction.MAIN_CONTENT:
        found = _main_content(source)
        if found is not None:
            title, date, text = found
            head = [title] if title and title not in text.split("\n", 4)[:4] else []
            return Page("\n".join([*head, text]), title, date, Extraction.FULL, (dropped,))
    return Page(_whole_text(source), "", "", extraction, (dropped,))


def _main_content(source: str) -> tuple[str, str, str] | None:
    """Title, date and text as trafilatura sees them; None where it finds no main content."""
    import trafilatura  # slow to import, and only pages need it

    found: Any = trafilatura.bare_extraction(source, with_metadata=True, include_comments=False, include_tables=True)
    if found is None or not (found.text or "").strip():
        return None
    return _one_line(found.title), _one_line(found.date), "\n".join(map(str.strip, found.text.strip().split("\n")))


def _one_line(text: str | None) -> str:
    return _BLANK.sub(" ", text or "").strip()


def _whole_text(source: str) -> str:
    """Every visible block of the page on its own line, list items and headings with marks, ``pre`` as it is."""
    from lxml import etree  # compiled library, loaded with the first page

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = etree.fromstring(source.encode("utf-8"), parser)
    except etree.XMLSyntaxError:  # no element at all, such as a lone comment
        return ""
    if root is None or any("depth" in entry.message for entry in parser.error_log):
        return _without_tags(source)  # the parser gives up, and drops the rest, at some 2,000 levels
    writer = _LineWriter()
    preformatted = 0
    # start and end events instead of recursion: pages may be nested deeper than Python's stack
    skipped_under: Any = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            if skipped_under is None and (tag in _LEFT_OUT or "hidden" in element.attrib):
                skipped_under = element
            if skipped_under is None:
                preformatted += tag == "pre"
                writer.open(tag)
                writer.write(element.text, preformatted=preformatted > 0)
            continue
        if skipped_under is None:
            preformatted -= tag == "pre"
            writer.close(tag)
        elif skipped_under is element:
            skipped_under = None
        if skipped_under is None and element is not root:
            writer.write(element.tail, preformatted=preformatted > 0)
    return writer.text()


def _without_tags(source: str) -> str:
    """The text between tags; a tag of a block ends the line, any other tag leaves nothing."""

    def break_or_nothing(tag: re.Match[str]) -> str:
        return "\n" if tag.group(1).lower() in _BLOCKS or tag.group(1).lower() == "br" else ""

    lines = (_BLANK.sub(" ", line).strip() for line in _TAG.sub(break_or_nothing, source).split("\n"))
    return "\n".join(line for line in lines if line)


class _LineWriter:
    """Collects words into lines; a block starts and ends a line."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._words: list[str] = []
        self._mark = ""

    def open(self, tag: str) -> None:
        """Starts a line for a block and remembers its mark."""
        if tag in _BLOCKS or tag == "br":
            self._break()
        if tag == "li":
            self._mark = "- "
        elif tag in _HEADINGS:
            self._mark = "#" * int(tag[1]) + " "

    def close(self, tag: str) -> None:
        """Ends the line of a block; paragraphs and headings leave an empty line after them."""
        if tag not in _BLOCKS:
            return
        self._break()
        if tag not in ("li", "tr", "td", "th", "option") and self._lines and self._lines[-1]:
            self._lines.append("")

    def write(self, text: str | None, *, preformatted: bool) -> None:
        """Adds text to the line; line breaks in it count only in preformatted text."""
        if not text:
            return
        first, *rest = text.split("\n") if preformatted else [_BLANK.sub(" ", text)]
        self._words.append(first)
        for line in rest:
            self._break(keep_indent=True)
            self._words.append(line)

    def text(self) -> str:
        """All lines so far, without empty ones at the end."""
        self._break()
        return "\n".join(self._lines).strip("\n")

    def _break(self, *, keep_indent: bool = False) -> None:
        line = "".join(self._words)
        line = line.rstrip() if keep_indent else line.strip()
        if line.strip():
            self._lines.append(self._mark + line)
            self._mark = ""
        self._words = []
