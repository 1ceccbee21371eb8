"""From a document to the sequences a model is given: one per segment, more where a segment exceeds the window."""

from __future__ import annotations

import re
from dataclasses import dataclass

from glossd.tasks.served import ServedModel
from glossd.text.document import Document, Segment
from glossd.text.normalize import normalize_source
from glossd.text.segment import split_long
from glossd.types import Warning, WarningCode

_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+")


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
    piece = encode_piece(text, model, direction)
    if model.window == 0 or len(piece.ids) <= model.window:
        return SegmentPlan(segment, text, (piece,))
    parts = split_long(text, count=model.tokenizer.count, limit=model.window)
    message = f"{len(piece.ids)} tokens in one sentence; the window is {model.window}: split in {len(parts)}"
    stripped = (part.strip() for part in parts)
    return SegmentPlan(
        segment,
        text,
        tuple(encode_piece(part, model, direction) for part in stripped if part),
        (Warning(WarningCode.SEGMENT_SPLIT, message, segment.source),),
    )


def encode_piece(text: str, model: ServedModel, direction: Direction) -> Piece:
    """Token ids of ``text`` for ``model``."""
    ids = model.tokenizer.encode(text, source_language=direction.source, target_language=direction.target)
    return Piece(text, ids)


def addresses(text: str) -> list[str]:
    """Web and mail addresses in ``text``, without the mark that ends their sentence."""
    return [match.rstrip(".,;:!?)") for match in _ADDRESS.findall(text)]


def has_words(text: str) -> bool:
    """Whether anything in ``text`` needs translating: a letter outside web and mail addresses."""
    return any(character.isalpha() for character in _ADDRESS.sub("", text))
