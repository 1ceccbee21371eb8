"""One segment's life in the engine: the only per-segment state. No tensors."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from enum import Enum

from glossd.decoding.rulebook import Part
from glossd.errors import DeadlineError
from glossd.types import Generation, GenerationRequest


class Status(Enum):
    """Where a sequence is."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(eq=False, slots=True)
class Sequence:
    """A request and everybody who waits for it: identical requests in flight share one sequence.

    ``rows`` and ``source`` are its places in the running batch, ``age`` its tokens with the start token, ``rules`` what
    its parameters ask of scores. Times are ``time.monotonic_ns``.
    """

    request: GenerationRequest
    arrival_ns: int
    waiters: list[Future[Generation]] = field(default_factory=list)
    status: Status = Status.WAITING
    admitted_ns: int = 0
    encoded_ns: int = 0
    rows: list[int] = field(default_factory=list)
    source: int = -1
    age: int = 0
    rules: tuple[Part, ...] = ()

    @property
    def length(self) -> int:
        """Source tokens."""
        return len(self.request.source_ids)

    @property
    def beams(self) -> int:
        """Rows it needs."""
        return self.request.params.num_beams

    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return all(waiter.cancelled() for waiter in self.waiters)

    def is_expired(self, now_ns: int) -> bool:
        """Whether its deadline has passed."""
        deadline = self.request.deadline_ns
        return deadline is not None and now_ns >= deadline

    def is_unwanted(self, now_ns: int) -> bool:
        """Whether running it further would be work for nobody."""
        return self.is_cancelled() or self.is_expired(now_ns)

    def resolve(self, generation: Generation) -> None:
        """Give the result to all who still wait."""
        self.status = Status.FINISHED
        for waiter in self.waiters:
            try:
                waiter.set_result(generation)
            except InvalidStateError:
                continue  # cancelled in the meantime: nobody waits on this one

    def fail(self, error: BaseException) -> None:
        """Give the error to all who still wait."""
        self.status = Status.FINISHED
        for waiter in self.waiters:
            try:
                waiter.set_exception(error)
            except InvalidStateError:
                continue  # cancelled in the meantime: nobody waits on this one


def tell_late(sequences: Iterable[Sequence]) -> None:
    """Tell those who wait for these that their deadline has passed.

    Never with a lock of the engine held: what a future's callback waits for may be held by a thread that waits for it.
    """
    for sequence in sequences:
        sequence.fail(DeadlineError("the deadline passed before the segment was decoded"))
