"""Finds the terms of a request in a text: longest first, whole words where words have edges. No model, no markup."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from glossd.types import Span

_PLAIN_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_WIDE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Term:
    """What must stand in the target for ``source``; upper and lower case are alike with ``ignore_case``."""

    source: str
    target: str
    ignore_case: bool = False


class TermFinder:
    """The terms of one request, indexed by their first character. Immutable: any thread may use it."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms: dict[str, list[tuple[str, Term]]] = defaultdict(list)
        for term in terms:
            source = term.source.strip().translate(_PLAIN_QUOTES)
            if source:
                self._terms[source[0].lower()].append((source, term))
        for entries in self._terms.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        firsts = "".join(re.escape(first + first.upper()) for first in self._terms)
        self._first = re.compile(f"[{firsts}]") if firsts else None

    def find(self, text: str) -> list[tuple[Span, Term]]:
        """Where terms stand, in order and apart from each other: at each place the longest one wins.

        A term that begins or ends with a letter of a spaced script, or a digit, does so at the edge of a word.
        Straight and curly quotes are alike. Takes time linear in the text for a given set of terms.
        """
        if self._first is None:
            return []
        plain = text.translate(_PLAIN_QUOTES)
        found: list[tuple[Span, Term]] = []
        free = 0
        for first in self._first.finditer(plain):
            place = first.start()
            if place < free:
                continue
            match = self._longest_at(plain, place)
            if match is not None:
                free = place + len(match[0])
                found.append((Span(place, free), match[1]))
        return found

    def exactly(self, text: str) -> Term | None:
        """The term that is the whole of ``text``, if there is one."""
        found = self.find(text.strip())
        return found[0][1] if found and found[0][0] == Span(0, len(text.strip())) else None

    def _longest_at(self, text: str, place: int) -> tuple[str, Term] | None:
        for source, term in self._terms.get(text[place].lower(), ()):
            end = place + len(source)
            if term.ignore_case:
                same = text[place:end].casefold() == source.casefold()
            else:
                same = text.startswith(source, place)
            if same and not _inside_word(text, place) and not _inside_word(text, end):
                return source, term
        return None


def _inside_word(text: str, place: int) -> bool:
    """Whether both characters at ``place`` belong to one word of a script that writes spaces."""
    if not 0 < place < len(text):
        return False
    pair = text[place - 1 : place + 1]
    return pair[0].isalnum() and pair[1].isalnum() and _WIDE.search(pair) is None
