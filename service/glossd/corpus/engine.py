"""The seam between a corpus run and whatever does its work: what an engine promises, and the order of work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from glossd.corpus.records import Outcome, Record


class CorpusEngine(Protocol):
    """Makes outcomes of records. Used by one thread; ``close`` is called once, also after a failure."""

    def identity(self) -> Mapping[str, str]:
        """What rows depend on besides input and recipe: each model with its version, number format and so on.

        A run is only resumed by an engine with the same identity.
        """
        ...

    def run(self, records: Iterable[Record]) -> Iterator[Outcome]:
        """One outcome for every record, in any order, each as soon as it is done.

        ``records`` is pulled by the thread that iterates over the outcomes and no further than a bounded number are
        at work, so that memory does not grow with the input. A record's own fault is an outcome with a ``Failure``;
        what is not a record's fault (an engine that died, a model that is not there) is raised. Closing the iterator
        early cancels what is at work.
        """
        ...

    def occupancy(self) -> float | None:
        """The share of its rows that an engine's batch uses now, 0..1; None where that is not known. Any thread."""
        ...

    def close(self) -> None:
        """Let go of models, processes and connections."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """How far ahead records are read to put the longest first: whichever of the two is reached first."""

    records: int = 256
    characters: int = 16_000_000


def longest_first(records: Iterable[Record], window: Window) -> Iterator[Record]:
    """Records in blocks of one window, each from its longest to its shortest.

    Block follows block, so nothing waits for ever; work that ends together keeps a batch full to the end.
    """
    block: list[Record] = []
    characters = 0
    for record in records:
        block.append(record)
        characters += record.length
        if len(block) >= window.records or characters >= window.characters:
            yield from _by_length(block)
            block, characters = [], 0
    yield from _by_length(block)


def _by_length(block: list[Record]) -> Iterator[Record]:
    block.sort(key=lambda record: record.length)
    while block:
        yield block.pop()  # let go of what has been handed out
