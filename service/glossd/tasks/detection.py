"""The language detector of a hub: it knows which languages are served now, and leans towards them in doubt."""

from __future__ import annotations

import threading

from glossd.tasks.hub import Hub
from glossd.text.detect import LanguageDetector
from glossd.types import DetectedLanguage


class HubDetector:
    """Detects languages; built anew when other languages are served. Thread-safe."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._codes: frozenset[str] = frozenset()
        self._detector: LanguageDetector | None = None

    def detect(self, text: str) -> DetectedLanguage:
        """Code of the language table and confidence in 0..1; "und" when it cannot be told."""
        return self._current().detect(text)

    def _current(self) -> LanguageDetector:
        codes = frozenset(code for model in self._hub.served() for code in model.source_language_codes)
        with self._lock:
            if self._detector is None or codes != self._codes:
                self._codes, self._detector = codes, LanguageDetector(sorted(codes))
            return self._detector
