"""Puts back into a translated sentence what was guarded in its source: addresses, code, links, terms and emphasis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape, unescape

from glossd.tasks.plan import Direction, Form, SegmentPlan
from glossd.text.alignment import Placed, carried, units, with_marks
from glossd.text.guard import Guard, GuardKind
from glossd.text.placeholders import (
    PLACEHOLDERS,
    compare,
    drop_doubles,
    drop_invented,
    numbers_in,
    restore,
    without_placeholders,
)
from glossd.text.sentence import InlineMark, Sentence
from glossd.text.target import finish_target, is_unspaced
from glossd.types import Span, Warning, WarningCode

MOST_CHECKED = 20

_SHOWN_CHARACTERS = 80


@dataclass(slots=True)
class Written:
    """A sentence as it is being written; ``checked`` is its text without what was guarded.

    ``before`` and ``units`` are the units of what the model wrote and of ``text``, one for one where they are as many.
    """

    text: str
    checked: str
    before: tuple[Span, ...] = ()
    units: tuple[Span, ...] = ()
    warnings: list[Warning] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a sentence is put together: ``inners`` are the translations of the words inside of its marks, ``places`` the
    ranges of what the model wrote that the marks of its form belong to, where attention tells.
    """

    direction: Direction
    inners: Mapping[str, str]
    places: Sequence[Span | None] = ()


def write_masked(raw: str, plan: SegmentPlan, form: Form, wording: Wording) -> Written:
    """``raw`` with every guarded span in the place of its placeholder; one that is lost or doubled is reported."""
    guards = plan.sentence.guards
    terms = [number for number in form.placeholders if guards[number].kind is not GuardKind.FIGURE]
    counts = compare(terms, numbers_in(raw))  # of figures the check of numbers tells
    targets = [_target(guard, wording.inners) for guard in guards]
    restored = restore(drop_doubles(raw), targets, lambda words: _finished(words, plan, wording))
    checked = without_placeholders(with_figures(raw, guards))
    written = Written(restored.text, checked, tuple(units(raw)), restored.units)
    for number in counts.lost:
        _lost(written, plan, guards[number], f"its place was lost; it was to be {_shown(targets[number])}")
    for number in counts.doubled:
        _lost(written, plan, guards[number], "it stood there twice, one was taken out")
    _check_unmasked(written, plan, _unmasked(plan.sentence.loose))
    _mark(written, plan, plan.sentence.marks, wording)
    return written


def write_plain(raw: str, plan: SegmentPlan, form: Form, wording: Wording) -> Written:
    """``raw`` in the target's form; links go around their words where those are found, the rest must stand there."""
    sentence = plan.sentence
    text = _finished(drop_invented(raw, sentence.raw), plan, wording)
    kept = _unmasked((*sentence.guards, *sentence.loose))
    checked = _without(unescape(text) if sentence.html else text, kept)
    written = Written(text, checked, tuple(units(raw)), tuple(units(text)))
    _check_unmasked(written, plan, kept)
    _mark(written, plan, (*sentence.marks, *sentence.links), wording)
    return written


def with_figures(text: str, guards: Sequence[Guard]) -> str:
    """``text`` with each guarded figure in the place of its placeholder; checks compare numbers by it."""
    for number, guard in enumerate(guards):
        if guard.kind is GuardKind.FIGURE:
            text = text.replace(PLACEHOLDERS[number], f" {guard.inner} ")
    return text


def count_terms(sentence: Sentence, text: str) -> tuple[int, int]:
    """How many terms stand in a sentence, and how many of those are in its translation as they are asked for."""
    wanted = Counter(guard.target for guard in (*sentence.guards, *sentence.loose) if guard.kind is GuardKind.TERM)
    kept = sum(min(number, text.count(target)) for target, number in wanted.items())
    return wanted.total(), kept


def _finished(words: str, plan: SegmentPlan, wording: Wording) -> str:
    """Words with the spacing and punctuation of their language, and for a page without anything that it would read."""
    text = finish_target(words, wording.direction.target)
    return escape(text, quote=False) if plan.sentence.html else text


def _target(guard: Guard, inners: Mapping[str, str]) -> str:
    return guard.around(inners.get(guard.inner, guard.inner)) if guard.translates else guard.target


def _lost(written: Written, plan: SegmentPlan, guard: Guard, problem: str) -> None:
    source = plan.segment.text[guard.span.start : guard.span.end]
    written.warnings.append(Warning(WarningCode.TERM_MISSED, f"{_shown(source)}: {problem}", plan.segment.source))


def _unmasked(guards: Iterable[Guard]) -> dict[str, Guard]:
    """The first few spans that no placeholder stands for, by what must stand in the target, each once."""
    found: dict[str, Guard] = {}
    for guard in guards:
        if guard.kind not in (GuardKind.LINK, GuardKind.FIGURE) and len(found) < MOST_CHECKED:
            found.setdefault(guard.target, guard)
    return found


def _check_unmasked(written: Written, plan: SegmentPlan, guards: Mapping[str, Guard]) -> None:
    for target, guard in guards.items():
        if target not in written.text:
            _lost(written, plan, guard, f"it was to be {_shown(target)}")


def _mark(written: Written, plan: SegmentPlan, marks: Sequence[InlineMark], wording: Wording) -> None:
    """Marks go around the words that the marked words became; those that find none are dropped and named."""
    placed = []
    for number, mark in enumerate(marks):
        span = _place(written, mark, number, wording)
        if span is None and not (mark.left and mark.right):
            span = _half(mark, len(plan.sentence.plain), len(written.text))
        if span is None:
            written.warnings.append(_dropped(plan, f"{mark.left}{mark.inner}{mark.right}"))
        else:
            placed.append(_in_target(mark, span, wording.direction.target))
    written.text = with_marks(written.text, placed)
    written.warnings += [_dropped(plan, stray) for stray in plan.sentence.strays]
    if written.text:
        written.text = f"{plan.sentence.left}{written.text}{plan.sentence.right}"


def _place(written: Written, mark: InlineMark, number: int, wording: Wording) -> Span | None:
    """Where the words of a mark stand: what they become when translated alone, or they themselves, if that is there
    once; else where the model looked at them.
    """
    for words in (wording.inners.get(mark.inner, ""), mark.inner):
        if words and written.text.count(words) == 1:
            span = Span(written.text.index(words), written.text.index(words) + len(words))
            if not any(unit.start < place < unit.end for unit in written.units for place in (span.start, span.end)):
                return span  # never inside of a word, nor of what was guarded
    place = wording.places[number] if number < len(wording.places) else None
    return carried(place, written.before, written.units) if place else None


def _half(mark: InlineMark, source: int, target: int) -> Span:
    """A tag without partner must stay: at the end of the sentence that it is nearer to."""
    place = mark.plain.start if mark.left else mark.plain.end
    end = target if 2 * place > source else 0
    return Span(end, end)


def _in_target(mark: InlineMark, span: Span, language_code: str) -> Placed:
    """Underscores mean nothing inside of a word, so between characters without spaces they become asterisks."""
    if is_unspaced(language_code) and not mark.left.strip("_"):
        return Placed(span, mark.left.replace("_", "*"), mark.right.replace("_", "*"))
    return Placed(span, mark.left, mark.right)


def _dropped(plan: SegmentPlan, markup: str) -> Warning:
    message = f"{_shown(markup)} could not be placed and was dropped"
    return Warning(WarningCode.MARKUP_DROPPED, message, plan.segment.source)


def _without(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        text = text.replace(part, " ") if part else text
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…")
