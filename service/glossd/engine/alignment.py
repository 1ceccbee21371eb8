"""Alignments asked of an engine: waiting pairs, which the engine's own thread aligns a few at a time between steps."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import torch
from torch import Tensor

from glossd.errors import GlossdError, InvalidInputError
from glossd.models.alignment import AligningModel, look_at
from glossd.models.base import Seq2SeqModel
from glossd.types import Alignment, AlignmentRequest

MOST_AT_ONCE = 4
"""Pairs between two decode steps, so that those who wait for tokens hardly notice."""


class AlignmentQueue:
    """An :class:`glossd.engine.generator.Aligner`: pairs that wait for the engine's thread, which calls :meth:`run`.

    ``lock`` is the engine's and wakes its thread; ``refuse`` raises where the engine takes no more work.
    """

    def __init__(
        self, model: Seq2SeqModel, device: torch.device, lock: threading.Condition, refuse: Callable[[], None]
    ) -> None:
        self._model = model
        self._device = device
        self._lock = lock
        self._refuse = refuse
        self._waiting: deque[tuple[AlignmentRequest, Future[Alignment]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def possible(self) -> bool:
        """Whether the model can tell where it looked."""
        return isinstance(self._model, AligningModel)

    def align(self, request: AlignmentRequest) -> Future[Alignment]:
        """See :class:`glossd.engine.generator.Aligner`."""
        info = self._model.info
        for name, ids, limit in (
            ("source_ids", request.source_ids, info.window),
            ("token_ids", request.token_ids, info.max_target),
        ):
            if not ids or (limit and len(ids) > limit):
                raise InvalidInputError(name, f"{len(ids):,} tokens to align; 1 to {limit or 'any number'} can be")
        future: Future[Alignment] = Future()
        with self._lock:
            self._refuse()
            self._waiting.append((request, future))
            self._lock.notify()
        return future

    def run(self) -> None:
        """Align the oldest few; what fails for one pair is told to who waits for it."""
        for _ in range(min(MOST_AT_ONCE, len(self._waiting))):
            request, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._align(request))
            except RuntimeError as error:
                future.set_exception(error)

    def fail(self, error: GlossdError) -> None:
        """Nobody will align what still waits. Called once nothing more is taken, and without the lock."""
        while self._waiting:
            _, future = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _align(self, request: AlignmentRequest) -> Alignment:
        assert isinstance(self._model, AligningModel)
        tokens = (request.decoder_start_token_id, *request.token_ids[:-1])
        weights = self._model.cross_weights(self._row(request.source_ids), self._row(tokens))
        return Alignment(tuple(tuple(row) for row in look_at(weights).tolist()))

    def _row(self, ids: tuple[int, ...]) -> Tensor:
        return torch.tensor([ids], dtype=torch.int64, device=self._device)
