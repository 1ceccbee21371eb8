"""From a document to the sequences a model is given: one per segment, more where a segment exceeds the window."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from glossd.tasks.params import UNLIMITED_WINDOW
from glossd.tasks.served import ServedModel
from glossd.text.document import Document, Segment
from glossd.text.normalize import normalize_source
from glossd.text.segment import split_long
from glossd.types import Warning, WarningCode

MOST_CHARACTERS_PER_TOKEN = 16
MOST_ADDRESSES = 20

# Bounded repeats: an endless word must not cost quadratic time.
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")


@dataclass(frozen=True, slots=True)
class Direction:
    """From one language to another, as codes of the language table."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One sequence: what is sent and its token ids with special tokens."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What to do with a segment; no pieces means that it is handed through as it is."""

    segment: Segment
    text: str
    pieces: tuple[Piece, ...]
    warnings: tuple[Warning, ...] = ()

    @property
    def tokens(self) -> int:
        """Source tokens of all pieces."""
        return sum(len(piece.ids) for piece in self.pieces)


def plan_segments(document: Document, model: ServedModel, direction: Direction) -> tuple[SegmentPlan, ...]:
    """A plan for every segment of the document, in order. Computes: call it in a thread."""
    return tuple(plan_segment(segment, model, direction) for segment in document.segments)


def plan_segment(segment: Segment, model: ServedModel, direction: Direction) -> SegmentPlan:
    """Normalise, encode, and split where the window asks for it."""
    text = normalize_source(segment.text, direction.source)
    if not has_words(text):
        return SegmentPlan(segment, text, ())
    window = model.window or UNLIMITED_WINDOW
    # A sentence that is far too long is not encoded whole: tokenizers take quadratic time on an endless word.
    if len(text) <= MOST_CHARACTERS_PER_TOKEN * window:
        piece = encode_piece(text, model, direction)
        if len(piece.ids) <= window:
            return SegmentPlan(segment, text, (piece,))
    return _split(segment, text, model, direction)


def _split(segment: Segment, text: str, model: ServedModel, direction: Direction) -> SegmentPlan:
    window = model.window or UNLIMITED_WINDOW
    parts = [part.strip() for part in split_long(text, count=model.tokenizer.count, limit=window)]
    pieces = tuple(encode_piece(part, model, direction) for part in parts if part)
    tokens = sum(len(piece.ids) for piece in pieces)
    message = f"{tokens:,} tokens in one sentence; the window is {window:,}: split in {len(pieces):,}"
    return SegmentPlan(segment, text, pieces, (Warning(WarningCode.SEGMENT_SPLIT, message, segment.source),))


def encode_piece(text: str, model: ServedModel, direction: Direction) -> Piece:
    """Token ids of ``text`` for ``model``."""
    ids = model.tokenizer.encode(text, source_language=direction.source, target_language=direction.target)
    return Piece(text, ids)


def addresses(text: str) -> list[str]:
    """The first few web and mail addresses in ``text``, each once, without the mark that ends their sentence."""
    found = (match.group().rstrip(".,;:!?)") for match in _ADDRESS.finditer(text))
    return list(dict.fromkeys(islice(found, MOST_ADDRESSES)))


def has_words(text: str) -> bool:
    """Whether anything in ``text`` needs translating: a letter outside web and mail addresses."""
    return any(character.isalpha() for character in _ADDRESS.sub("", text))
