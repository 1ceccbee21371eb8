"""Tells which parts of a mixed document are in the target language already, so that they are handed through."""

from __future__ import annotations

import re
from collections.abc import Callable

from glossd.languages import find_language
from glossd.tasks.plan import Direction, SegmentPlan
from glossd.text.checks import same_script, script_letters
from glossd.text.document import Document, Segment
from glossd.text.sentence import Sentence
from glossd.types import DetectedLanguage, Warning, WarningCode

SAMPLE_CHARACTERS = 2_000
LEAST_LETTERS = 60
"""Fewer letters do not tell two languages of one script apart: such a part goes with its document."""
LEAST_CONFIDENCE = 0.9
LEAST_SHARE = 0.75

_WIDE_WEIGHT = 3
_LETTER = re.compile(r"[^\W\d_]")
_WIDE_SCRIPTS = ("Hans", "Hant", "Jpan", "Kore")


class PassedParts:
    """The parts of a document that are handed through. Detects when it is made: make it in a thread."""

    def __init__(self, document: Document, direction: Direction, detect: Callable[[str], DetectedLanguage]) -> None:
        self._parts = parts_in_target(document, direction, detect)
        self._first = min(document.parts[number].segments.start for number in self._parts) if self._parts else -1
        self._message = f"{_parts(len(self._parts))} in {direction.target} already, handed through"

    def plan(self, segment: Segment) -> SegmentPlan | None:
        """How to hand a segment through, None for one that is to be translated; the first one carries the warning."""
        if segment.part not in self._parts:
            return None
        text = segment.text
        warning = Warning(WarningCode.PASSED_THROUGH, self._message, segment.source)
        warnings = (warning,) if segment.index == self._first else ()
        return SegmentPlan(segment, Sentence(text, text, text), text, None, warnings=warnings)


def _parts(number: int) -> str:
    return "1 part is" if number == 1 else f"{number:,} parts are"


def parts_in_target(
    document: Document, direction: Direction, detect: Callable[[str], DetectedLanguage]
) -> frozenset[int]:
    """Indices of the parts that are in the target language.

    Where the two languages have different scripts, the letters decide; else ``detect`` does, and only for parts that
    are long enough. Everything doubtful is taken to be in the document's language.
    """
    decide = _by_language if same_script(direction.source, direction.target) else _by_script
    found = []
    for number, part in enumerate(document.parts):
        if part.segments:
            text = document.source[part.span.start : part.span.end][:SAMPLE_CHARACTERS]
            if decide(text, direction, detect):
                found.append(number)
    return frozenset(found)


def _by_script(text: str, direction: Direction, detect: Callable[[str], DetectedLanguage]) -> bool:
    """Whether most of the letters are of the target's script; one wide character says as much as several letters."""
    target = find_language(direction.target)
    if target is None:
        return False
    wanted = script_letters(text, direction.target)
    others = len(_LETTER.findall(text)) - wanted
    if target.script in _WIDE_SCRIPTS:
        wanted *= _WIDE_WEIGHT
    else:
        others *= _WIDE_WEIGHT
    return wanted > 0 and wanted >= LEAST_SHARE * (wanted + others)


def _by_language(text: str, direction: Direction, detect: Callable[[str], DetectedLanguage]) -> bool:
    letters = len(_LETTER.findall(text))
    source, target = find_language(direction.source), find_language(direction.target)
    if source is None or target is None or (letters < LEAST_LETTERS and source.iso != target.iso):
        return False
    found = detect(text)
    known = find_language(found.language_code)
    return known is target and found.confidence >= LEAST_CONFIDENCE
