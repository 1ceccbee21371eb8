"""From attention to marks: which stretch of a target came from marked words of its source, and marks put around it.

Attention comes as a matrix of shares, tokens as ranges; what a token is and how one is made is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from glossd.types import Span

LEAST_SHARE = 0.25
"""A target token speaks for marked source tokens when they have more than this share of what it looked at."""

_WIDE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNIT = re.compile(f"⟦\\d⟧|Zq[a-j]qZ|[{_WIDE}]|(?:(?!Zq[a-j]qZ)(?![{_WIDE}])[^\\W_])+")


@dataclass(frozen=True, slots=True)
class Placed:
    """Marks and the range of a target that they go around. One of the two sides may be ""."""

    span: Span
    left: str
    right: str


def aligned_run(weights: Sequence[Sequence[float]], marked: range, content: range) -> range:
    """The run of target tokens that most surely came from the source tokens ``marked``; empty where none did.

    ``content`` are the source tokens that count: attention to end and language tokens says nothing. The run is the one
    with the largest sum of shares, less :data:`LEAST_SHARE` for each token in it (Kadane's algorithm).
    """
    best, best_sum, start, running = range(0), 0.0, 0, 0.0
    for index, row in enumerate(weights):
        share = sum(row[marked.start : marked.stop]) / max(sum(row[content.start : content.stop]), 1e-9)
        if running <= 0:
            start, running = index, 0.0
        running += share - LEAST_SHARE
        if running > best_sum:
            best, best_sum = range(start, index + 1), running
    return best


def units(text: str) -> list[Span]:
    """The smallest things that marks may stand between: words, wide characters, placeholders; no punctuation."""
    return [Span(*match.span()) for match in _UNIT.finditer(text)]


def carried(span: Span, before: Sequence[Span], after: Sequence[Span]) -> Span | None:
    """A range of a text as a range of the same text with other punctuation and spaces, by the units of the two.

    It begins and ends with a unit that it touched. None where it touches none, or where the units differ in number.
    """
    touched = [index for index, unit in enumerate(before) if unit.start < span.end and span.start < unit.end]
    if not touched or len(before) != len(after):
        return None
    return Span(after[touched[0]].start, after[touched[-1]].end)


def with_marks(text: str, marks: Sequence[Placed]) -> str:
    """``text`` with every mark in its place and well nested: of two that cross, the one that begins later is shortened.

    Marks with one side keep their order, and stand outside of every pair that they would cut.
    """
    pairs: list[Placed] = []
    for mark in sorted((mark for mark in marks if mark.left and mark.right), key=_outer_first):
        end = min((pair.span.end for pair in pairs if _cuts(pair, mark.span.start)), default=mark.span.end)
        pairs.append(Placed(Span(mark.span.start, min(mark.span.end, end)), mark.left, mark.right))
    # by place; there closing marks first, inner ones before outer ones, then opening marks the other way round
    inserts = [(pair.span.start, 1, number, pair.left) for number, pair in enumerate(pairs)]
    inserts += [(pair.span.end, 0, -number, pair.right) for number, pair in enumerate(pairs)]
    last = 0
    for number, mark in enumerate((mark for mark in marks if not (mark.left and mark.right)), 1):
        last = max(last, _outside(pairs, mark))
        inserts.append((last, 1, number - len(marks) - 1, mark.left) if mark.left else (last, 0, number, mark.right))
    pieces: list[str] = []
    end = 0
    for place, _, _, tag in sorted(inserts):
        pieces += (text[end:place], tag)
        end = place
    return "".join([*pieces, text[end:]])


def _outer_first(mark: Placed) -> tuple[int, int]:
    return mark.span.start, -mark.span.end


def _cuts(pair: Placed, place: int) -> bool:
    return pair.span.start < place < pair.span.end


def _outside(pairs: Sequence[Placed], mark: Placed) -> int:
    """Where a mark with one side goes: an opening one to the start of its range, a closing one to the end."""
    place = mark.span.start if mark.left else mark.span.end
    cut = [pair.span for pair in pairs if _cuts(pair, place)]
    if not cut:
        return place
    return min(span.start for span in cut) if mark.left else max(span.end for span in cut)
