"""An HTML page as its visible text, one line a block, that knows where each of its characters stands in the page."""

from __future__ import annotations

import html as entities
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glossd.text.tags import Tag, TagKind, read_tags
from glossd.types import Span


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_LEFT_OUT = _names(
    "head script style noscript template svg math object iframe select textarea title xmp noembed noframes"
)
_BLOCKS = _names(
    "address article aside blockquote body button caption center dd details dialog div dl dt "
    "fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav "
    "ol option p pre section summary table tbody td tfoot th thead tr ul"
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_WITHOUT_GAP = frozenset({"li", "tr", "td", "th", "option"})
_ENDS_BY_ITSELF = frozenset({"p", "li", "dt", "dd", "option", "tr", "td", "th", "head"})
_VOID = _names("area base br col embed hr img input link meta source track wbr")
_PIECE = re.compile(r"\s+|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|[^\s&]+|&")
_LINE_OR_PIECE = re.compile(r"\n|" + _PIECE.pattern.replace(r"\s+", r"[^\S\n]"))


@dataclass(frozen=True, slots=True)
class InlineTag:
    """A tag inside of a line: it stands before character ``place`` of the text."""

    place: int
    tag: Tag


@dataclass(frozen=True, slots=True)
class Template:
    """``text[i]`` stands at ``html[starts[i]:ends[i]]``, an empty range where it is a line break or a mark of ours."""

    html: str
    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    tags: tuple[InlineTag, ...]

    def span(self, span: Span) -> Span:
        """A range of the text, not empty, as a range of the page."""
        return Span(self.starts[span.start], self.ends[span.end - 1])

    def tags_in(self, span: Span) -> tuple[InlineTag, ...]:
        """The tags between the first and the last character of a range, all places counted from its start."""
        base = self.starts[span.start]
        first = bisect_right(self.tags, span.start, key=_place)
        last = bisect_left(self.tags, span.end, key=_place)
        return tuple(
            InlineTag(inline.place - span.start, replace(inline.tag, span=_back(inline.tag.span, base)))
            for inline in self.tags[first:last]
        )

    def edited(self, text: str, origins: Sequence[int]) -> Template:
        """The same page for a text that was changed; ``origins[i]`` is where ``text[i]`` was in this one."""
        starts = array("q", (self.starts[place] for place in origins[: len(text)]))
        last = [max(origins[place + 1] - 1, origins[place]) for place in range(len(text))]
        ends = array("q", (self.ends[place] for place in last))
        tags = tuple(replace(tag, place=bisect_left(origins, tag.place)) for tag in self.tags)
        return Template(self.html, text, starts, ends, tags)


def read_template(html: str) -> Template:
    """The visible text of a page: a line for each block, list items and headings with marks, ``pre`` as it is."""
    reader = _Reader(html)
    for piece in read_tags(html):
        if isinstance(piece, Tag):
            reader.tag(piece)
        else:
            reader.words(piece)
    return reader.template()


def _meant(entity: str) -> str:
    """What an entity stands for; a control character is one, which cleaning then sees."""
    if entity[1] == "#":
        code = int(entity[3:-1], 16) if entity[2] in "xX" else int(entity[2:-1])
        if 0 < code < 32:
            return chr(code)
    return entities.unescape(entity)


def _back(span: Span, base: int) -> Span:
    return Span(span.start - base, span.end - base)


def _place(tag: InlineTag) -> int:
    return tag.place


class _Reader:
    """Collects the text of a page and where it stands."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._pieces: list[str] = []
        self._length = 0
        self._starts, self._ends = array("q"), array("q")
        self._tags: list[InlineTag] = []
        self._mark = ""
        self._in_line = False
        self._after_gap = True
        self._space: Span | None = None
        self._preformatted = 0
        self._skipped = ""
        self._depth = 0

    def tag(self, tag: Tag) -> None:
        """Start and end lines at blocks, remember inline tags, and skip what is not to be seen or not translated."""
        name, opens = tag.name, tag.kind is TagKind.OPEN
        if self._skipped and not self._leaves(tag):
            return
        block = name in _BLOCKS
        unseen = name in _LEFT_OUT or (tag.hidden and name not in _VOID) or (tag.kept and block)
        code = name == "code" and self._preformatted > 0
        if opens and (unseen or code):
            self._break()
            self._skipped, self._depth = name, 1
        elif block or name == "br":
            self._break()
            self._begin(name) if opens else self._end(name)
        elif not self._skipped:
            behind = self._space is not None and self._in_line
            self._tags.append(InlineTag(self._length + behind, tag))

    def words(self, span: Span) -> None:
        """Add a stretch of text: white space is one space, but in ``pre``."""
        if self._skipped:
            return
        pattern = _LINE_OR_PIECE if self._preformatted else _PIECE
        for match in pattern.finditer(self._html, span.start, span.end):
            piece, place = match.group(), Span(match.start(), match.end())
            if piece == "\n" and self._preformatted:
                self._break()
            elif piece.isspace() and not (self._preformatted and not self._in_line):
                self._space = self._space or place
            elif piece[0] == "&" and piece[-1] == ";":
                self._add_one(_meant(piece), place)
            else:
                self._add(piece, place)

    def template(self) -> Template:
        """All that was read."""
        self._break()
        text = "".join(self._pieces).rstrip("\n")
        return Template(self._html, text, self._starts, self._ends, tuple(self._tags))

    def _leaves(self, tag: Tag) -> bool:
        """Whether a tag ends what is skipped and is to be looked at itself."""
        by_itself = self._skipped in _ENDS_BY_ITSELF and self._depth == 1 and tag.name in _BLOCKS
        if by_itself and (tag.kind is TagKind.OPEN or tag.name != self._skipped):
            self._skipped = ""
            return True
        if tag.name == self._skipped:
            self._depth += 1 if tag.kind is TagKind.OPEN else -1
            if self._depth == 0:
                self._skipped = ""
        return False

    def _begin(self, name: str) -> None:
        self._preformatted += name == "pre"
        if name == "li":
            self._mark = "- "
        elif name in _HEADINGS:
            self._mark = "#" * int(name[1]) + " "

    def _end(self, name: str) -> None:
        self._preformatted -= name == "pre" and self._preformatted > 0
        if name not in _WITHOUT_GAP and not self._after_gap:
            self._put("\n", Span(self._ends[-1], self._ends[-1]))
            self._after_gap = True

    def _add_one(self, text: str, place: Span) -> None:
        """Add what an entity stands for; a space that keeps words together is one like others."""
        if not text or text.isspace():
            self._space = self._space or place
            return
        self._open_line(place)
        for character in text:
            self._put(character, place)

    def _add(self, text: str, place: Span) -> None:
        self._open_line(place)
        self._pieces.append(text)
        self._length += len(text)
        self._starts.extend(range(place.start, place.end))
        self._ends.extend(range(place.start + 1, place.end + 1))

    def _open_line(self, place: Span) -> None:
        if not self._in_line:
            for character in self._mark:
                self._put(character, Span(place.start, place.start))
            self._mark = ""
        elif self._space is not None:
            self._put(" ", self._space)
        self._space, self._in_line, self._after_gap = None, True, False

    def _break(self) -> None:
        if self._in_line:
            self._put("\n", Span(self._ends[-1], self._ends[-1]))
        self._in_line, self._space = False, None

    def _put(self, character: str, place: Span) -> None:
        self._pieces.append(character)
        self._length += 1
        self._starts.append(place.start)
        self._ends.append(place.end)
