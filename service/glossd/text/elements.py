"""A sentence of a page taken apart for translation: its elements become marks, code and what must stay is guarded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape

from glossd.text.document import Segment
from glossd.text.guard import Guard, GuardKind, find_guards
from glossd.text.placeholders import PLACEHOLDERS
from glossd.text.sentence import Edited, InlineMark, Sentence
from glossd.text.tags import TagKind
from glossd.text.template import InlineTag
from glossd.text.terms import TermFinder
from glossd.types import Span

_CODE = frozenset(["code", "kbd", "samp", "var", "tt"])
_ALONE = frozenset(["area", "embed", "img", "input", "source", "track", "wbr"])


@dataclass(frozen=True, slots=True)
class _Element:
    """A range of the text and the tags on both sides of it; "" for a tag whose partner is not in the sentence.

    ``order`` is where the first tag stands.
    """

    span: Span
    left: str
    right: str
    order: int
    kept: bool = False
    markup: str = ""


def take_apart_markup(segment: Segment, finder: TermFinder, *, figures: bool = False) -> Sentence:
    """As :func:`glossd.text.sentence.take_apart`, for a segment of a page.

    Every tag comes back: those of one element around what its words became, one without its partner, and an image,
    where the text beside it went. Code, and what asks not to be translated, goes as a guarded span.
    """
    text = segment.text
    elements = _elements(segment)
    code = [Guard(GuardKind.CODE, each.span, each.markup) for each in elements if each.kept]
    found = find_guards(text, finder, figures=figures, first=code)
    inside = [guard.span for guard in found if guard in code]
    guards = tuple(guard if guard in code else _escaped(guard) for guard in found)
    held, loose = guards[: len(PLACEHOLDERS)], guards[len(PLACEHOLDERS) :]
    masked = Edited(text, [(guard.span, name) for guard, name in zip(held, PLACEHOLDERS, strict=False)])
    marks = [
        InlineMark(
            each.left,
            each.right,
            text[each.span.start : each.span.end] if each.left and each.right else "",
            masked.moved(each.span),
            each.span,
        )
        for each in elements
        if not each.kept and not any(span.start <= each.span.start and each.span.end <= span.end for span in inside)
    ]
    return Sentence(text, masked.text, text, held, loose, tuple(marks), html=True)


def _escaped(guard: Guard) -> Guard:
    return replace(guard, inner=_plain(guard.inner), left=_plain(guard.left), right=_plain(guard.right))


def _plain(text: str) -> str:
    return escape(text, quote=False)


def _elements(segment: Segment) -> list[_Element]:
    """The elements of a sentence in the order of their first tags."""
    found: list[_Element] = []
    opened: list[InlineTag] = []
    end = len(segment.text)

    def raw(inline: InlineTag) -> str:
        return segment.markup[inline.tag.span.start : inline.tag.span.end]

    def alone(inline: InlineTag) -> _Element:
        return _Element(Span(inline.place, end), raw(inline), "", inline.tag.span.start)

    for inline in segment.tags:
        if inline.tag.kind is TagKind.OPEN:
            if inline.tag.name in _ALONE:
                found.append(alone(inline))
            else:
                opened.append(inline)
            continue
        partners = [number for number, other in enumerate(opened) if other.tag.name == inline.tag.name]
        if not partners:
            found.append(_Element(Span(0, inline.place), "", raw(inline), inline.tag.span.start))
            continue
        first, *late = opened[partners[-1] :]
        del opened[partners[-1] :]
        found += map(alone, late)
        whole = segment.markup[first.tag.span.start : inline.tag.span.end]
        if first.place == inline.place:
            found.append(_Element(Span(inline.place, end), whole, "", first.tag.span.start))
        else:
            kept = first.tag.kept or inline.tag.name in _CODE
            span = Span(first.place, inline.place)
            found.append(_Element(span, raw(first), raw(inline), first.tag.span.start, kept, whole))
    found += map(alone, opened)
    return sorted(found, key=lambda each: each.order)
