"""ROUGE (Lin, 2004) on token ids: English by Porter stems, Chinese by characters. Measures; chooses nothing.

Tokens follow Google's ``rouge-score``: lower case, letters and digits only, words of more than three letters stemmed.
A Han character is a token of its own, which ``rouge-score`` would drop.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

_TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[a-z0-9]+")
_SHORTEST_STEMMED = 4
_STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("abli", "able"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"),
)  # fmt: skip
_STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
_STEP_4 = (
    "al ance ence er ic able ible ant ement ment ent sion tion ou ism ate iti ous ive ize".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Rouge:
    """F1 of one-word, two-word and longest-common-subsequence overlap, each 0..100."""

    one: float
    two: float
    longest: float

    @property
    def mean(self) -> float:
        """The mean of the three, what the ranker learns to raise."""
        return (self.one + self.two + self.longest) / 3.0


def tokens(text: str) -> list[str]:
    """The tokens that are compared."""
    return [stem(token) if token.isascii() else token for token in _TOKEN.findall(text.lower())]


def rouge(made: Sequence[str], wanted: Sequence[str]) -> Rouge:
    """The three scores of one summary's tokens against a reference's."""
    return Rouge(_overlap(made, wanted, 1), _overlap(made, wanted, 2), f1(common(made, wanted), len(made), len(wanted)))


def f1(shared: int, made: int, wanted: int) -> float:
    """The harmonic mean of precision and recall, in per cent."""
    return 200.0 * shared / (made + wanted) if made and wanted else 0.0


def common(made: Sequence[str], wanted: Sequence[str]) -> int:
    """The length of the longest common subsequence, by bit rows (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(wanted):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(wanted)) - 1
    row = full
    for token in made:
        match = row & places.get(token, 0)
        row = ((row + match) | (row - match)) & full
    return len(wanted) - row.bit_count()


def _overlap(made: Sequence[str], wanted: Sequence[str], size: int) -> float:
    one, other = ngrams(made, size), ngrams(wanted, size)
    return f1((one & other).total(), one.total(), other.total())


def ngrams(found: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    """The runs of ``size`` tokens, counted."""
    return Counter(zip(*(found[start:] for start in range(size)), strict=False))


@cache
def stem(word: str) -> str:
    """Porter's stem (1980) of a lower-case ASCII word; words of three letters or fewer stay."""
    if len(word) < _SHORTEST_STEMMED:
        return word
    word = _plural(word)
    word = _past(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    for table in (_STEP_2, _STEP_3):
        word = _replaced(word, table)
    word = _step_4(word)
    if word.endswith("e"):
        rest = word[:-1]
        if _measure(rest) > 1 or (_measure(rest) == 1 and not _ends_short(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    cut = next((len(end) for end in ("ed", "ing") if word.endswith(end) and _has_vowel(word[: -len(end)])), 0)
    if not cut:
        return word
    word = word[:-cut]
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and not _is_vowel(word, len(word) - 1) and word[-1] not in "lsz":
        return word[:-1]
    return word + "e" if _measure(word) == 1 and _ends_short(word) else word


def _replaced(word: str, table: Sequence[tuple[str, str]]) -> str:
    for end, other in sorted(table, key=lambda row: -len(row[0])):
        if word.endswith(end):
            return word[: -len(end)] + other if _measure(word[: -len(end)]) else word
    return word


def _step_4(word: str) -> str:
    for end in sorted(_STEP_4, key=len, reverse=True):
        if word.endswith(end):
            cut = 3 if end in ("sion", "tion") else len(end)
            return word[:-cut] if _measure(word[:-cut]) > 1 else word
    return word


def _is_vowel(word: str, place: int) -> bool:
    return word[place] in "aeiou" or (word[place] == "y" and place > 0 and not _is_vowel(word, place - 1))


def _has_vowel(word: str) -> bool:
    return any(_is_vowel(word, place) for place in range(len(word)))


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    kinds = [_is_vowel(word, place) for place in range(len(word))]
    return sum(one and not other for one, other in pairwise(kinds))


def _ends_short(word: str) -> bool:
    """Consonant, vowel, consonant (not w, x or y) at the end."""
    last = len(word) - 1
    return (
        last >= 2
        and not _is_vowel(word, last)
        and _is_vowel(word, last - 1)
        and not _is_vowel(word, last - 2)
        and word[-1] not in "wxy"
    )
