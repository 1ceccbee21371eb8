"""ROUGE-1, ROUGE-2 and ROUGE-L F1 (Lin, 2004) on lower-case words or single Han characters, without stemming."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+")


def rouge(candidate: str, reference: str) -> tuple[float, float, float]:
    """F1 of one-word, two-word and longest-common-subsequence overlap, each 0..100."""
    made, wanted = _TOKEN.findall(candidate.lower()), _TOKEN.findall(reference.lower())
    return _ngram_f1(made, wanted, 1), _ngram_f1(made, wanted, 2), _f1(_common(made, wanted), len(made), len(wanted))


def _ngram_f1(made: Sequence[str], wanted: Sequence[str], size: int) -> float:
    one, other = _ngrams(made, size), _ngrams(wanted, size)
    return _f1((one & other).total(), one.total(), other.total())


def _ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[place : place + size]) for place in range(len(tokens) - size + 1))


def _f1(common: int, made: int, wanted: int) -> float:
    return 200.0 * common / (made + wanted) if made and wanted else 0.0


def _common(made: Sequence[str], wanted: Sequence[str]) -> int:
    row = [0] * (len(wanted) + 1)
    for token in made:
        diagonal = 0
        for place, other in enumerate(wanted, 1):
            above = row[place]
            row[place] = diagonal + 1 if token == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]
