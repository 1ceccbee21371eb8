"""The few operations on files that a run's safety rests on, one method each, so that a test can fail any of them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from glossd.errors import GlossdError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """What a file holds: its size and the SHA-256 of its bytes."""

    bytes: int
    sha256: str


class Disk:
    """Writes so that what was reported as written survives the end of the process and of the machine."""

    def write(self, path: Path, content: bytes) -> Written:
        """A new file with this content, in place of one that is there."""
        with path.open("wb") as file:
            file.write(content)
        return Written(len(content), hashlib.sha256(content).hexdigest())

    def sync(self, path: Path) -> None:
        """Wait until a file's bytes are on the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in another's place, at once."""
        os.replace(source, target)

    def sync_directory(self, directory: Path) -> None:
        """Wait until names in a directory are on the disk."""
        self.sync(directory)

    def append(self, file: IO[bytes], line: bytes) -> None:
        """Add to an open file and wait until that is on the disk."""
        file.write(line)
        file.flush()
        os.fsync(file.fileno())

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens where there is none."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def place(self, path: Path, content: bytes) -> Written:
        """A file that is there whole or not at all: written beside, synced, renamed, its directory synced."""
        beside = path.with_name(path.name + ".tmp")
        written = self.write(beside, content)
        self.settle(beside, path)
        return written

    def settle(self, beside: Path, path: Path) -> None:
        """Give a file that was written beside its place its name, for good."""
        self.sync(beside)
        self.rename(beside, path)
        self.sync_directory(path.parent)


def read_written(path: Path) -> Written | None:
    """What a file holds now; None where there is none."""
    try:
        with path.open("rb") as file:
            return Written(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError:
        return None


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """A failure of the disk, said with the file's name and what to do."""
    try:
        yield
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise GlossdError(
            f"cannot write {what}: {problem}; what the journal has is safe, the same command goes on from there"
        ) from error
