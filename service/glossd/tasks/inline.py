"""Puts back into a translated sentence what was guarded in its source: addresses, code, links, terms and emphasis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from glossd.tasks.plan import Direction, Form, SegmentPlan
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
from glossd.text.sentence import Sentence
from glossd.text.target import finish_target, is_unspaced
from glossd.types import Warning, WarningCode

MOST_CHECKED = 20

_SHOWN_CHARACTERS = 80


@dataclass(slots=True)
class Written:
    """A sentence as it is being written; ``checked`` is its text without what was guarded."""

    text: str
    checked: str
    warnings: list[Warning] = field(default_factory=list)


def write_masked(raw: str, plan: SegmentPlan, form: Form, inners: Mapping[str, str], direction: Direction) -> Written:
    """``raw`` with every guarded span in the place of its placeholder; one that is lost or doubled is reported."""
    guards = plan.sentence.guards
    terms = [number for number in form.placeholders if guards[number].kind is not GuardKind.FIGURE]
    counts = compare(terms, numbers_in(raw))  # of figures the check of numbers tells
    targets = [_target(guard, inners) for guard in guards]
    text = restore(drop_doubles(raw), targets, lambda words: finish_target(words, direction.target))
    written = Written(text, without_placeholders(with_figures(raw, guards)))
    for number in counts.lost:
        _lost(written, plan, guards[number], f"its place was lost; it was to be {_shown(targets[number])}")
    for number in counts.doubled:
        _lost(written, plan, guards[number], "it stood there twice, one was taken out")
    _check_unmasked(written, plan, _unmasked(plan.sentence.loose))
    _emphasise(written, plan, inners, direction)
    return written


def write_plain(raw: str, plan: SegmentPlan, form: Form, inners: Mapping[str, str], direction: Direction) -> Written:
    """``raw`` in the target's form; links go around their words where those are found, the rest must stand there."""
    sentence = plan.sentence
    text = finish_target(drop_invented(raw, sentence.raw), direction.target)
    kept = _unmasked((*sentence.guards, *sentence.loose))
    written = Written(text, _without(text, kept))
    _check_unmasked(written, plan, kept)
    for guard in sentence.guards:
        if guard.kind is GuardKind.LINK and not _wrap(written, inners.get(guard.inner, guard.inner), guard):
            written.warnings.append(_dropped(plan, guard.target))
    _emphasise(written, plan, inners, direction)
    return written


def with_figures(text: str, guards: Sequence[Guard]) -> str:
    """``text`` with each guarded figure in the place of its placeholder; checks compare numbers by it."""
    for number, guard in enumerate(guards):
        if guard.kind is GuardKind.FIGURE:
            text = text.replace(PLACEHOLDERS[number], guard.inner)
    return text


def count_terms(sentence: Sentence, text: str) -> tuple[int, int]:
    """How many terms stand in a sentence, and how many of those are in its translation as they are asked for."""
    wanted = Counter(guard.target for guard in (*sentence.guards, *sentence.loose) if guard.kind is GuardKind.TERM)
    kept = sum(min(number, text.count(target)) for target, number in wanted.items())
    return wanted.total(), kept


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


def _emphasise(written: Written, plan: SegmentPlan, inners: Mapping[str, str], direction: Direction) -> None:
    """Marks go around the words that the emphasised words become when translated alone, if they stand there once.

    Underscores mean nothing inside of a word, so between characters without spaces they become asterisks.
    """
    sentence = plan.sentence
    unspaced = is_unspaced(direction.target)
    for each in sentence.emphasis:
        choices = (inners.get(each.inner, ""), each.inner)  # translated, or a name that was copied
        words = next((words for words in choices if words and written.text.count(words) == 1), "")
        if words:
            mark = each.mark.replace("_", "*") if unspaced else each.mark
            written.text = written.text.replace(words, f"{mark}{words}{mark}")
        else:
            written.warnings.append(_dropped(plan, f"{each.mark}{each.inner}{each.mark}"))
    for stray in sentence.strays:
        written.warnings.append(_dropped(plan, stray))
    if written.text:
        written.text = f"{sentence.left}{written.text}{sentence.right}"


def _wrap(written: Written, words: str, guard: Guard) -> bool:
    if not words or written.text.count(words) != 1:
        return False
    written.text = written.text.replace(words, guard.around(words))
    return True


def _dropped(plan: SegmentPlan, markup: str) -> Warning:
    message = f"{_shown(markup)} could not be placed and was dropped"
    return Warning(WarningCode.MARKUP_DROPPED, message, plan.segment.source)


def _without(text: str, parts: Iterable[str]) -> str:
    for part in parts:
        text = text.replace(part, " ") if part else text
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…")
