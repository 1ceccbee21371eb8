"""The first station of a document's road: find its language, parse it, and say what was doubtful about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from glossd.languages import find_language, get_language
from glossd.telemetry.metrics import Metrics, Stage
from glossd.text.document import Document, parse
from glossd.types import DetectedLanguage, DocumentInput, Warning, WarningCode

LEAST_CONFIDENCE = 0.6
MISMATCH_CONFIDENCE = 0.95
SAMPLE_CHARACTERS = 4000
LANGUAGE_FIELD = "document.language_code"


@dataclass(frozen=True, slots=True)
class Reading:
    """A parsed document, its language (confidence 1.0 where the caller named it) and what to know about both."""

    document: Document
    language: DetectedLanguage
    warnings: tuple[Warning, ...]


class Detector(Protocol):
    """Tells the language of a text. Thread-safe."""

    def detect(self, text: str) -> DetectedLanguage:
        """Code of the language table and confidence in 0..1; "und" when it cannot be told."""
        ...


class Reader:
    """Reads documents in threads; ``detector`` is shared by all."""

    def __init__(self, detector: Detector, metrics: Metrics | None = None) -> None:
        self._detector = detector
        self._metrics = metrics or Metrics()

    async def read(self, source: DocumentInput) -> Reading:
        """Parse ``source``. Raises ``InvalidInputError`` where there is nothing to read."""
        with self._metrics.stage(Stage.PARSE):
            return await asyncio.to_thread(self.read_now, source)

    def read_now(self, source: DocumentInput) -> Reading:
        """As :meth:`read`, in this thread."""
        if source.language_code:
            code = get_language(source.language_code, field=LANGUAGE_FIELD).code
            document = parse(source, language_code=code)
            detected = self._detect(document)
            return Reading(document, DetectedLanguage(code, 1.0), document.warnings + _mismatch(code, detected))
        document = parse(source)
        detected = self._detect(document)
        known = find_language(detected.language_code)
        if known is not None and known.code != "en":
            document = parse(source, language_code=known.code)
        if known is not None:
            detected = replace(detected, language_code=known.code)
        return Reading(document, detected, document.warnings + _doubt(detected))

    def language_of(self, text: str) -> DetectedLanguage:
        """The language of a piece of a document, in this thread."""
        return self._detector.detect(text)

    def _detect(self, document: Document) -> DetectedLanguage:
        sample: list[str] = []
        length = 0
        for segment in document.segments:
            sample.append(segment.text)
            length += len(segment.text)
            if length >= SAMPLE_CHARACTERS:
                break
        return self._detector.detect("\n".join(sample)[:SAMPLE_CHARACTERS])


def _doubt(detected: DetectedLanguage) -> tuple[Warning, ...]:
    if detected.confidence >= LEAST_CONFIDENCE:
        return ()
    message = f"taken for {detected.language_code} with confidence {detected.confidence:.2f}"
    return (Warning(WarningCode.LOW_LANGUAGE_CONFIDENCE, message),)


def _mismatch(code: str, detected: DetectedLanguage) -> tuple[Warning, ...]:
    known = find_language(detected.language_code)
    if known is None or known.code == code or detected.confidence < MISMATCH_CONFIDENCE:
        return ()
    message = f"sent as {code}, looks like {known.code} with confidence {detected.confidence:.2f}"
    return (Warning(WarningCode.LANGUAGE_MISMATCH, message),)
