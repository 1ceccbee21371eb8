"""Summaries without a model: chooses whole sentences of a document. Scoring lives in ``ranking``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glossd.errors import InvalidInputError
from glossd.text.document import Document, PartKind, Segment
from glossd.text.ranking import Candidate, Ranking, Weights, cosine, rank
from glossd.text.target import is_unspaced
from glossd.types import SummaryOptions, Warning, WarningCode

_DEFAULT_SENTENCES = 3
_DEFAULT_WORDS = 60.0
_DEFAULT_TRIED = 8
_SLACK = 0.15
_REDUNDANCY = 8.0
_COPY_LIKENESS = 0.85
_COPY_PENALTY = 1_000.0
_CHOICES = 200
_LEAST_CANDIDATES = 2


@dataclass(frozen=True, slots=True)
class ExtractiveSummary:
    """Chosen sentences in reading order; ``segments`` are their indices in the document."""

    text: str
    segments: tuple[int, ...]
    warnings: tuple[Warning, ...]


def summarize(
    document: Document,
    options: SummaryOptions,
    *,
    language_code: str,
    field: str = "summary",
    weights: Weights | None = None,
) -> ExtractiveSummary:
    """Chooses sentences of the body that are central, early, near the headline and unlike each other.

    ``sentences`` is met exactly while the document has so many. ``words`` and ``ratio`` (a share of the body's words)
    are met within 15 % where a choice of whole sentences can, else as closely as one can; a sentence is never cut.
    Chinese and Japanese count 1.7 characters as a word. Without a length: up to three sentences of at most 60 words
    together. When nothing is left out, a ``SUMMARY_NOT_SHORTER`` warning says so.

    Raises ``InvalidInputError`` for a length that is not positive, a ratio above 1, or more than one length.
    """
    _check(options, field)
    segments = _candidates(document)
    places = _places(segments)
    ranking = rank(places, title=document.title, weights=weights)
    chosen = sorted(_choose(ranking, options))
    glue = "" if is_unspaced(language_code) else " "
    text = glue.join(segments[index].text for index in chosen)
    warnings: tuple[Warning, ...] = ()
    if len(chosen) == len(segments):
        warnings = (Warning(WarningCode.SUMMARY_NOT_SHORTER, f"all {len(segments)} sentences of the body are in it"),)
    return ExtractiveSummary(text, tuple(segments[index].index for index in chosen), warnings)


def _check(options: SummaryOptions, field: str) -> None:
    given = [name for name in ("words", "sentences", "ratio") if getattr(options, name) is not None]
    if len(given) > 1:
        raise InvalidInputError(f"{field}.{given[1]}", f"only one length may be set, and {given[0]} is set too")
    if options.words is not None and options.words < 1:
        raise InvalidInputError(f"{field}.words", f"it is {options.words}; at least 1 is needed")
    if options.sentences is not None and options.sentences < 1:
        raise InvalidInputError(f"{field}.sentences", f"it is {options.sentences}; at least 1 is needed")
    if options.ratio is not None and not 0.0 < options.ratio <= 1.0:
        raise InvalidInputError(f"{field}.ratio", f"it is {options.ratio}; above 0 and at most 1 is needed")


def _candidates(document: Document) -> list[Segment]:
    """Sentences of paragraphs and list items; every sentence of a document that has hardly any of those."""
    kinds = (PartKind.PARAGRAPH, PartKind.LIST_ITEM)
    found = [segment for part, segments in document.body_parts() if part.kind in kinds for segment in segments]
    return found if len(found) >= _LEAST_CANDIDATES else list(document.segments)


def _places(segments: Sequence[Segment]) -> list[Candidate]:
    places: list[Candidate] = []
    part, place_in_part = -1, 0
    for place, segment in enumerate(segments):
        place_in_part = place_in_part + 1 if segment.part == part else 0
        part = segment.part
        places.append(Candidate(segment.text, place, place_in_part))
    return places


def _choose(ranking: Ranking, options: SummaryOptions) -> list[int]:
    total = float(ranking.words.sum())
    if options.sentences is not None:
        return list(_by_relevance(ranking, min(options.sentences, len(ranking.scores))))
    if options.words is None and options.ratio is None:
        return _default_choice(ranking)
    wanted = float(options.words) if options.words is not None else (options.ratio or 1.0) * total
    if wanted >= total:
        return list(range(len(ranking.scores)))
    return _within(ranking, wanted)


def _default_choice(ranking: Ranking) -> list[int]:
    """The best sentences, at most three and sixty words; for the second the next few best are tried too."""
    chosen: list[int] = []
    words = 0.0
    for index in _by_relevance(ranking, min(_DEFAULT_TRIED, len(ranking.scores))):
        if not chosen or words + ranking.words[index] <= _DEFAULT_WORDS:
            chosen.append(index)
            words += ranking.words[index]
        elif len(chosen) > 1:
            break
        if len(chosen) == _DEFAULT_SENTENCES:
            break
    return chosen


def _by_relevance(ranking: Ranking, number: int) -> Iterator[int]:
    """Indices by maximal marginal relevance (Carbonell and Goldstein, 1998), each unlike those before it."""
    order = np.argsort(-ranking.scores, kind="stable")
    pool = [int(index) for index in order[: max(_CHOICES, 2 * number) if number < len(order) else None]]
    likeness = dict.fromkeys(pool, 0.0)
    compared = min(number, _CHOICES)
    for step in range(number):
        if step >= compared:
            # past the compared choices plain rank decides: comparing all with all would take quadratic time
            yield from pool[: number - step]
            return
        best = max(pool, key=lambda index: ranking.scores[index] - _repetition(likeness[index]))
        pool.remove(best)
        yield best
        for index in pool:
            likeness[index] = max(likeness[index], cosine(ranking.vectors[index], ranking.vectors[best]))


def _repetition(likeness: float) -> float:
    """What a sentence loses for being like a chosen one; a copy loses everything."""
    return _REDUNDANCY * likeness + (_COPY_PENALTY if likeness > _COPY_LIKENESS else 0.0)


def _within(ranking: Ranking, wanted: float) -> list[int]:
    """A choice whose words are within 15 % of ``wanted``, by rank first and, where that fails, by filling exactly."""
    chosen: list[int] = []
    words = 0.0
    for index in _by_relevance(ranking, len(ranking.scores)):
        if words + ranking.words[index] <= wanted * (1.0 + _SLACK):
            chosen.append(index)
            words += ranking.words[index]
        if words >= wanted * (1.0 - _SLACK):
            return chosen
    return _filled(ranking, wanted)


def _filled(ranking: Ranking, wanted: float) -> list[int]:
    """The set of well-ranked sentences whose words come closest to ``wanted`` (subset sums over whole words)."""
    order = [int(index) for index in np.argsort(-ranking.scores, kind="stable")[:_CHOICES]]
    sizes = {index: max(1, round(float(ranking.words[index]))) for index in order}
    limit = round(2 * wanted) + min(sizes.values())
    reached: dict[int, tuple[int, int]] = {0: (-1, 0)}
    for index in order:
        for total in sorted(reached):
            grown = total + sizes[index]
            if grown <= limit and grown not in reached:
                reached[grown] = (index, total)
    total = min((size for size in reached if size), key=lambda size: abs(size - wanted))
    chosen: list[int] = []
    while total:
        index, total = reached[total]
        chosen.append(index)
    return chosen
