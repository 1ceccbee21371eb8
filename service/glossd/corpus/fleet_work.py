"""The records that a fleet has at work: which of them wait, and who may take which. Belongs to one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from glossd.corpus.records import Record

SUSPECT_LOSSES = 2  # a record that was there when so many replicas were lost is sent alone from then on
MOST_LOSSES = 4


@dataclass(slots=True, eq=False)
class Work:
    """A record on its way. ``losses`` replicas were lost or gave it back while they had it, ``last`` the last one."""

    record: Record
    losses: int = 0
    last: str = ""

    @property
    def suspect(self) -> bool:
        """Whether it may be what the replicas are lost by: it is not sent beside others any more."""
        return self.losses >= SUSPECT_LOSSES


@dataclass(slots=True, eq=False)
class Intake:
    """What one open stream takes from the queue. ``at_work`` is what it has sent and has no answer for, by key."""

    name: str
    window: int
    open: bool = True
    resting: bool = False
    at_work: dict[str, Work] = field(default_factory=dict)

    def has_room_for(self, work: Work) -> bool:
        """Whether the stream may send it now."""
        if not self.open or self.resting or len(self.at_work) >= self.window:
            return False
        return not self.at_work if work.suspect else not any(each.suspect for each in self.at_work.values())


class WorkQueue:
    """Work that waits to be taken, first come first served, by whichever stream has room."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._intakes: set[Intake] = set()
        self._changed = asyncio.Event()

    def put(self, work: Work) -> None:
        """Something new."""
        self._waiting.append(work)
        self.wake()

    def put_back(self, work: Work) -> None:
        """Something that was taken and not answered goes first."""
        self._waiting.appendleft(work)
        self.wake()

    def open(self, intake: Intake) -> None:
        """From now on it takes part."""
        self._intakes.add(intake)
        self.wake()

    def close(self, intake: Intake) -> None:
        """It takes no more: ``take`` answers None."""
        intake.open = False
        self._intakes.discard(intake)
        self.wake()

    def wake(self) -> None:
        """Something has changed: work, room, or who is there."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def take(self, intake: Intake) -> Work | None:
        """The next work for a stream that has room for it, already noted as at work there; None when it is closed.

        A record goes back to the replica that it comes from only where no other stream is open.
        """
        while intake.open:
            changed = self._changed
            for number, work in enumerate(self._waiting):
                if intake.has_room_for(work) and (work.last != intake.name or self._is_alone(intake)):
                    del self._waiting[number]
                    intake.at_work[str(work.record.position)] = work
                    return work
            await changed.wait()
        return None

    def _is_alone(self, intake: Intake) -> bool:
        return all(each.name == intake.name for each in self._intakes)
