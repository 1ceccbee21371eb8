"""Which pieces of a document its summary is likely to hold: stems of words, single Han characters.

Each piece is measured by how often, how early and where it is said; a logistic model, whose weights are in
``ranker.json``, makes a probability of that. All of it takes linear time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECE_FEATURES = (
    "title", "said", "share", "spread", "in_first", "in_second", "in_third", "nearness", "depth", "early", "digit",
    "length", "twice", "thrice", "title_said", "early_twice",
)  # fmt: skip
"""What a piece is measured by, in order."""

_NEARNESS_WIDTH = 3.0
_MOST_SPREAD = 4.0
_LONG = 8.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of each sentence and what is measured of each different one: ``rows``, in the order of ``names``."""

    bags: tuple[frozenset[str], ...]
    names: tuple[str, ...]
    rows: Floats

    def likely(self, weights: Floats) -> dict[str, float]:
        """The probability of each piece to stand in the summary; the last weight is the constant."""
        chances = 1.0 / (1.0 + np.exp(-np.clip(self.rows @ weights[:-1] + weights[-1], -30.0, 30.0)))
        return dict(zip(self.names, chances.tolist(), strict=True))


def measure_pieces(sentences: Sequence[Sequence[str]], title: Sequence[str]) -> Pieces:
    """Measures the pieces of sentences that are given as pieces, in reading order."""
    said = Counter(piece for sentence in sentences for piece in sentence)
    bags = tuple(frozenset(sentence) for sentence in sentences)
    spread: Counter[str] = Counter()
    early: dict[str, float] = {}
    first: dict[str, int] = {}
    for place, bag in enumerate(bags):
        near = math.exp(-place / _NEARNESS_WIDTH)
        for piece in bag:
            spread[piece] += 1
            early[piece] = early.get(piece, 0.0) + near
            first.setdefault(piece, place)
    wanted = frozenset(title)
    names = tuple(said)
    rows = np.zeros((len(names), len(PIECE_FEATURES)))
    for row, piece in enumerate(names):
        often, held, place = math.log1p(said[piece]), spread[piece], first[piece]
        titled = piece in wanted
        rows[row] = (
            titled, often, held / len(bags), min(held, _MOST_SPREAD) / _MOST_SPREAD, place == 0, place == 1, place == 2,
            math.exp(-place / _NEARNESS_WIDTH), place / len(bags), early[piece], piece[0].isdigit(), len(piece) / _LONG,
            held > 1, held > 2, titled * often, place < 2 and held > 1,
        )  # fmt: skip
    return Pieces(bags, names, rows)
