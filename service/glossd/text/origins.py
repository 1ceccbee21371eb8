"""A text that remembers where each of its characters came from while it is changed. What to change is not said here.

A character that stands for several others has the place of the first of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_BEYOND_ASCII = re.compile("[\x00-\x7f]?[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class Traced:
    """``origins[i]`` is the place of ``text[i]`` in the text that all began with."""

    text: str
    origins: Sequence[int]

    @classmethod
    def of(cls, text: str) -> Traced:
        """A text that has not been changed."""
        return cls(text, range(len(text)))

    def replaced(self, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> Traced:
        """As ``pattern.sub``; what comes in has the places of what goes out, in order, as far as those last."""
        pieces: list[str] = []
        origins: list[int] = []
        end = 0
        for match in pattern.finditer(self.text):
            new = replacement(match)
            pieces += (self.text[end : match.start()], new)
            origins += self.origins[end : match.start()]
            origins += self._places(match.start(), match.end(), len(new))
            end = match.end()
        if not pieces:
            return self
        return Traced("".join([*pieces, self.text[end:]]), [*origins, *self.origins[end:]])

    def composed(self) -> Traced:
        """The text in normal form C."""
        pieces: list[str] = []
        origins: list[int] = []
        end = 0
        for match in _BEYOND_ASCII.finditer(self.text):
            if unicodedata.is_normalized("NFC", match.group()):
                continue
            pieces.append(self.text[end : match.start()])
            origins += self.origins[end : match.start()]
            for start, stop in _clusters(self.text, match.start(), match.end()):
                new = unicodedata.normalize("NFC", self.text[start:stop])
                pieces.append(new)
                origins += self._places(start, stop, len(new))
            end = match.end()
        return Traced("".join([*pieces, self.text[end:]]), [*origins, *self.origins[end:]])

    def _places(self, start: int, end: int, count: int) -> list[int]:
        return [self.origins[min(start + number, end - 1)] for number in range(count)]


def _clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges that normal form C changes independently of each other."""
    first = start
    for place in range(start + 1, end):
        character = text[place]
        if unicodedata.combining(character):
            continue
        cluster = text[first:place]
        together = unicodedata.normalize("NFC", cluster + character)
        if together == unicodedata.normalize("NFC", cluster) + unicodedata.normalize("NFC", character):
            yield first, place
            first = place
    yield first, end
