"""Placeholders for guarded spans: put into a sentence before the model, and taken out of what the model made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glossd.text.alignment import units
from glossd.types import Span

PLACEHOLDERS = tuple(f"⟦{digit}⟧" for digit in range(10))
"""Whole pieces in the vocabulary of models that were trained to copy them."""

_PLACEHOLDER = re.compile(r"⟦(\d)⟧")
_FIRST_WIDE_SENTINEL = 0x2F800
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the placeholders that were sent: numbers of those lost, of those doubled, of those invented."""

    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    invented: tuple[int, ...] = ()

    @property
    def wrong(self) -> int:
        """How many went wrong."""
        return len(self.lost) + len(self.doubled) + len(self.invented)


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of the placeholders in ``text``, in order, as often as they stand there."""
    return tuple(int(match.group(1)) for match in _PLACEHOLDER.finditer(text))


def without_placeholders(text: str) -> str:
    """``text`` with a space for every placeholder."""
    return _PLACEHOLDER.sub(" ", text)


def compare(sent: Sequence[int], made: Sequence[int]) -> Counts:
    """Each number sent must be made exactly once, and no other."""
    return Counts(
        lost=tuple(number for number in sent if number not in made),
        doubled=tuple(number for number in sent if list(made).count(number) > 1),
        invented=tuple(sorted(set(made) - set(sent))),
    )


@dataclass(frozen=True, slots=True)
class Restored:
    """A text with everything in its place, and where each unit of what it was made of stands in it."""

    text: str
    units: tuple[Span, ...]


def restore(text: str, targets: Sequence[str], finish: Callable[[str], str]) -> Restored:
    """``finish(text)`` with ``targets[n]`` for placeholder n; other placeholders are dropped.

    While ``finish`` puts punctuation and spacing in order, a stand-in of the target's kind (a wide character or a Latin
    word) is in its place, so that nothing inside of a target changes and the marks beside it fit it.
    """
    stand_ins = [_stand_in(number, target) for number, target in enumerate(targets)]

    def stand_in(match: re.Match[str]) -> str:
        number = int(match.group(1))
        return stand_ins[number] if number < len(stand_ins) else ""

    finished = finish(_PLACEHOLDER.sub(stand_in, text))
    by_name = dict(zip(stand_ins, targets, strict=True))
    pieces: list[str] = []
    spans: list[Span] = []
    end = length = 0
    stood_in = False
    for unit in units(finished):
        word = finished[unit.start : unit.end]
        target = by_name.get(word, word)
        between = finished[end : unit.start]
        if not between and stood_in and word in by_name and _would_grow_together(pieces[-1], target):
            between = " "
        stood_in = word in by_name
        pieces += (between, target)
        start = length + len(between)
        length = start + len(target)
        end = unit.end
        spans.append(Span(start, length))
    return Restored("".join([*pieces, finished[end:]]), tuple(spans))


def drop_invented(text: str, source: str) -> str:
    """``text`` with those placeholders only that are written in ``source`` too."""
    return _PLACEHOLDER.sub(lambda match: match.group() if match.group() in source else "", text)


def drop_doubles(text: str) -> str:
    """``text`` with the first of each placeholder only."""
    seen: set[str] = set()

    def first_only(match: re.Match[str]) -> str:
        again = match.group() in seen
        seen.add(match.group())
        return "" if again else match.group()

    return _PLACEHOLDER.sub(first_only, text)


def _would_grow_together(before: str, after: str) -> bool:
    """Whether two parts would become one word or one figure."""
    pair = before[-1:] + after[:1]
    return len(pair) == 2 and pair.isascii() and pair.isalnum()


def _stand_in(number: int, target: str) -> str:
    wide = target and _HAN.search(target[0]) and _HAN.search(target[-1])
    return chr(_FIRST_WIDE_SENTINEL + number) if wide else f"Zq{'abcdefghij'[number]}qZ"
