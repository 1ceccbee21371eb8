"""Augmentation of sentence pairs that keeps both sides true to each other: names, numbers, case, marks, joins."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable

from training.sources import Article, Pair, Term
from training.synthetic import invented_name, synthetic_pair
from training.vocabulary import PLACEHOLDERS

_NAME_KINDS = frozenset({"person", "surname", "city", "region", "country", "company", "organization", "media", "event"})
_WORD = re.compile(r"[A-Za-z][A-Za-z.'&-]*[A-Za-z]|[A-Za-z]")
_NUMBER = re.compile(r"(?<![\d.,])\d+(?:\.\d+)?(?![\d,]|\.\d)")
_LONGEST_TERM = 5


class Augmenter:
    """Draws variants of pairs from one random generator; holds the lexicon indexed by its words."""

    def __init__(self, terms: list[Term], rng: random.Random) -> None:
        self._rng = rng
        self._terms: dict[str, list[Term]] = defaultdict(list)
        self._by_kind: dict[str, list[Term]] = defaultdict(list)
        for term in terms:
            if len(term.source) > 2 and len(term.target) > 1:
                self._terms[term.source].append(term)
                self._by_kind[term.kind].append(term)

    def vary(self, pairs: list[Pair], rate: float) -> list[Pair]:
        """Replace about `rate` of the pairs by a variant; the others and those without a fitting variant stay."""
        changes: tuple[tuple[Callable[[Pair], Pair], float], ...] = (
            (self.other_name, 0.4),
            (self.placeholder, 0.15),
            (self.copied_name, 0.17),
            (self.other_number, 0.16),
            (self.other_case, 0.12),
        )
        functions, weights = [change for change, _ in changes], [weight for _, weight in changes]
        return [self._rng.choices(functions, weights)[0](pair) if self._rng.random() < rate else pair for pair in pairs]

    def matches(self, pair: Pair) -> list[Term]:
        """Lexicon terms found as whole words in the source and, once, in the target; longest first."""
        words = list(_WORD.finditer(pair.source))
        found = []
        for i, first in enumerate(words):
            for last in words[i : i + _LONGEST_TERM]:
                for term in self._terms.get(pair.source[first.start() : last.end()], ()):
                    if pair.target.count(term.target) == 1 and pair.source.count(term.source) == 1:
                        found.append(term)
        return sorted(found, key=lambda term: -len(term.source))

    def other_name(self, pair: Pair) -> Pair:
        """Put other names of the same kind into both sides (up to two)."""
        swapped = 0
        for term in self.matches(pair):
            if term.kind in _NAME_KINDS and swapped < 2 and pair.target.count(term.target) == 1:
                pair = _replace(pair, term, *self._other(term))
                swapped += 1
        return pair

    def _other(self, term: Term) -> tuple[str, str]:
        other = self._rng.choice(self._by_kind[term.kind])
        return other.source, other.target

    def placeholder(self, pair: Pair) -> Pair:
        """Replace one to three known terms by numbered placeholders on both sides."""
        count, numbers = self._rng.randint(1, 3), self._rng.sample(PLACEHOLDERS, 3)
        if self._rng.random() < 0.6:
            numbers = list(PLACEHOLDERS[:3])
        for term in self.matches(pair):
            if count == 0:
                break
            if _found(pair, term):
                count -= 1
                pair = _replace(pair, term, numbers[count], numbers[count])
        return pair

    def copied_name(self, pair: Pair) -> Pair:
        """Replace one name by an invented one that both sides write in Latin letters."""
        for term in self.matches(pair):
            if term.kind in _NAME_KINDS and term.kind != "country":
                name = invented_name(self._rng, words=1 if term.kind == "surname" else self._rng.randint(1, 2))
                return _replace(pair, term, name, name)
        return pair

    def other_number(self, pair: Pair) -> Pair:
        """Replace each number that stands once, in digits, on both sides by another of the same length."""
        for number in _NUMBER.findall(pair.source):
            pattern = re.compile(rf"(?<![\d.,]){re.escape(number)}(?![\d,]|\.\d)")
            if len(pattern.findall(pair.source)) == 1 and len(pattern.findall(pair.target)) == 1:
                other = self._number_like(number)
                pair = Pair(pattern.sub(other, pair.source), pattern.sub(other, pair.target))
        return pair

    def _number_like(self, number: str) -> str:
        if len(number) == 4 and number[:2] in ("19", "20"):
            return str(self._rng.randint(1900, 2030))
        digits = [self._rng.choice("0123456789") if digit.isdigit() else digit for digit in number]
        if digits[0] == "0" and number[0] != "0":
            digits[0] = self._rng.choice("123456789")
        if len(number) <= 2 and number.isdigit():
            return str(self._rng.randint(2, 12 if int(number) <= 12 else 30 if int(number) <= 31 else 99))
        return "".join(digits)

    def other_case(self, pair: Pair) -> Pair:
        """Write the source in capitals, in headline case or in lower case."""
        roll = self._rng.random()
        if roll < 0.3:
            return Pair(pair.source.upper(), pair.target)
        if roll < 0.65:
            return Pair(" ".join(word[:1].upper() + word[1:] for word in pair.source.split(" ")), pair.target)
        return Pair(pair.source.lower(), pair.target)

    def joined(self, articles: list[Article], count: int) -> list[Pair]:
        """Join two or three consecutive sentences of one paragraph."""
        paragraphs = [paragraph for article in articles for paragraph in article.paragraphs if len(paragraph) > 1]
        result: list[Pair] = []
        while paragraphs and len(result) < count:
            paragraph = self._rng.choice(paragraphs)
            length = self._rng.randint(2, min(3, len(paragraph)))
            start = self._rng.randint(0, len(paragraph) - length)
            run = paragraph[start : start + length]
            result.append(Pair(" ".join(pair.source for pair in run), "".join(pair.target for pair in run)))
        return result

    def synthetic(self, count: int) -> list[Pair]:
        """Made sentences for dates, amounts, addresses and quoted names; see `training.synthetic`."""
        people = self._by_kind["person"] + self._by_kind["surname"]
        places = self._by_kind["city"] + self._by_kind["country"]
        return [synthetic_pair(self._rng, people, places) for _ in range(count)] if people and places else []


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z]){re.escape(text)}(?![A-Za-z])")


def _found(pair: Pair, term: Term) -> bool:
    return len(_pattern(term.source).findall(pair.source)) == 1 and pair.target.count(term.target) == 1


def _replace(pair: Pair, term: Term, source: str, target: str) -> Pair:
    if not _found(pair, term):
        return pair
    return Pair(_pattern(term.source).sub(lambda _: source, pair.source), pair.target.replace(term.target, target))
