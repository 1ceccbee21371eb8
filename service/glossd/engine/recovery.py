"""What an engine does about a model call that failed: who is tried again, how many at once, and who is to blame.

Nothing here touches a tensor; the engine makes a new runner, which holds nothing of the failed call.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterable

import torch

from glossd.engine.sequence import Sequence, Status
from glossd.errors import GlossdError, ModelFaultError, ModelMemoryError

FAILURES_IN_A_ROW = 8
"""So many sequences failed one after the other, none answered between them: the model itself is in doubt."""

FAULT_PATIENCE, MEMORY_PATIENCE, LONGEST_PATIENCE = 16, 256, 16_384
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a model call failed for want of memory, on a CPU or a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS)


def is_fatal(error: BaseException) -> bool:
    """Whether no further model call can succeed in this process, as after a device-side assertion on a GPU."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")


def frames_of(error: BaseException) -> list[str]:
    """Where it happened, for the log. Its message is left out, since it might quote what a user sent."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


class Recovery:
    """Narrows a failed batch down to the one sequence that fails alone. Belongs to the engine's thread.

    Everybody in a failed batch is tried again from the start, half as many rows at once, until one fails alone: it
    gets the error, the others get their answers. After a want of memory the row limit comes back slowly, an eighth of
    the rows after ``MEMORY_PATIENCE`` good steps, and after twice as many each time that it happens again.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._again: deque[Sequence] = deque()
        self._suspects: set[Sequence] = set()
        self._limit_before = rows
        self._good_steps = 0
        self._patience = FAULT_PATIENCE
        self._memory_patience = MEMORY_PATIENCE
        self.row_limit = rows
        self.failed_calls = self.memory_failures = self.failures_in_a_row = 0

    def __len__(self) -> int:
        """Sequences that wait to be tried again."""
        return len(self._again)

    @property
    def tokens(self) -> int:
        """Their source tokens."""
        return sum(sequence.length for sequence in list(self._again))

    @property
    def failing(self) -> bool:
        """Whether the model itself is in doubt."""
        return self.failures_in_a_row >= FAILURES_IN_A_ROW

    def free_rows(self, free: int, live: int) -> int:
        """How many of ``free`` rows new sequences may have beside ``live`` ones; none while others are tried again."""
        return 0 if self._again else max(0, min(free, self.row_limit - live))

    def take(self, *, live: int, free: int) -> list[Sequence]:
        """Who is tried again now: as many as the row limit lets in, at least one where nothing is live."""
        taken: list[Sequence] = []
        rows = min(free, self.row_limit - live)
        while self._again and (self._again[0].beams <= rows or not (taken or live)):
            sequence = self._again.popleft()
            rows -= sequence.beams
            taken.append(sequence)
        return taken

    def remove(self, unwanted: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out those for whom nobody waits any more."""
        gone = [sequence for sequence in self._again if unwanted(sequence)]
        for sequence in gone:
            self._again.remove(sequence)
        return gone

    def failed(self, batch: Iterable[Sequence], error: BaseException) -> tuple[Sequence, GlossdError] | None:
        """A model call failed with ``batch`` on the rows: the one to blame and its error, if it was there alone."""
        sequences, memory = list(batch), is_out_of_memory(error)
        self.failed_calls += 1
        self.memory_failures += memory
        self._good_steps = 0
        if not self._suspects:
            self._limit_before = self.row_limit
            self._patience = self._memory_patience if memory else FAULT_PATIENCE
            self._memory_patience = min(LONGEST_PATIENCE, self._memory_patience * (2 if memory else 1))
        if len(sequences) == 1:
            self.row_limit = self._limit_before
            self.left(sequences[0])
            self.failures_in_a_row += 1
            return sequences[0], _blame(sequences[0], memory, error)
        self.row_limit = max(1, sum(sequence.beams for sequence in sequences) // 2)
        for sequence in sequences:
            sequence.status, sequence.rows, sequence.source = Status.WAITING, [], -1
        self._suspects.update(sequences)
        self._again.extendleft(reversed(sequences))
        return None

    def step_done(self) -> None:
        """A step went well; enough of them bring rows back, once nobody is under suspicion."""
        if self.row_limit == self._rows or self._suspects:
            return
        self._good_steps += 1
        if self._good_steps >= self._patience:
            self._good_steps = 0
            self.row_limit = min(self._rows, self.row_limit + max(1, self._rows // 8))

    def left(self, sequence: Sequence) -> None:
        """A sequence was answered, failed or was given up."""
        self._suspects.discard(sequence)


def _blame(sequence: Sequence, memory: bool, cause: BaseException) -> GlossdError:
    if isinstance(cause, ModelFaultError):
        return cause  # it says itself what is wrong, and quotes no text
    need = f"{sequence.length:,} source tokens with {sequence.beams} beams"
    error = (
        ModelMemoryError(f"not enough memory for {need}")
        if memory
        else ModelFaultError(f"a model call failed on {need}")
    )
    error.__cause__ = cause
    return error
