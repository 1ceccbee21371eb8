"""Scores the sentences of a document by what they say and where they stand; chooses nothing.

The graph part follows LexRank (Erkan and Radev, 2004): sentences are nodes, TF-IDF cosines are edges, and a sentence is
central when central sentences are like it. The likeness to the centroid (Radev et al., 2000) takes linear time; long
documents have only that.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glossd.text.words import count_words, terms

Floats = NDArray[np.float64]

_GRAPH_SENTENCES = 400
_DAMPING = 0.15
_ROUNDS = 30
_STEM = 7
_TERMS_OF_A_SENTENCE = 300
_HEAD_CHARACTERS = 2_000
_FULL_WORDS = 24.0

_QUESTION_END = re.compile(r"[?？][\"'”’」』)]?\Z")
_QUOTE_MARK = re.compile('["“”「」『』]')
_FIRST_PERSON = re.compile(r"\b(?:I|we|my|our|you|your|us|me)\b|[我你您咱]", re.IGNORECASE)
_DANGLING = re.compile(
    r"[\"“'‘(]?(?:(?:he|she|they|it|his|her|hers|their|its|this|that|these|those|such|but|and|so|or|yet|still|also|then"
    r"|however|meanwhile|moreover|nor|instead|another|others|both|neither|there|here|one|some|many|most|others"
    r"|afterwards|later|earlier|even|only|nobody|everyone|what|why|how|not|no|to be sure|in addition|for example"
    r"|for instance|as a result|in other words|by contrast|on the other hand)\b"
    r"|[他她它这那其此但而]|然而|此外|同时|不过|因此|另外|所以|于是|与此|随后|之后|例如|比如|尽管如此)",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\b(?:said|says|told|added|replied|recalled|asked|joked|argued|insisted|commented|explained|noted)\b|[说称道表示]",
    re.IGNORECASE,
)
_STOP_WORDS = frozenset(
    """a about after all also an and any are as at be because been before being between both but by can could did do
    does during each even for from had has have having he her here him his how i if in into is it its just many may me
    more most much my no nor not now of off on one only or other our out over own said same say says she should since so
    some such than that the their them then there these they this those through to too two under until up very was we
    were what when where which while who whom why will with would you your""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be chosen: its place in the document (from 0) and in its paragraph, and its text."""

    text: str
    place: int
    place_in_part: int


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each thing counts.

    Started from a least-squares fit of each sentence's own ROUGE on half of a set of authored news articles, tuned on
    whole summaries of a quarter, English and Chinese alike; ``dangling`` and ``question`` are larger than ROUGE asks
    for, because a summary must also stand alone.
    """

    graph: float = 0.8
    centroid: float = 1.5
    title: float = 4.5
    lead: float = 6.0
    lead_width: float = 3.0
    part_lead: float = 0.6
    fullness: float = 3.0
    overlong: float = 4.0
    dangling: float = 1.0
    question: float = 1.5
    quote: float = 1.2
    first_person: float = 1.0
    said: float = 1.1
    number: float = 1.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores (higher is better), words, and unit-length TF-IDF vectors of the candidates, in their order."""

    scores: Floats
    words: Floats
    vectors: tuple[dict[str, float], ...]


def rank(candidates: Sequence[Candidate], *, title: str, weights: Weights | None = None) -> Ranking:
    """Scores every candidate. ``title`` "" leaves the headline out. Near-linear in the length of the text."""
    weights = weights or Weights()
    vectors = _vectors([_bag(candidate.text) for candidate in candidates])
    words = np.array([count_words(candidate.text) for candidate in candidates], dtype=np.float64)
    scores = weights.centroid * _scaled(_centroid_likeness(vectors))
    if len(vectors) <= _GRAPH_SENTENCES:
        scores += weights.graph * _scaled(_graph_centrality(vectors))
    if title:
        scores += weights.title * _scaled(_title_likeness(vectors, title))
    scores += weights.fullness * np.minimum(words, _FULL_WORDS) / _FULL_WORDS
    scores -= weights.overlong * np.clip(words - _FULL_WORDS, 0.0, _FULL_WORDS) / _FULL_WORDS
    for index, candidate in enumerate(candidates):
        scores[index] += _position(candidate, weights) - _penalty(candidate.text, weights)
    return Ranking(scores, words, vectors)


def cosine(one: dict[str, float], other: dict[str, float]) -> float:
    """The cosine of two unit-length sparse vectors."""
    if len(other) < len(one):
        one, other = other, one
    return sum(value * other[term] for term, value in one.items() if term in other)


def _bag(text: str) -> Counter[str]:
    found = (term[:_STEM] for term in terms(text)[:_TERMS_OF_A_SENTENCE] if term not in _STOP_WORDS)
    return Counter(found)


def _vectors(bags: Sequence[Counter[str]]) -> tuple[dict[str, float], ...]:
    """TF-IDF with the sentences as documents, each scaled to length 1."""
    frequency = Counter(term for bag in bags for term in bag)
    total = len(bags)
    vectors = []
    for bag in bags:
        raw = {term: count * (math.log((1 + total) / (1 + frequency[term])) + 1.0) for term, count in bag.items()}
        length = math.sqrt(sum(value * value for value in raw.values())) or 1.0
        vectors.append({term: value / length for term, value in raw.items()})
    return tuple(vectors)


def _graph_centrality(vectors: Sequence[dict[str, float]]) -> Floats:
    """LexRank: the stationary share of a walk along the cosines."""
    columns = {term: column for column, term in enumerate({term: 0 for vector in vectors for term in vector})}
    matrix = np.zeros((len(vectors), len(columns) + 1))
    for row, vector in enumerate(vectors):
        for term, value in vector.items():
            matrix[row, columns[term]] = value
    edges = matrix @ matrix.T
    np.fill_diagonal(edges, 0.0)
    totals = edges.sum(axis=1, keepdims=True)
    steps = np.divide(edges, totals, out=np.full_like(edges, 1.0 / len(vectors)), where=totals > 0)
    central = np.full(len(vectors), 1.0 / len(vectors))
    for _ in range(_ROUNDS):
        central = _DAMPING / len(vectors) + (1.0 - _DAMPING) * (steps.T @ central)
    return central


def _centroid_likeness(vectors: Sequence[dict[str, float]]) -> Floats:
    centroid: dict[str, float] = {}
    for vector in vectors:
        for term, value in vector.items():
            centroid[term] = centroid.get(term, 0.0) + value
    return np.array([sum(value * centroid[term] for term, value in vector.items()) for vector in vectors])


def _title_likeness(vectors: Sequence[dict[str, float]], title: str) -> Floats:
    """The share of the headline's content words in each sentence."""
    wanted = set(_bag(title))
    return np.array([len(wanted & vector.keys()) / max(len(wanted), 1) for vector in vectors])


def _scaled(values: Floats) -> Floats:
    """Values shifted and scaled so that the largest is 1 and the mean 0."""
    centred = values - values.mean()
    largest = float(centred.max())
    return centred / largest if largest > 1e-12 else np.zeros_like(values)


def _position(candidate: Candidate, weights: Weights) -> float:
    """The prior for the first few sentences, and a little for each paragraph's first."""
    lead = weights.lead * math.exp(-((candidate.place / weights.lead_width) ** 2))
    return lead + weights.part_lead * (candidate.place_in_part == 0)


def _penalty(text: str, weights: Weights) -> float:
    """What speaks against a sentence standing alone; a number speaks for it."""
    head = text[:_HEAD_CHARACTERS]
    quoted = head[0] in '"“「『' or len(_QUOTE_MARK.findall(head)) % 2 == 1
    penalty = weights.dangling * bool(_DANGLING.match(head))
    penalty += weights.question * bool(_QUESTION_END.search(text[-3:]))
    penalty += weights.quote * quoted + weights.first_person * bool(_FIRST_PERSON.search(head))
    return penalty + weights.said * bool(_SAID.search(head)) - weights.number * any(map(str.isdigit, head))
