"""Chooses sentences one by one: each time the one that would add most to the summary so far, by a learned estimate.

The estimate is linear in what ``features`` measures and in what the sentence adds to those chosen. Its numbers are in
``ranker.json``, made by ``python -m training.ranker``; how long a summary gets is decided in ``extractive``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from glossd.text.features import FEATURES, Floats, Measures, cosine
from glossd.text.likely import PIECE_FEATURES

CONTEXT = (
    "standing", "chosen_words", "own_words", "words_product", "own_share", "likeness", "title_new", "title_open",
    "repeated_new", "beside", "after_first", "next_to_last", "likely_new", "likely_new_share",
)  # fmt: skip
"""What a sentence is measured by beside its own features once something is chosen, in order."""

EXPECTED = ("likely", "likely_share", "likely_mean")
"""What the likely pieces of a sentence add to its own features, in order."""

_POOL = 400
_LIKELY_UNIT = 5.0
_COPY_LIKENESS = 0.85
_WORDS_UNIT = 20.0
_MOST_WORDS = 60.0
_REFERENCE_WORDS = 30.0


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of pieces, for the first choice and for each later one, each with a constant at the end.

    ``first`` weighs features and ``EXPECTED``; ``later`` weighs those and ``CONTEXT``.
    """

    pieces: Floats
    first: Floats
    later: Floats


@dataclass(frozen=True, slots=True)
class Ranker:
    """The shipped numbers: a model for each kind of document and the least gain that lengthens a default summary."""

    models: Mapping[str, Model]
    least_gain: float

    def model_for(self, *, unspaced: bool, titled: bool) -> Model:
        """The model for documents in a language with or without spaces, with or without a headline."""
        return self.models[model_name(unspaced=unspaced, titled=titled)]


def model_name(*, unspaced: bool, titled: bool) -> str:
    """The name of a kind of document in the table."""
    return f"{'unspaced' if unspaced else 'spaced'}, {'titled' if titled else 'untitled'}"


@cache
def load_ranker() -> Ranker:
    """The ranker that comes with the package, read once."""
    raw = json.loads(files("glossd.text").joinpath("ranker.json").read_text(encoding="utf-8"))
    made_for = tuple(tuple(raw[name]) for name in ("pieces", "features", "expected", "context"))
    if made_for != (PIECE_FEATURES, FEATURES, EXPECTED, CONTEXT):
        raise ValueError("ranker.json was made for other features; run python -m training.ranker")
    models = {
        name: Model(np.array(one["pieces"]), np.array(one["first"]), np.array(one["later"]))
        for name, one in raw["models"].items()
    }
    return Ranker(models, float(raw["least_gain"]))


class Choice:
    """The sentences chosen so far and what each other one would add. Steps take time linear in a bounded pool."""

    def __init__(self, measures: Measures, model: Model) -> None:
        self._measures = measures
        self._model = model
        self._likely = measures.pieces.likely(model.pieces)
        self.rows = np.hstack([measures.rows, expected(measures, self._likely)])
        self._first: Floats = self.rows @ model.first[:-1] + model.first[-1]
        order = np.argsort(-self._first, kind="stable")
        self.pool: NDArray[np.intp] = np.sort(order[:_POOL])
        self.rest: tuple[int, ...] = tuple(int(index) for index in order[_POOL:])
        self.chosen: list[int] = []
        self.words = 0.0
        self._standing = 0.0
        self._likeness = np.zeros(len(self.pool))
        self._repeated_new = np.zeros(len(self.pool))
        self._title_new = np.zeros(len(self.pool))
        self._title_open = 1.0 if measures.title else 0.0
        self._likely_new: Floats = self.rows[self.pool, len(FEATURES)].copy()
        self._piece_holders: dict[str, list[int]] = {}
        self._holders: dict[str, list[int]] = {}
        for place, index in enumerate(self.pool):
            for term in measures.vectors[index]:
                self._holders.setdefault(term, []).append(place)
                self._repeated_new[place] += measures.repeated.get(term, 0.0)
                self._title_new[place] += term in measures.title
            for piece in measures.pieces.bags[index]:
                self._piece_holders.setdefault(piece, []).append(place)
        self._title_new /= max(len(measures.title), 1)

    def gains(self) -> Floats:
        """What each sentence of the pool would add (percent points of ROUGE); minus infinity for those chosen."""
        if not self.chosen:
            first: Floats = self._first[self.pool]
            return first.copy()
        rows = np.hstack([self.rows[self.pool], self.context()])
        gains: Floats = rows @ self._model.later[:-1] + self._model.later[-1]
        gains[np.isin(self.pool, self.chosen)] = -np.inf
        return gains

    def copies(self) -> NDArray[np.bool_]:
        """Which sentences of the pool say again what a chosen one says."""
        return self._likeness > _COPY_LIKENESS

    def hanging(self) -> NDArray[np.bool_]:
        """Which sentences of the pool do not stand alone while the one before them is not chosen."""
        chosen = set(self.chosen)
        return np.array(
            [self._measures.leaning[index] and index - 1 not in chosen for index in self.pool], dtype=np.bool_
        )

    def take(self, index: int) -> None:
        """Chooses a sentence, of the pool or not."""
        place = int(np.searchsorted(self.pool, index))
        inside = place < len(self.pool) and self.pool[place] == index
        self._standing += float(self.gains()[place]) if inside else 0.0
        self.chosen.append(index)
        self.words += float(self._measures.words[index])
        vector = self._measures.vectors[index]
        for term in vector:
            for other in self._holders.pop(term, ()):
                self._repeated_new[other] -= self._measures.repeated.get(term, 0.0)
                if term in self._measures.title:
                    self._title_new[other] -= 1.0 / len(self._measures.title)
                    self._title_open -= 1.0 / len(self._measures.title) if other == place and inside else 0.0
        for piece in self._measures.pieces.bags[index]:
            for other in self._piece_holders.pop(piece, ()):
                self._likely_new[other] -= self._likely[piece] / _LIKELY_UNIT
        like = np.array([cosine(self._measures.vectors[other], vector) for other in self.pool])
        self._likeness = np.maximum(self._likeness, like)

    def context(self) -> Floats:
        """What the pool's sentences add to those chosen: float64 [pool, len(CONTEXT)]."""
        own = self._measures.words[self.pool]
        words = min(self.words, _MOST_WORDS)
        first, last = min(self.chosen), max(self.chosen)
        columns = {
            "standing": np.full(len(own), self._standing),
            "chosen_words": np.full(len(own), words / _WORDS_UNIT),
            "own_words": np.minimum(own, _MOST_WORDS) / _WORDS_UNIT,
            "words_product": words * np.minimum(own, _MOST_WORDS) / _WORDS_UNIT**2,
            "own_share": own / (words + _REFERENCE_WORDS),
            "likeness": self._likeness,
            "title_new": self._title_new,
            "title_open": np.full(len(own), self._title_open),
            "repeated_new": self._repeated_new,
            "beside": _beside(self.pool, self.chosen) * 1.0,
            "after_first": (self.pool > first) * 1.0,
            "next_to_last": (self.pool == last + 1) * 1.0,
            "likely_new": self._likely_new,
            "likely_new_share": self._likely_new * _REFERENCE_WORDS / (own + words + _REFERENCE_WORDS),
        }
        return np.stack([columns[name] for name in CONTEXT], axis=1)


def expected(measures: Measures, likely: Mapping[str, float]) -> Floats:
    """How many likely pieces each sentence holds, also beside its length: float64 [sentences, len(EXPECTED)]."""
    held = np.array([sum(likely[piece] for piece in bag) for bag in measures.pieces.bags]) / _LIKELY_UNIT
    sizes = np.array([len(bag) for bag in measures.pieces.bags])
    columns = (
        held,
        held * _REFERENCE_WORDS / (measures.words + _REFERENCE_WORDS),
        held * _LIKELY_UNIT / np.maximum(sizes, 1),
    )
    return np.stack(columns, axis=1)


def _beside(pool: NDArray[np.intp], chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Which sentences stand directly before or after a chosen one."""
    places = np.array(chosen, dtype=np.intp)
    return np.isin(pool, places + 1) | np.isin(pool, places - 1)
