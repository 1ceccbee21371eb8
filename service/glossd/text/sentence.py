"""One sentence taken apart for translation: its guarded spans, its emphasis, and the two forms a model can be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glossd.text.guard import Guard, GuardKind, find_emphasis, find_guards, find_stray_marks
from glossd.text.placeholders import PLACEHOLDERS
from glossd.text.terms import TermFinder
from glossd.types import Span


@dataclass(frozen=True, slots=True)
class InlineMark:
    """What stood around words of a sentence: ``left`` and ``right`` of ``inner``.

    ``masked`` and ``plain`` are the ranges of the words in the two forms.
    """

    left: str
    right: str
    inner: str
    masked: Span
    plain: Span


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and its forms. Emphasis marks are in neither form.

    ``masked`` has a placeholder for each of ``guards``; ``plain`` has links as their words and everything else as it
    stands. ``loose`` are guarded spans beyond the placeholders there are: they stand in both forms as they are.
    ``marks`` go around the words of the target that their words become: emphasis, and links that no placeholder stands
    for; ``links`` are those that one does, for a form without placeholders. ``left`` and ``right`` are marks at the two
    ends that belong to a longer run; ``strays`` such marks inside. ``html`` says that the target is to be one of a
    page: what stands for guarded spans is escaped already.
    """

    raw: str
    masked: str
    plain: str
    guards: tuple[Guard, ...] = ()
    loose: tuple[Guard, ...] = ()
    marks: tuple[InlineMark, ...] = ()
    links: tuple[InlineMark, ...] = ()
    left: str = ""
    right: str = ""
    strays: tuple[str, ...] = ()
    html: bool = False

    @property
    def inners(self) -> tuple[str, ...]:
        """Words that are also translated on their own: those of links and those set off by emphasis; each once."""
        words = [guard.inner for guard in (*self.guards, *self.loose) if guard.translates]
        words += [mark.inner for mark in self.marks if mark.inner]
        return tuple(dict.fromkeys(words))


def take_apart(text: str, finder: TermFinder, *, markdown: bool, figures: bool = False) -> Sentence:
    """Find what must be guarded in ``text`` and make its forms. Takes time near linear in the text.

    With ``figures`` clock times, dates in digits and numbers are guarded too.
    """
    guards = find_guards(text, finder, markdown=markdown, figures=figures)
    emphasis = find_emphasis(text, guards) if markdown else ()
    strays = find_stray_marks(text, guards, emphasis) if markdown else ()
    if not (guards or emphasis or strays):
        return Sentence(text, text, text)
    left = [place for place in strays if place.start == 0]
    right = [place for place in strays if place.end == len(text) and place.start]
    dropped = [(place, "") for place in strays]
    for each in emphasis:
        width = len(each.mark)
        dropped.append((Span(each.span.start, each.span.start + width), ""))
        dropped.append((Span(each.span.end - width, each.span.end), ""))
    held, loose = guards[: len(PLACEHOLDERS)], guards[len(PLACEHOLDERS) :]
    placed = [(guard.span, placeholder) for guard, placeholder in zip(held, PLACEHOLDERS, strict=False)]
    words = [(guard.span, guard.inner) for guard in held if guard.kind is GuardKind.LINK]
    over = [(guard.span, guard.inner) for guard in loose if guard.kind is GuardKind.LINK]
    masked, plain = Edited(text, [*dropped, *placed, *over]), Edited(text, [*dropped, *words, *over])

    def mark(span: Span, left: str, right: str, inner: str) -> InlineMark:
        return InlineMark(left, right, inner, masked.moved(span), plain.moved(span))

    return Sentence(
        raw=text,
        masked=masked.text,
        plain=plain.text,
        guards=held,
        loose=loose,
        marks=(
            *(mark(each.span, each.mark, each.mark, each.inner) for each in emphasis),
            *(
                mark(guard.span, guard.left, guard.right, guard.inner)
                for guard in loose
                if guard.kind is GuardKind.LINK
            ),
        ),
        links=tuple(
            mark(guard.span, guard.left, guard.right, guard.inner) for guard in held if guard.kind is GuardKind.LINK
        ),
        left=text[left[0].start : left[0].end] if left else "",
        right=text[right[0].start : right[0].end] if right else "",
        strays=tuple(text[place.start : place.end] for place in strays if place not in left and place not in right),
    )


def in_plain_words(text: str) -> str:
    """A sentence of Markdown on one line, without emphasis and with links as their words."""
    return " ".join(take_apart(text, TermFinder(()), markdown=True).plain.split())


class Edited:
    """``source`` with every span replaced; spans do not overlap."""

    def __init__(self, source: str, edits: Sequence[tuple[Span, str]]) -> None:
        self._edits = sorted(edits, key=lambda edit: (edit[0].start, edit[0].end))
        pieces: list[str] = []
        end = 0
        for span, replacement in self._edits:
            pieces += (source[end : span.start], replacement)
            end = span.end
        self.text = "".join([*pieces, source[end:]])

    def moved(self, span: Span) -> Span:
        """A range of the source, whose two ends are in no replaced span, as a range of the text."""
        return Span(self._moved(span.start, 0), self._moved(span.end, 1))

    def _moved(self, place: int, after: int) -> int:
        """``place``, behind what was replaced before it; behind what was replaced at it too if ``after``."""
        shift = 0
        for edit, replacement in self._edits:
            if edit.end > place or (edit.start == place and not after):
                break
            shift += len(replacement) - (edit.end - edit.start)
        return place + shift
