"""Measures the sentences of a document as rows of numbers: where they stand, what they share, how they are said.

Nothing is weighed here; ``ranking`` does that. The graph part follows LexRank (Erkan and Radev, 2004), the likeness to
the centroid Radev et al. (2000). All but the graph, which only the first sentences of a document have, takes linear
time.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glossd.text.likely import Pieces, measure_pieces
from glossd.text.words import count_words, pieces, terms

Floats = NDArray[np.float64]
Vector = dict[str, float]

FEATURES = (
    "first", "second", "third", "nearness", "depth", "last", "opens_part", "place_in_part", "first_part", "lone",
    "words", "short", "long", "graph", "centroid", "coverage", "title", "title_cosine", "lead_cosine", "part_cosine",
    "fresh", "number", "numbers", "names", "new_names", "starts_quoted", "quote", "question", "first_person", "said",
    "dangling", "aside", "frequency", "untitled",
)  # fmt: skip
"""The columns of :attr:`Measures.rows`, in order."""

_GRAPH_SENTENCES = 400
_DAMPING = 0.15
_ROUNDS = 30
_STEM = 6
_TERMS_OF_A_SENTENCE = 300
_HEAD_CHARACTERS = 2_000
_FULL_WORDS = 24.0
_SHORT_WORDS = 10.0
_NEARNESS_WIDTH = 3.0

_QUESTION_END = re.compile(r"[?？][\"'”’」』)]?\Z")
_QUOTE_MARK = re.compile('["“”「」『』]')
_NAME = re.compile(r"(?<=[\w,;:] )[A-Z][\w’'.-]*|《[^《》]{1,40}》")
_NUMBER = re.compile(r"\d[\d,.]*")
_FIRST_PERSON = re.compile(r"\b(?:I|we|my|our|you|your|us|me)\b|[我你您咱]", re.IGNORECASE)
_SAID = re.compile(
    r"\b(?:said|says|told|added|replied|recalled|asked|joked|argued|insisted|commented|explained|noted)\b|[说称道表示]",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"[\"“'‘(]?(?:(?:he|she|they|it|his|her|hers|their|its|this|that|these|those|such|but|and|so|or|yet|still|also|then"
    r"|however|meanwhile|moreover|nor|instead|another|others|both|neither|there|here|one|some|many|most|others"
    r"|afterwards|later|earlier|even|only|nobody|everyone|what|why|how|not|no|to be sure|in addition|for example"
    r"|for instance|as a result|in other words|by contrast|on the other hand)\b"
    r"|[他她它这那其此但而]|然而|此外|同时|不过|因此|另外|所以|于是|与此|随后|之后|例如|比如|尽管如此)",
    re.IGNORECASE,
)
_POINTS_BACK = re.compile(
    r"[\"“'‘(]?(?:(?:he|she|they|it|his|her|hers|their|theirs|its|this|these|those|that|such|but|and|or|yet|nor|however"
    r"|meanwhile|moreover|furthermore|instead|also|both|neither|afterwards|otherwise|nevertheless|therefore|thus|besides"
    r"|as a result|in addition|for example|for instance|in other words|by contrast|in contrast|on the other hand"
    r"|the (?:former|latter)|then(?!-)|so(?! far\b)|another|others)\b"
    r"|他|她|它|这|那(?!不勒斯|英)|其(?!实)|此|但|而|然而|同时|不过|因此|另外|所以|于是|与此|随后|之后|例如|比如|尽管如此|对此|为此|后者|前者)",
    re.IGNORECASE,
)
_PRONOUN_SAID = re.compile(
    r"[,.?!\"”’] ?[\"”’]? (?:he|she|they) (?:said|says|told|added|replied|recalled|joked|argued|insisted|explained"
    r"|noted)\b|(?:said|added|replied) (?:he|she|they)\b|[”」][，,]?[他她]们?[说称表补告]"
)
_ONLY_QUOTED = re.compile('"[^"]*"|“[^“”]*”|「[^「」]*」')
_STOP_WORDS = frozenset(
    """a about after all also an and any are as at be because been before being between both but by can could did do
    does during each even for from had has have having he her here him his how i if in into is it its just many may me
    more most much my no nor not now of off on one only or other our out over own said same say says she should since so
    some such than that the their them then there these they this those through to too two under until up very was we
    were what when where which while who whom why will with would you your""".split()  # noqa: SIM905 - a list of quoted words hides them
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be chosen: its text, its place in the document, its paragraph and its place there.

    All places count from 0; ``part_length`` is the number of sentences of its paragraph.
    """

    text: str
    place: int
    part: int
    place_in_part: int
    part_length: int


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of the candidates before any is chosen.

    ``rows``: float64 [candidates, len(FEATURES)]; ``words`` of each; unit-length TF-IDF ``vectors``; ``repeated``: the
    terms said more than once with their shares of all such; ``title``: the headline's terms; ``leaning``: which
    sentences do not stand alone; ``pieces``: what ``likely`` knows of the words and Han characters.
    """

    rows: Floats
    words: Floats
    vectors: tuple[Vector, ...]
    repeated: Vector
    title: frozenset[str]
    leaning: tuple[bool, ...]
    pieces: Pieces


def measure(candidates: Sequence[Candidate], *, title: str) -> Measures:
    """Measures every candidate; ``title`` "" stands for a document without a headline."""
    bags = [_bag(candidate.text) for candidate in candidates]
    vectors = _vectors(bags)
    words = np.array([count_words(candidate.text) for candidate in candidates], dtype=np.float64)
    columns = _place_columns(candidates)
    columns |= _length_columns(words)
    columns |= _likeness_columns(candidates, bags, vectors, title)
    columns |= _wording_columns(candidates, words)
    return Measures(
        np.stack([columns[name] for name in FEATURES], axis=1),
        words,
        vectors,
        repeated_terms(bags),
        frozenset(_bag(title)),
        tuple(leans(candidate.text) for candidate in candidates),
        measure_pieces([pieces_of(candidate.text) for candidate in candidates], pieces_of(title)),
    )


def pieces_of(text: str) -> list[str]:
    """The stems and Han characters of a sentence, without stop words."""
    return [piece[:_STEM] for piece in pieces(text)[:_TERMS_OF_A_SENTENCE] if piece not in _STOP_WORDS]


def cosine(one: Vector, other: Vector) -> float:
    """The cosine of two unit-length sparse vectors."""
    if len(other) < len(one):
        one, other = other, one
    return sum(value * other[term] for term, value in one.items() if term in other)


def leans(text: str) -> bool:
    """True for a sentence that does not stand alone.

    It points back ("He said ...", "But ...", 然而 ...), asks, or is speech without its speaker: a quotation and nothing
    else, or one that opens or closes in another sentence.
    """
    head = text[:_HEAD_CHARACTERS]
    if _POINTS_BACK.match(head) or _PRONOUN_SAID.search(head) or _QUESTION_END.search(text[-3:]):
        return True
    if head.count('"') % 2 or any(head.count(one) != head.count(other) for one, other in ("“”", "「」", "『』")):
        return True
    return _ONLY_QUOTED.fullmatch(text[:_HEAD_CHARACTERS]) is not None


def repeated_terms(bags: Sequence[Counter[str]]) -> Vector:
    """The terms of more than one sentence, each with the logarithm of how often as a share of all."""
    frequency = Counter(term for bag in bags for term in bag)
    weights = {term: math.log(count) for term, count in frequency.items() if count > 1}
    whole = sum(weights.values()) or 1.0
    return {term: weight / whole for term, weight in weights.items()}


def _place_columns(candidates: Sequence[Candidate]) -> dict[str, Floats]:
    total = len(candidates)
    place = np.array([candidate.place for candidate in candidates], dtype=np.float64)
    in_part = np.array([candidate.place_in_part for candidate in candidates], dtype=np.float64)
    length = np.array([candidate.part_length for candidate in candidates], dtype=np.float64)
    first = candidates[0].part if candidates else 0
    return {
        "first": (place == 0) * 1.0,
        "second": (place == 1) * 1.0,
        "third": (place == 2) * 1.0,
        "nearness": np.exp(-((place / _NEARNESS_WIDTH) ** 2)),
        "depth": place / max(total - 1, 1),
        "last": (place == total - 1) * 1.0,
        "opens_part": (in_part == 0) * 1.0,
        "place_in_part": np.minimum(in_part, 5.0) / 5.0,
        "first_part": np.array([candidate.part == first for candidate in candidates]) * 1.0,
        "lone": (length == 1) * 1.0,
    }


def _length_columns(words: Floats) -> dict[str, Floats]:
    return {
        "words": np.minimum(words, _FULL_WORDS) / _FULL_WORDS,
        "short": np.clip(_SHORT_WORDS - words, 0.0, _SHORT_WORDS) / _SHORT_WORDS,
        "long": np.clip(words - _FULL_WORDS, 0.0, _FULL_WORDS) / _FULL_WORDS,
    }


def _likeness_columns(
    candidates: Sequence[Candidate], bags: Sequence[Counter[str]], vectors: Sequence[Vector], title: str
) -> dict[str, Floats]:
    frequency = Counter(term for bag in bags for term in bag)
    total = len(bags)
    wanted = set(_bag(title))
    title_vector = _unit({term: _rarity(frequency[term], total) for term in wanted})
    repeated = repeated_terms(bags)
    said = [sum(repeated.get(term, 0.0) for term in bag) for bag in bags]
    return {
        "graph": _graph_centrality(vectors),
        "centroid": _scaled(_centroid_likeness(vectors)),
        "coverage": _shares(said),
        "frequency": _shares([value / max(len(bag), 1) for value, bag in zip(said, bags, strict=True)]),
        "title": np.array([len(wanted & bag.keys()) / max(len(wanted), 1) for bag in bags]),
        "title_cosine": np.array([cosine(vector, title_vector) for vector in vectors]),
        "lead_cosine": np.array([cosine(vector, vectors[0]) if place else 0.0 for place, vector in enumerate(vectors)]),
        "part_cosine": _part_likeness(candidates, vectors),
        "fresh": _fresh_share(bags),
        "untitled": np.full(total, float(not wanted)),
    }


def _wording_columns(candidates: Sequence[Candidate], words: Floats) -> dict[str, Floats]:
    heads = [candidate.text[:_HEAD_CHARACTERS] for candidate in candidates]
    numbers = np.array([len(_NUMBER.findall(head)) for head in heads], dtype=np.float64)
    seen: set[str] = set()
    names, new_names = [], []
    for head in heads:
        found = set(_NAME.findall(head))
        names.append(len(found))
        new_names.append(len(found - seen))
        seen |= found
    return {
        "number": np.minimum(numbers, 1.0),
        "numbers": np.minimum(numbers, 4.0) / 4.0,
        "names": np.minimum(np.array(names, dtype=np.float64), 6.0) / 6.0,
        "new_names": np.minimum(np.array(new_names, dtype=np.float64), 6.0) / 6.0,
        "starts_quoted": _flags(head[:1] in tuple('"“「『') for head in heads),
        "quote": _flags(bool(_QUOTE_MARK.search(head)) for head in heads),
        "question": _flags(bool(_QUESTION_END.search(candidate.text[-3:])) for candidate in candidates),
        "first_person": _flags(bool(_FIRST_PERSON.search(head)) for head in heads),
        "said": _flags(bool(_SAID.search(head)) for head in heads),
        "dangling": _flags(bool(_DANGLING.match(head)) for head in heads),
        "aside": _flags("(" in head or "（" in head for head in heads),
    }


def _flags(values: Iterable[bool]) -> Floats:
    return np.array(list(values), dtype=np.float64)


def _shares(values: Sequence[float]) -> Floats:
    """Values as shares of the largest."""
    return np.array(values, dtype=np.float64) / (max(values, default=0.0) or 1.0)


def _bag(text: str) -> Counter[str]:
    found = (term[:_STEM] for term in terms(text)[:_TERMS_OF_A_SENTENCE] if term not in _STOP_WORDS)
    return Counter(found)


def _rarity(frequency: int, total: int) -> float:
    return math.log((1 + total) / (1 + frequency)) + 1.0


def _unit(raw: Vector) -> Vector:
    length = math.sqrt(sum(value * value for value in raw.values())) or 1.0
    return {term: value / length for term, value in raw.items()}


def _vectors(bags: Sequence[Counter[str]]) -> tuple[Vector, ...]:
    """TF-IDF with the sentences as documents, each scaled to length 1."""
    frequency = Counter(term for bag in bags for term in bag)
    total = len(bags)
    return tuple(_unit({term: count * _rarity(frequency[term], total) for term, count in bag.items()}) for bag in bags)


def _graph_centrality(vectors: Sequence[Vector]) -> Floats:
    """LexRank, scaled: the stationary share of a walk along the cosines; 0 for all in a document too long for it."""
    if len(vectors) > _GRAPH_SENTENCES:
        return np.zeros(len(vectors))
    return _scaled(lexrank(vectors))


def lexrank(vectors: Sequence[Vector]) -> Floats:
    """The stationary share of each sentence in a walk along the cosines. Quadratic in their number."""
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


def _centroid_likeness(vectors: Sequence[Vector]) -> Floats:
    centroid: Vector = {}
    for vector in vectors:
        for term, value in vector.items():
            centroid[term] = centroid.get(term, 0.0) + value
    return np.array([sum(value * centroid[term] for term, value in vector.items()) for vector in vectors])


def _part_likeness(candidates: Sequence[Candidate], vectors: Sequence[Vector]) -> Floats:
    """How like a sentence is to the rest of its paragraph."""
    sums: dict[int, Vector] = {}
    for candidate, vector in zip(candidates, vectors, strict=True):
        part = sums.setdefault(candidate.part, {})
        for term, value in vector.items():
            part[term] = part.get(term, 0.0) + value
    return np.array(
        [
            sum(value * (sums[candidate.part][term] - value) for term, value in vector.items())
            / max(candidate.part_length - 1, 1)
            for candidate, vector in zip(candidates, vectors, strict=True)
        ]
    )


def _fresh_share(bags: Sequence[Counter[str]]) -> Floats:
    """The share of a sentence's terms that no sentence before it has."""
    seen: set[str] = set()
    shares = []
    for bag in bags:
        shares.append(len(bag.keys() - seen) / max(len(bag), 1))
        seen |= bag.keys()
    return np.array(shares)


def _scaled(values: Floats) -> Floats:
    """Values shifted and scaled so that the largest is 1 and the mean 0."""
    centred = values - values.mean()
    largest = float(centred.max())
    return centred / largest if largest > 1e-12 else np.zeros_like(values)
