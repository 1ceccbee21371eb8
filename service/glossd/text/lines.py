"""Reads a cleaned text line by line: what kind of line each is and which part of it is language. No extraction here.

A line feed is a hard boundary. Indentation, list marks, quote marks, heading marks and pipes around the words stay
outside of the bodies, so whoever replaces only bodies leaves them untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from glossd.types import Span

_MARK = re.compile(
    r"[ \t\u3000\xa0]*(?:"
    r"(?P<item>[-*+•·●○■◆▪▶►][ \t\u3000\xa0]+|\d{1,3}[.)][ \t]+|\d{1,2}、|[(（]\d{1,2}[)）]\s*)"
    r"|(?P<heading>#{1,6}[ \t]+)|(?P<quote>>[ \t]?)|(?P<task>\[[ xX]\][ \t]+))"
)
_MAX_MARKS = 8
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_LETTER = re.compile(r"[^\W\d_]")
_LABEL = re.compile(r"\[[^\]]{1,200}\]:\s")
_EDGES = " \t\r\xa0\u3000|¦｜"


class LineForm(Enum):
    """What a line is by its marks alone. CODE holds code, addresses and markup; BARE has no letter in it."""

    BLANK = "blank"
    TEXT = "text"
    LIST_ITEM = "list_item"
    HEADING = "heading"
    TABLE = "table"
    CODE = "code"
    BARE = "bare"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its span without the line break, its form, and the spans of its language, in order.

    A paragraph of Markdown that is wrapped by hand is one line too: ``count`` source lines from ``number`` on, with one
    body that holds the line breaks.
    """

    number: int
    span: Span
    form: LineForm
    bodies: tuple[Span, ...] = ()
    count: int = 1


def read_lines(source: str, *, markdown: bool) -> tuple[Line, ...]:
    """Every line of ``source``. Fences are known in any text; indented code, tables and front matter in Markdown only,
    and there the lines of one paragraph are joined.

    A body starts and ends with something visible and holds at least one letter.
    """
    spans = tuple(_line_spans(source))
    code = _code_lines(source, spans, markdown=markdown)
    lines = (
        Line(number, span, LineForm.CODE if source[span.start : span.end].strip() else LineForm.BLANK)
        if number in code
        else _read_line(source, number, span, markdown=markdown)
        for number, span in enumerate(spans)
    )
    return tuple(_paragraphs(source, lines)) if markdown else tuple(lines)


def has_letter(text: str) -> bool:
    """True when there is at least one letter of any script."""
    return _LETTER.search(text) is not None


def _line_spans(source: str) -> Iterator[Span]:
    start = 0
    while True:
        end = source.find("\n", start)
        if end < 0:
            yield Span(start, len(source))
            return
        yield Span(start, end - 1 if end > start and source[end - 1] == "\r" else end)
        start = end + 1


def _code_lines(source: str, spans: tuple[Span, ...], *, markdown: bool) -> set[int]:
    """The numbers of lines in closed fences and, in Markdown, in front matter and indented code."""
    code: set[int] = set()
    fence, opened = "", 0
    for number, span in enumerate(spans):
        mark = _FENCE.match(source, span.start, span.end)
        if mark is None:
            continue
        if not fence:
            fence, opened = mark.group(1), number
        elif mark.group(1).startswith(fence) and not source[mark.end() : span.end].strip():
            code.update(range(opened, number + 1))
            fence = ""
    if fence and markdown:
        code.update(range(opened, len(spans)))
    if markdown:
        code |= _front_matter(source, spans)
        code |= _indented_code(source, spans)
    return code


def _front_matter(source: str, spans: tuple[Span, ...]) -> set[int]:
    if not source.startswith("---"):
        return set()
    for number, span in enumerate(spans[:200]):
        if number and source[span.start : span.end].rstrip() in ("---", "..."):
            return set(range(number + 1))
    return set()


def _indented_code(source: str, spans: tuple[Span, ...]) -> set[int]:
    """Lines indented by four spaces or a tab after a blank line, outside of lists."""
    code: set[int] = set()
    may_open, in_list = True, False
    for number, span in enumerate(spans):
        text = source[span.start : span.end]
        if not text.strip():
            may_open = True
            continue
        indented = text.startswith(("    ", "\t"))
        if indented and may_open and not in_list:
            code.add(number)
            continue
        may_open = False
        mark = _MARK.match(text)
        in_list = bool(mark and mark.group("item")) or (in_list and text[:1] in " \t")
    return code


def _read_line(source: str, number: int, span: Span, *, markdown: bool) -> Line:
    start, end = _trim(source, span.start, span.end)
    if start == end:
        blank = not source[span.start : span.end].strip()
        return Line(number, span, LineForm.BLANK if blank else LineForm.BARE)
    if markdown and ((source[start] == "<" and source[end - 1] == ">") or _LABEL.match(source, start, end)):
        return Line(number, span, LineForm.CODE)
    form = LineForm.TEXT
    for _ in range(_MAX_MARKS):
        mark = _MARK.match(source, start, end)
        if mark is None or mark.end() >= end:
            break
        if mark.group("heading"):
            form = LineForm.HEADING
        elif mark.group("item") or mark.group("task"):
            form = LineForm.LIST_ITEM
        start = mark.end()
    return _with_bodies(source, Line(number, span, form), *_trim(source, start, end), markdown=markdown)


def _with_bodies(source: str, line: Line, start: int, end: int, *, markdown: bool) -> Line:
    text = source[start:end]
    if _is_address(text) or (markdown and text.startswith("![") and text.endswith(")")):
        return Line(line.number, line.span, LineForm.CODE)
    if not has_letter(text):
        return Line(line.number, line.span, LineForm.BARE)
    raw = source[line.span.start : line.span.end].strip()
    if markdown and raw.startswith("|") and raw.endswith("|"):
        return Line(line.number, line.span, LineForm.TABLE, tuple(_cells(source, start, end)))
    return Line(line.number, line.span, line.form, (_without_emphasis(source, start, end, markdown=markdown),))


def _cells(source: str, start: int, end: int) -> Iterator[Span]:
    for cell in re.finditer(r"[^|]+", source[start:end]):
        cell_start, cell_end = _trim(source, start + cell.start(), start + cell.end())
        if has_letter(source[cell_start:cell_end]):
            yield Span(cell_start, cell_end)


def _without_emphasis(source: str, start: int, end: int, *, markdown: bool) -> Span:
    """The body inside of ``**`` or ``__`` that wraps the whole of it."""
    text = source[start:end]
    for mark in ("**", "__"):
        if markdown and len(text) > 4 and text.startswith(mark) and text.endswith(mark) and text.count(mark) == 2:
            start, end = _trim(source, start + 2, end - 2)
            return Span(start, end) if has_letter(source[start:end]) else Span(start - 2, end + 2)
    return Span(start, end)


def _paragraphs(source: str, lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, with a line of plain text joined to the text or list item that it goes on from."""
    open_line: Line | None = None
    for line in lines:
        if open_line is not None and _goes_on(source, open_line, line):
            body = Span(open_line.bodies[0].start, line.bodies[0].end)
            span = Span(open_line.span.start, line.span.end)
            open_line = replace(open_line, span=span, bodies=(body,), count=open_line.count + 1)
            continue
        if open_line is not None:
            yield open_line
        open_line = line
    if open_line is not None:
        yield open_line


def _goes_on(source: str, line: Line, following: Line) -> bool:
    """Whether two lines are one paragraph: nothing but words in the second, no hard break after the first."""
    if line.form not in (LineForm.TEXT, LineForm.LIST_ITEM) or following.form is not LineForm.TEXT:
        return False
    before, after = line.bodies[0], following.bodies[0]
    rest = source[before.end : line.span.end]
    hard_break = rest.startswith("  ") or source[before.end - 1] == "\\"
    whole = not (rest + source[following.span.start : after.start] + source[after.end : following.span.end]).strip()
    return whole and not hard_break


def _trim(source: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space and pipes at its two ends."""
    text = source[start:end]
    inner = text.strip(_EDGES).strip()
    if not inner:
        return start, start
    start += len(text) - len(text.lstrip(_EDGES).lstrip())
    return start, start + len(inner)


def _is_address(text: str) -> bool:
    """True for a web or mail address that stands alone."""
    if any(map(str.isspace, text)):
        return False
    return "://" in text or text.startswith("www.") or ("@" in text and "." in text and text.isascii())
