"""Summaries without a neural model: whole sentences of a document, as many as asked for. ``ranking`` weighs them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from glossd.errors import InvalidInputError
from glossd.text.document import Document, PartKind, Segment
from glossd.text.features import Candidate, Measures, measure
from glossd.text.ranking import Choice, Ranker, load_ranker
from glossd.text.target import is_unspaced
from glossd.types import SummaryOptions, Warning, WarningCode

_DEFAULT_SENTENCES = 3
_DEFAULT_WORDS = 60.0
_LEAST_ADDED_WORDS = 6.0
_SLACK = 0.15
_FILLERS = 200
_MOST_DROPPED = 3
_LEAST_CANDIDATES = 2
_ENDED = re.compile(r"[.!?\u2026。！？｡؟۔।:：;；][\"'”’»)\]）」』]{0,3}\Z")


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
    ranker: Ranker | None = None,
) -> ExtractiveSummary:
    """Chooses sentences of the body, each time the one that adds most by the estimate in ``ranking``.

    A sentence that does not stand alone ("He said ...", 然而 ..., a question) is chosen only beside the one before it,
    as long as others are left. ``sentences`` is met exactly while the document has so many. ``words`` and ``ratio`` (a
    share of the body's words) are met within 15 % where a choice of whole sentences can, else as closely as one can; a
    sentence is never cut. Chinese and Japanese count 1.7 characters as a word. Without a length: one to three sentences
    of at most 60 words together, as long as each adds enough. ``SUMMARY_NOT_SHORTER`` says that nothing is left out.

    Raises ``InvalidInputError`` for a length that is not positive, a ratio above 1, or more than one length.
    """
    _check(options, field)
    segments = sentences_of(document, options.sentences or 0)
    unspaced = is_unspaced(language_code)
    measures = measure(candidates_of(segments), title=document.title)
    chosen = choose(measures, options, ranker or load_ranker(), unspaced=unspaced)
    glue = "" if unspaced else " "
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


def sentences_of(document: Document, least: int = 0) -> list[Segment]:
    """Sentences of paragraphs and list items; every sentence of a document that has hardly any of those.

    Lines that do not end as sentences do (a link, a name) are left out where enough others are there: half of all,
    and ``least``.
    """
    kinds = (PartKind.PARAGRAPH, PartKind.LIST_ITEM)
    found = [segment for part, segments in document.body_parts() if part.kind in kinds for segment in segments]
    if len(found) < _LEAST_CANDIDATES:
        found = list(document.segments)
    ended = [segment for segment in found if _ENDED.search(segment.text[-4:])]
    return ended if len(ended) >= max(len(found) / 2, least, 1) else found


def candidates_of(segments: Sequence[Segment]) -> list[Candidate]:
    """The segments with their places in their paragraphs."""
    lengths = Counter(segment.part for segment in segments)
    seen: Counter[int] = Counter()
    candidates: list[Candidate] = []
    for place, segment in enumerate(segments):
        part = segment.part
        candidates.append(Candidate(segment.text, place, part, seen[part], lengths[part]))
        seen[part] += 1
    return candidates


def choose(measures: Measures, options: SummaryOptions, ranker: Ranker, *, unspaced: bool) -> list[int]:
    """The indices of the sentences that make the summary, in reading order."""
    model = ranker.model_for(unspaced=unspaced, titled=bool(measures.title))
    return sorted(_Chooser(measures, Choice(measures, model), ranker.least_gain).choose(options))


class _Chooser:
    """Takes sentences into a choice until the length asked for is there."""

    def __init__(self, measures: Measures, choice: Choice, least_gain: float) -> None:
        self._measures = measures
        self._choice = choice
        self._least_gain = least_gain
        self._total = len(measures.words)

    def choose(self, options: SummaryOptions) -> Iterable[int]:
        """The indices of the chosen sentences, in any order."""
        if options.sentences is not None:
            return self._exactly(min(options.sentences, self._total))
        if options.words is None and options.ratio is None:
            return self._default()
        whole = float(self._measures.words.sum())
        wanted = float(options.words) if options.words is not None else (options.ratio or 1.0) * whole
        return range(self._total) if wanted >= whole else self._within(wanted)

    def _default(self) -> list[int]:
        """The best sentence, and up to two more while they add enough and the whole stays short."""
        while len(self._choice.chosen) < _DEFAULT_SENTENCES:
            room = _DEFAULT_WORDS - self._choice.words if self._choice.chosen else np.inf
            least = self._least_gain if self._choice.chosen else -np.inf
            choosy = self._choice.chosen and self._total > _DEFAULT_SENTENCES
            shortest = _LEAST_ADDED_WORDS if choosy else 0.0
            best = self._best(room, least, allow_hanging=not self._choice.chosen, shortest=shortest)
            if best < 0:
                break
            self._choice.take(best)
        return self._choice.chosen

    def _exactly(self, number: int) -> list[int]:
        rest = iter(self._choice.rest)
        for _ in range(number):
            best = self._best(np.inf, -np.inf, allow_hanging=True) if len(self._choice.chosen) < _FILLERS else -1
            if best < 0:
                break
            self._choice.take(best)
        # past the weighed choices the first estimate decides: weighing all against all would take quadratic time
        chosen = self._choice.chosen
        taken = set(chosen)
        others = [int(index) for index in self._choice.pool if int(index) not in taken]
        return chosen + [*others, *rest][: number - len(chosen)]

    def _best(self, room: float, least: float, *, allow_hanging: bool, shortest: float = 0.0) -> int:
        """The sentence of ``shortest`` to ``room`` words that adds most, and ``least``; -1: none. Copies come last."""
        gains = self._choice.gains()
        words = self._measures.words[self._choice.pool]
        fits = (words >= shortest) & (words <= room) & (gains > least)
        hanging, copies = self._choice.hanging(), self._choice.copies()
        for allowed in (fits & ~hanging & ~copies, fits & ~copies & allow_hanging, fits & (least == -np.inf)):
            if allowed.any():
                return int(self._choice.pool[int(np.argmax(np.where(allowed, gains, -np.inf)))])
        return -1

    def _within(self, wanted: float) -> Iterable[int]:
        """A choice whose words are within 15 % of ``wanted``, by gain first, then by filling exactly."""
        while len(self._choice.chosen) < _FILLERS:
            best = self._best(wanted * (1.0 + _SLACK) - self._choice.words, -np.inf, allow_hanging=False)
            if best < 0:
                break
            self._choice.take(best)
            if self._choice.words >= wanted * (1.0 - _SLACK):
                return self._choice.chosen
        return self._filled(wanted)

    def _filled(self, wanted: float) -> list[int]:
        """The chosen sentences but the last few, filled up with others: first with none that leans on another."""
        chosen = self._choice.chosen
        closest: list[int] = []
        for hanging in (False, True):
            for dropped in (*range(min(_MOST_DROPPED, len(chosen)) + 1), len(chosen)):
                base = chosen[: len(chosen) - dropped]
                made = base + self._filling(wanted - self._words(base), base, hanging=hanging)
                if made and (not closest or self._miss(made, wanted) < self._miss(closest, wanted)):
                    closest = made
            if closest and self._miss(closest, wanted) <= _SLACK * wanted:
                break
        return closest

    def _filling(self, wanted: float, base: Sequence[int], *, hanging: bool) -> list[int]:
        """The set of well-ranked sentences whose words come closest to ``wanted`` (subset sums over whole words)."""
        order = self._fillers(set(base), hanging=hanging)
        sizes = {index: max(1, round(float(self._measures.words[index]))) for index in order}
        limit = round(2 * max(wanted, 0.0)) + min(sizes.values(), default=0)
        reached: dict[int, tuple[int, int]] = {0: (-1, 0)}
        for index in order:
            for total in sorted(reached):
                grown = total + sizes[index]
                if grown <= limit and grown not in reached:
                    reached[grown] = (index, total)
        total = min((size for size in reached if size or base), key=lambda size: abs(size - wanted), default=0)
        made: list[int] = []
        while total:
            index, total = reached[total]
            made.append(index)
        return made

    def _fillers(self, base: set[int], *, hanging: bool) -> list[int]:
        pool = [int(index) for index in self._choice.pool]
        gains = self._choice.gains()
        order = [pool[int(place)] for place in np.argsort(-gains, kind="stable")]
        order += self._choice.rest[:_FILLERS]
        free = (index for index in order if index not in base and (hanging or not self._measures.leaning[index]))
        return list(free)[:_FILLERS]

    def _words(self, indices: Sequence[int]) -> float:
        return float(self._measures.words[list(indices)].sum()) if indices else 0.0

    def _miss(self, indices: Sequence[int], wanted: float) -> float:
        return abs(self._words(indices) - wanted)
