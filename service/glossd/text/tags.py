"""Cuts HTML into tags, text and what is neither, with offsets. Linear in time, forgiving, and no tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from glossd.types import Span

_MARK = re.compile("<(?=[A-Za-z!?]|/[A-Za-z])")
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,60})")
_REST = re.compile(r"(?:[^'\">]++|\"[^\"]*+\"|'[^']*+')*+>")
_RAW_TEXT = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"})
_HIDDEN = re.compile(r"\shidden(?:[\s=>/]|$)", re.IGNORECASE)
_UNTRANSLATED = re.compile(
    r"\stranslate\s*=\s*[\"']?no\b|\sclass\s*=\s*[\"'][^\"']{0,300}\bnotranslate\b", re.IGNORECASE
)
_ATTRIBUTES_READ = 2_000


class TagKind(Enum):
    """What a tag does."""

    OPEN = "open"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and its place. ``name`` is in lower case; ``hidden`` and ``kept`` are what its attributes ask for: not to
    be seen, not to be translated.
    """

    span: Span
    kind: TagKind
    name: str
    hidden: bool = False
    kept: bool = False


def read_tags(html: str) -> Iterator[Tag | Span]:
    """The tags of a page and the stretches of text between them, in order.

    Comments, declarations, scripts and styles are neither. After a tag or comment that is never closed nothing comes.
    """
    position = 0
    while position < len(html):
        mark = _MARK.search(html, position)
        start = mark.start() if mark else len(html)
        if start > position:
            yield Span(position, start)
        if mark is None:
            return
        name = _NAME.match(html, start)
        end = _end_of_tag(html, name) if name else _end_of_declaration(html, start)
        if end < 0:
            return
        if name:
            tag = _tag(html, Span(start, end), name.group(1).lower())
            yield tag
            if tag.kind is TagKind.OPEN and tag.name in _RAW_TEXT:
                close = re.compile(f"</{tag.name}(?![A-Za-z0-9])", re.IGNORECASE).search(html, end)
                if close is None:
                    return
                end = close.start()
        position = end


def _end_of_tag(html: str, name: re.Match[str]) -> int:
    """One past the tag's last character; a ">" in quotes does not end it. -1 where nothing does."""
    rest = _REST.match(html, name.end())
    return rest.end() if rest else -1


def _end_of_declaration(html: str, start: int) -> int:
    comment = html.startswith("<!--", start)
    end = html.find("-->" if comment else ">", start + 4 if comment else start)
    return -1 if end < 0 else end + (3 if comment else 1)


def _tag(html: str, span: Span, name: str) -> Tag:
    if html[span.start + 1] == "/":
        return Tag(span, TagKind.CLOSE, name)
    attributes = html[span.start : min(span.end, span.start + _ATTRIBUTES_READ)]
    hidden = _HIDDEN.search(attributes) is not None
    return Tag(span, TagKind.OPEN, name, hidden, _UNTRANSLATED.search(attributes) is not None)
