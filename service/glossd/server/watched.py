"""Files that are read again when they have changed: certificates and tokens are renewed while the server runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from glossd.errors import InvalidInputError

_log = logging.getLogger(__name__)

Content = TypeVar("Content")
_Signature = tuple[tuple[int, int, int], ...]


class Watched(Generic[Content]):
    """What ``read`` makes of ``files``. A change that cannot be read is logged once; what was read before stands.

    Thread-safe. ``read`` raises ``InvalidInputError``, which the first reading passes on.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], Content]) -> None:
        self._what = what
        self._files = tuple(files)
        self._read = read
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._content = read()

    def current(self) -> tuple[Content, bool]:
        """The content, and whether it has changed since the last time it was asked for."""
        with self._lock:
            signature = self._signature()
            if signature == self._seen:
                return self._content, False
            self._seen = signature
            try:
                content = self._read()
            except InvalidInputError as error:
                _log.error("cannot renew %s; the last ones stand", self._what, extra={"reason": str(error)})
                return self._content, False
            if self._signature() != signature:  # changed while it was read: once more next time
                self._seen = ()
                return self._content, False
            self._content = content
            _log.info("renewed %s", self._what)
            return content, True

    def _signature(self) -> _Signature:
        """What changes when a file does, also when a link is pointed elsewhere."""
        signature = []
        for file in self._files:
            try:
                state = os.stat(file)
                signature.append((state.st_mtime_ns, state.st_size, state.st_ino))
            except OSError:
                signature.append((0, 0, 0))
        return tuple(signature)
