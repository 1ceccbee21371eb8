"""From a sentence to what a model is given: the forms it can take, each a row of pieces, and the settings of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glossd.tasks.params import UNLIMITED_WINDOW, bound_by_source, resolve_params
from glossd.tasks.served import ServedModel
from glossd.text.document import Segment
from glossd.text.elements import take_apart_markup
from glossd.text.guard import GuardKind, has_words
from glossd.text.normalize import normalize_source
from glossd.text.placeholders import PLACEHOLDERS, numbers_in, without_placeholders
from glossd.text.segment import split_clauses, split_long
from glossd.text.sentence import Sentence, take_apart
from glossd.text.terms import Term, TermFinder
from glossd.types import DecodeOptions, GenerationParams, RequestOptions, Warning, WarningCode

MOST_CHARACTERS_PER_TOKEN = 16
SHORTEST_CLAUSE_TOKENS = 8

_PLACEHOLDER_OR_TEXT = re.compile(r"⟦\d⟧|[^⟦]+|⟦")


@dataclass(frozen=True, slots=True)
class Direction:
    """From one language to another, as codes of the language table."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One sequence: what is sent and its token ids with special tokens; no ids for what is not sent but kept."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to translate a sentence. ``masked`` says that placeholders stand in it for guarded spans."""

    pieces: tuple[Piece, ...]
    masked: bool = False

    @property
    def placeholders(self) -> tuple[int, ...]:
        """Numbers of the placeholders in it, in order."""
        return tuple(number for piece in self.pieces for number in numbers_in(piece.text)) if self.masked else ()


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What to do with a segment; no form means that it is handed through as it is.

    ``text`` is the sentence in plain words; ``inners`` are the words of links and emphasis, to be translated on their
    own, each once.
    """

    segment: Segment
    sentence: Sentence
    text: str
    form: Form | None
    inners: tuple[Piece, ...] = ()
    warnings: tuple[Warning, ...] = ()

    @property
    def tokens(self) -> int:
        """Source tokens of all pieces."""
        pieces = (*(self.form.pieces if self.form else ()), *self.inners)
        return sum(len(piece.ids) for piece in pieces)


@dataclass(frozen=True, slots=True)
class MarkTokens:
    """The source tokens of each mark of a form, and all that are not special."""

    marks: tuple[range, ...]
    content: range


class Planner:
    """Plans the segments of one request for one model. Computes: call it in a thread. Immutable."""

    def __init__(
        self, model: ServedModel, direction: Direction, options: RequestOptions, *, markdown: bool = False
    ) -> None:
        self._model = model
        self._direction = direction
        self._markdown = markdown
        terms = [Term(entry.source, entry.target, entry.ignore_case) for entry in options.glossary]
        self._finder = TermFinder([*terms, *(Term(term, term) for term in options.do_not_translate)])
        self._placeholder_ids = placeholder_ids(model, direction)

    def plan(self, segment: Segment) -> SegmentPlan:
        """Guard, normalise, encode, and split where the window asks for it."""
        sentence = self._take_apart(segment)
        text = self._normal(sentence.plain)
        masked = bool(sentence.guards) and bool(self._placeholder_ids)
        sent = self._normal(sentence.masked) if masked else text
        if not has_words(without_placeholders(self._normal(sentence.masked))):
            literal = Form((Piece(self._normal(sentence.masked), ()),), masked=True)
            changes = any(guard.translates or guard.kind is GuardKind.TERM for guard in sentence.guards)
            inners = self._inners(sentence) if changes else ()
            return SegmentPlan(segment, sentence, text, literal if changes else None, inners)
        pieces, warnings = self._fitting(sent, segment)
        return SegmentPlan(segment, sentence, text, Form(pieces, masked), self._inners(sentence), warnings)

    def with_figures(self, plan: SegmentPlan) -> SegmentPlan | None:
        """The same segment with its figures guarded too; None where that changes nothing."""
        if not self._placeholder_ids or plan.form is None:
            return None
        sentence = self._take_apart(plan.segment, figures=True)
        sent = self._normal(sentence.masked)
        if len(sentence.guards) == len(plan.sentence.guards) or not has_words(without_placeholders(sent)):
            return None
        pieces, _ = self._fitting(sent, plan.segment)
        return replace(plan, sentence=sentence, form=Form(pieces, masked=True))

    def mark_tokens(self, sentence: Sentence, form: Form) -> MarkTokens:
        """Which source tokens the marks of a sentence stand around, where the form is one piece.

        Tokens of a text up to a place are those that it shares with the text up to there alone.
        """
        (piece,) = form.pieces
        ids, bare = piece.ids, self.piece("").ids
        whole = sentence.masked if form.masked else sentence.plain
        first = _shared(ids, bare)

        def tokens_before(place: int) -> int:
            return max(first, _shared(ids, self.piece(self._normal(whole[:place])).ids))

        marks = sentence.marks if form.masked else (*sentence.marks, *sentence.links)
        spans = [mark.masked if form.masked else mark.plain for mark in marks]
        ranges = tuple(range(tokens_before(span.start), tokens_before(span.end)) for span in spans)
        return MarkTokens(ranges, range(first, len(ids) - (len(bare) - first)))

    def plain_form(self, plan: SegmentPlan) -> Form:
        """The sentence as it stands, without placeholders."""
        return Form(self._fitting(plan.text, plan.segment)[0])

    def form_around_terms(self, plan: SegmentPlan) -> Form:
        """The sentence cut at its guarded spans, which stay in their order."""
        pieces: list[Piece] = []
        for part in _PLACEHOLDER_OR_TEXT.findall(self._normal(plan.sentence.masked)):
            if has_words(without_placeholders(part)):
                pieces += self._fitting(part.strip(), plan.segment)[0]
            elif part.strip():
                pieces.append(Piece(part.strip(), ()))
        return Form(tuple(pieces), masked=True)

    def form_in_clauses(self, plan: SegmentPlan, form: Form) -> Form | None:
        """The pieces of ``form`` cut at clause marks, or None where there is nothing to cut at."""
        pieces: list[Piece] = []
        for piece in form.pieces:
            count, least = self._model.tokenizer.count, SHORTEST_CLAUSE_TOKENS
            parts = split_clauses(piece.text, count=count, least=least) if piece.ids else []
            pieces += [self.piece(part.strip()) for part in parts if part.strip()] or [piece]
        return Form(tuple(pieces), form.masked) if len(pieces) > len(form.pieces) else None

    def params_for(self, piece: Piece, params: GenerationParams, options: DecodeOptions) -> GenerationParams:
        """Settings of one piece: bounded by its length; placeholders once, and only those that stand in it."""
        if options.max_new_tokens is None:
            params = bound_by_source(params, source_tokens=len(piece.ids))
        if not self._placeholder_ids:
            return params
        used = set(numbers_in(piece.text))
        once = tuple(token for number, token in enumerate(self._placeholder_ids) if number in used)
        never = tuple(token for number, token in enumerate(self._placeholder_ids) if number not in used)
        return replace(params, once=once, suppressed=tuple(sorted({*params.suppressed, *never})))

    def piece(self, text: str) -> Piece:
        """Token ids of ``text``."""
        direction = self._direction
        ids = self._model.tokenizer.encode(text, source_language=direction.source, target_language=direction.target)
        return Piece(text, ids)

    def decoded(self, ids: Sequence[int]) -> str:
        """The text of generated ids."""
        return self._model.tokenizer.decode(ids)

    def params(self, options: DecodeOptions) -> GenerationParams:
        """What the caller set, else the model's own."""
        return resolve_params(options, self._model, target=self._direction.target)

    def _take_apart(self, segment: Segment, *, figures: bool = False) -> Sentence:
        if segment.markup:
            return take_apart_markup(segment, self._finder, figures=figures)
        return take_apart(segment.text, self._finder, markdown=self._markdown, figures=figures)

    def _normal(self, text: str) -> str:
        return normalize_source(text, self._direction.source)

    def _inners(self, sentence: Sentence) -> tuple[Piece, ...]:
        pieces = []
        for inner in sentence.inners:
            term = self._finder.exactly(inner)
            piece = self.piece(self._normal(inner))
            if term is not None or not has_words(inner) or 0 < self._model.window < len(piece.ids):
                piece = Piece(term.target if term else inner, ())
            pieces.append(piece)
        return tuple(pieces)

    def _fitting(self, text: str, segment: Segment) -> tuple[tuple[Piece, ...], tuple[Warning, ...]]:
        """``text`` as one piece, or as several where it exceeds the window."""
        window = self._model.window or UNLIMITED_WINDOW
        # A sentence that is far too long is not encoded whole: tokenizers take quadratic time on an endless word.
        if len(text) <= MOST_CHARACTERS_PER_TOKEN * window:
            piece = self.piece(text)
            if len(piece.ids) <= window:
                return (piece,), ()
        parts = [part.strip() for part in split_long(text, count=self._model.tokenizer.count, limit=window)]
        pieces = tuple(self.piece(part) for part in parts if part)
        tokens = sum(len(piece.ids) for piece in pieces)
        message = f"{tokens:,} tokens in one sentence; the window is {window:,}: split in {len(pieces):,}"
        return pieces, (Warning(WarningCode.SEGMENT_SPLIT, message, segment.source),)


def placeholder_ids(model: ServedModel, direction: Direction) -> tuple[int, ...]:
    """The one token of each placeholder; () for a model whose vocabulary does not have every one as a whole piece."""
    encoded: Sequence[frozenset[int]] = [
        frozenset(model.tokenizer.encode(text, source_language=direction.source, target_language=direction.target))
        for text in PLACEHOLDERS
    ]
    common = frozenset.intersection(*encoded)
    found: list[int] = []
    for placeholder, ids in zip(PLACEHOLDERS, encoded, strict=True):
        own = tuple(ids - common)
        if len(own) != 1 or own[0] >= model.info.vocabulary or model.tokenizer.decode(own).strip() != placeholder:
            return ()
        found.append(own[0])
    return tuple(found)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two rows begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
