"""The seam that tasks see: submit a segment, get a future. The engine implements it, and so does a toy in the tests."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from glossd.types import Alignment, AlignmentRequest, Generation, GenerationRequest


class Generator(Protocol):
    """Turns token ids into token ids. Thread-safe, and holds no lock while it answers a future."""

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """Queue one segment. Cancelling the future frees its rows within one decode step.

        The future raises ``EngineDeadError`` when the engine dies, ``DeadlineError`` when ``deadline_ns`` passes and
        ``OverloadedError`` at once when the queue is full.
        """
        ...

    def close(self) -> None:
        """Finish what is queued, then stop. Idempotent."""
        ...


class Aligner(Protocol):
    """What some generators can also do: tell which source tokens each target token came from. Thread-safe."""

    def align(self, request: AlignmentRequest) -> Future[Alignment]:
        """Queue one pair. Raises ``InvalidInputError`` for tokens that the model cannot read, and what a dead or
        closing generator raises; so does the future.
        """
        ...
