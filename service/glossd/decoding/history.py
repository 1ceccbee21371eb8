"""What every row of the running batch holds so far, and who of them goes on from whom. No model, no search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from glossd.transfer import send


class Lineage(Protocol):
    """The cache's side of a row that goes on from another.

    ``ancestors`` (rows, reach) int32 says which row holds each position that a row sees; it has no rows where the
    cache copies keys and values instead.
    """

    @property
    def ancestors(self) -> Tensor:
        """Written in place by a search that knows it."""
        ...

    def follow_rows(self, origins: Tensor, targets: Tensor, *, time: int) -> None:
        """Rows ``targets`` (N,) go on from what rows ``origins`` (N,) saw in their first ``time`` positions."""
        ...


class History:
    """``tokens`` (R, T) int64 of every row, start token first, of which the first ``lengths`` (R,) count.

    No row holds more than ``longest`` of them, which the host knows without asking the device.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.tokens = torch.zeros(rows, 0, dtype=torch.int64, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.int64, device=device)
        self.longest = 0

    def begin(self, rows: Sequence[int], starts: Sequence[int], *, room: int) -> None:
        """Rows hold a start token each, and have room for ``room`` tokens."""
        if self.tokens.shape[1] < room:
            missing = max(room, 2 * self.tokens.shape[1]) - self.tokens.shape[1]
            self.tokens = functional.pad(self.tokens, (0, missing))
        index, firsts = send([rows, starts], device=self.tokens.device)
        self.tokens[index, 0] = firsts
        self.lengths[index] = 1

    def last(self, live: int) -> tuple[Tensor, Tensor]:
        """Of the first ``live`` rows the last token and its position, both (live,)."""
        positions = self.lengths[:live] - 1
        return self.tokens[:live].gather(1, positions[:, None])[:, 0], positions

    def seen(self, live: int) -> tuple[Tensor, Tensor]:
        """Of the first ``live`` rows the tokens (live, longest) and how many count (live,)."""
        return self.tokens[:live, : self.longest], self.lengths[:live]

    def grow(self, live: int) -> None:
        """The token that was written behind each of the first ``live`` rows counts from now on."""
        self.lengths[:live] += 1

    def move(self, origins: Tensor, targets: Tensor) -> None:
        """Rows ``origins`` (N,) are rows ``targets`` (N,) from now on."""
        self.tokens[targets] = self.tokens[origins]
        self.lengths[targets] = self.lengths[origins]
