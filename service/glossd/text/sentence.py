"""One sentence taken apart for translation: its guarded spans, its emphasis, and the two forms a model can be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glossd.text.guard import Emphasis, Guard, GuardKind, find_emphasis, find_guards, find_stray_marks
from glossd.text.placeholders import PLACEHOLDERS
from glossd.text.terms import TermFinder
from glossd.types import Span


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and its forms. Emphasis marks are in neither form.

    ``masked`` has a placeholder for each of ``guards``; ``plain`` has links as their words and everything else as it
    stands. ``loose`` are guarded spans beyond the placeholders there are: they stand in both forms as they are.
    ``left`` and ``right`` are marks at the two ends that belong to a longer run; ``strays`` such marks inside.
    """

    raw: str
    masked: str
    plain: str
    guards: tuple[Guard, ...] = ()
    loose: tuple[Guard, ...] = ()
    emphasis: tuple[Emphasis, ...] = ()
    left: str = ""
    right: str = ""
    strays: tuple[str, ...] = ()

    @property
    def inners(self) -> tuple[str, ...]:
        """Words that are also translated on their own: those of links and those set off by emphasis; each once."""
        words = [guard.inner for guard in (*self.guards, *self.loose) if guard.translates]
        words += [each.inner for each in self.emphasis]
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
    marks = [(place, "") for place in strays]
    for each in emphasis:
        width = len(each.mark)
        marks.append((Span(each.span.start, each.span.start + width), ""))
        marks.append((Span(each.span.end - width, each.span.end), ""))
    held, loose = guards[: len(PLACEHOLDERS)], guards[len(PLACEHOLDERS) :]
    placed = [(guard.span, placeholder) for guard, placeholder in zip(held, PLACEHOLDERS, strict=False)]
    words = [(guard.span, guard.inner) for guard in held if guard.kind is GuardKind.LINK]
    over = [(guard.span, guard.inner) for guard in loose if guard.kind is GuardKind.LINK]
    return Sentence(
        raw=text,
        masked=_edited(text, [*marks, *placed, *over]),
        plain=_edited(text, [*marks, *words, *over]),
        guards=held,
        loose=loose,
        emphasis=emphasis,
        left=text[left[0].start : left[0].end] if left else "",
        right=text[right[0].start : right[0].end] if right else "",
        strays=tuple(text[place.start : place.end] for place in strays if place not in left and place not in right),
    )


def in_plain_words(text: str) -> str:
    """A sentence of Markdown on one line, without emphasis and with links as their words."""
    return " ".join(take_apart(text, TermFinder(()), markdown=True).plain.split())


def _edited(text: str, edits: Sequence[tuple[Span, str]]) -> str:
    """``text`` with every span replaced; spans do not overlap."""
    pieces: list[str] = []
    end = 0
    for span, replacement in sorted(edits, key=lambda edit: edit[0].start):
        pieces += (text[end : span.start], replacement)
        end = span.end
    return "".join([*pieces, text[end:]])
