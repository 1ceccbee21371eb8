"""Tokenized epochs on disk: flat arrays with offsets, written in one piece so that a reader never sees half a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

UNALIGNED = 255


@dataclass(frozen=True, slots=True)
class Epoch:
    """Token ids of many pairs. Pair i is source[source_offsets[i]:source_offsets[i + 1]] and the same for the target;
    `alignment` holds, per target piece, the position of its source piece or UNALIGNED.
    """

    source: npt.NDArray[np.uint16]
    source_offsets: npt.NDArray[np.int64]
    target: npt.NDArray[np.uint16]
    target_offsets: npt.NDArray[np.int64]
    alignment: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.source_offsets) - 1

    @classmethod
    def pack(
        cls,
        sources: list[npt.NDArray[np.uint16]],
        targets: list[npt.NDArray[np.uint16]],
        alignments: list[npt.NDArray[np.uint8]],
    ) -> Epoch:
        """Lay rows end to end."""
        return cls(
            np.concatenate(sources),
            _offsets(sources),
            np.concatenate(targets),
            _offsets(targets),
            np.concatenate(alignments),
        )


def _offsets(rows: list[npt.NDArray[np.uint16]]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum([len(row) for row in rows], dtype=np.int64)])


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write through a temporary file in the same folder, flush to disk, rename: the path is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_epoch(path: Path, epoch: Epoch) -> None:
    """Write one epoch file."""
    write_atomically(
        path,
        lambda file: np.savez(
            file,
            source=epoch.source,
            source_offsets=epoch.source_offsets,
            target=epoch.target,
            target_offsets=epoch.target_offsets,
            alignment=epoch.alignment,
        ),
    )


def read_epoch(path: Path) -> Epoch:
    """Read one epoch file."""
    with np.load(path) as arrays:
        return Epoch(**{name: arrays[name] for name in Epoch.__dataclass_fields__})
