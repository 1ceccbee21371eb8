"""Finds what must come through a translation unchanged: addresses, code, links, terms; and words set off by emphasis.

Spans and strings only: what stands in for a guarded span, and what is done when it is lost, is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice

from glossd.text.figures import find_figures
from glossd.text.lines import has_letter
from glossd.text.terms import TermFinder
from glossd.types import Span

MOST_EMPHASISED = 20

# Bounded or possessive repeats throughout: no text must cost more than linear time.
_ADDRESS = re.compile(
    r"(?:https?://|(?<![\w.])www\.)[^\s<>\"'，。；：！？、（）《》「」“”‘’]+"
    r"|(?<![\w.+-])[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    re.ASCII,
)
_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)[^`\n]{1,300}\1(?!`)")
_DESTINATION = r"\((?:[^()\s]|\([^()\s]{0,200}\)){0,1000}+(?:\s\"[^\"]{0,200}\")?\)"
_IMAGE = re.compile(r"!\[[^\[\]]{0,300}\](?:" + _DESTINATION + r"|\[[^\[\]]{0,100}\])")
_BADGE = re.compile(r"\[" + _IMAGE.pattern + r"\]" + _DESTINATION)
_LINK = re.compile(r"(?<![\\!\]])\[([^\[\]]{1,300})\](?:" + _DESTINATION + r"|\[[^\[\]]{0,100}\])")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>|\[\^[^\[\]\s]{1,40}\]")
_LITERAL_PLACEHOLDER = re.compile(r"⟦\d⟧")
_EMPHASIS = re.compile(
    r"(?:(?<![\\*])(?=\*)|(?<![\\_\w])(?=_)|(?<![\\~])(?=~))(\*{1,3}|_{1,3}|~~)(?![\s*_~])"
    r"((?:(?!\1)[^*`\[\]<>]){1,200})(?<![\s\\])\1(?:(?<=[*~])|(?!\w))(?![*_~])"
)
_PATH = re.compile(r"[\w.-]{1,80}(?:/[\w.-]{0,80}){1,20}|[\w-]{1,80}(?:\.[\w-]{1,20}){0,3}\.[A-Za-z]{1,5}", re.ASCII)
_WRAPPING = re.compile(r"[*_~`]{1,3}")
_STRAY = re.compile(r"(?<!\\)(?:\*\*|__|~~)")


class GuardKind(Enum):
    """What a guarded span is."""

    ADDRESS = "address"
    CODE = "code"
    MARKUP = "markup"
    LINK = "link"
    TERM = "term"
    FIGURE = "figure"


@dataclass(frozen=True, slots=True)
class Guard:
    """A span of a text and what must stand for it in the target: ``left + inner + right``.

    ``translates`` says that ``inner`` is to be translated on its own (the text of a link).
    """

    kind: GuardKind
    span: Span
    inner: str
    left: str = ""
    right: str = ""
    translates: bool = False

    def around(self, inner: str) -> str:
        """The target with ``inner`` in it."""
        return self.left + inner + self.right

    @property
    def target(self) -> str:
        """The target where nothing in it is translated."""
        return self.around(self.inner)


@dataclass(frozen=True, slots=True)
class Emphasis:
    """Words between two marks; ``span`` covers the marks too."""

    span: Span
    mark: str
    inner: str


def find_guards(
    text: str, finder: TermFinder, *, markdown: bool = False, figures: bool = False, first: Sequence[Guard] = ()
) -> tuple[Guard, ...]:
    """Guarded spans in order, apart from each other. Terms inside of links and code are part of those.

    Figures (clock times, dates in digits, numbers) are guarded where ``figures`` asks for it. What is guarded already,
    ``first``, comes before everything else.
    """
    taken = bytearray(len(text))
    guards: list[Guard] = []
    candidates = _candidates(text, finder, markdown=markdown)
    for guard in chain(first, candidates, _figures(text) if figures else ()):
        start, end = guard.span.start, guard.span.end
        if not any(taken[start:end]):
            taken[start:end] = b"\x01" * (end - start)
            guards.append(guard)
    return tuple(sorted(guards, key=lambda guard: guard.span.start))


def find_emphasis(text: str, guards: Sequence[Guard]) -> tuple[Emphasis, ...]:
    """The first ``MOST_EMPHASISED`` emphasised words of Markdown whose marks are in no guarded span."""
    taken = _covered(text, (guard.span for guard in guards))
    found = (
        Emphasis(Span(match.start(), match.end()), match.group(1), match.group(2))
        for match in _EMPHASIS.finditer(text)
        if not (taken[match.start()] or taken[match.end() - 1])
    )
    return tuple(islice(found, MOST_EMPHASISED))


def find_stray_marks(text: str, guards: Sequence[Guard], emphasis: Sequence[Emphasis]) -> tuple[Span, ...]:
    """Double marks of Markdown without a partner in this text, such as a bold run that goes on in the next sentence."""
    taken = _covered(text, [*(guard.span for guard in guards), *(each.span for each in emphasis)])
    places = (Span(match.start(), match.end()) for match in _STRAY.finditer(text))
    return tuple(place for place in places if not taken[place.start])


def has_words(text: str) -> bool:
    """Whether anything in ``text`` needs translating: a letter outside web and mail addresses."""
    return has_letter(_ADDRESS.sub("", text))


def _covered(text: str, spans: Iterable[Span]) -> bytearray:
    """One byte for each character: whether it is in one of the spans."""
    taken = bytearray(len(text))
    for span in spans:
        taken[span.start : span.end] = b"\x01" * (span.end - span.start)
    return taken


def _candidates(text: str, finder: TermFinder, *, markdown: bool) -> Iterator[Guard]:
    """Spans by rank: of two that overlap the first one given is kept."""
    links = tuple(_links(text, finder)) if markdown else ()
    for link in links:  # those that name code or a file stay whole
        whole = text[link.span.start : link.span.end]
        if link.left.endswith("`") or _PATH.fullmatch(link.inner):
            yield Guard(GuardKind.MARKUP, link.span, whole)
    yield from _matches(_CODE, GuardKind.CODE, text)
    if markdown:
        yield from _matches(_BADGE, GuardKind.MARKUP, text)
        yield from _matches(_IMAGE, GuardKind.MARKUP, text)
        yield from links
        yield from _matches(_TAG, GuardKind.MARKUP, text)
    yield from _addresses(text)
    yield from _matches(_LITERAL_PLACEHOLDER, GuardKind.CODE, text)
    for span, term in finder.find(text):
        yield Guard(GuardKind.TERM, span, term.target)


def _matches(pattern: re.Pattern[str], kind: GuardKind, text: str) -> Iterator[Guard]:
    for match in pattern.finditer(text):
        yield Guard(kind, Span(match.start(), match.end()), match.group())


def _addresses(text: str) -> Iterator[Guard]:
    for match in _ADDRESS.finditer(text):
        address = match.group().rstrip(".,;:!?*_~")
        if "(" not in address:
            address = address.rstrip(").,;:!?")
        if address:
            yield Guard(GuardKind.ADDRESS, Span(match.start(), match.start() + len(address)), address)


def _figures(text: str) -> Iterator[Guard]:
    for span in find_figures(text):
        yield Guard(GuardKind.FIGURE, span, text[span.start : span.end])


def _links(text: str, finder: TermFinder) -> Iterator[Guard]:
    """Links and references; marks that wrap the whole text of a link belong to its two ends, others in it go away."""
    for match in _LINK.finditer(text):
        start, end = match.span(1)
        wrapping = _WRAPPING.match(text, start, end)
        code = wrapping is not None and "`" in wrapping.group()
        if wrapping is not None and text.endswith(wrapping.group()[::-1], wrapping.end(), end):
            start, end = wrapping.end(), end - len(wrapping.group())
        inner = _EMPHASIS.sub(r"\2", text[start:end])
        term = finder.exactly(inner)
        yield Guard(
            GuardKind.LINK,
            Span(match.start(), match.end()),
            term.target if term else inner,
            text[match.start() : start],
            text[end : match.end()],
            translates=term is None and not code and has_words(inner),
        )
