"""Which files a corpus is made of, what kind each is, and one digest over all of them. Opens them; parses nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any, cast

from glossd.errors import InvalidInputError
from glossd.types import MimeType

STANDARD_INPUT = "-"
INPUT_FIELD = "document"  # an input that cannot be read is no misuse of the command


class FileKind(Enum):
    """How records stand in a file. TEXT is one article a file."""

    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


SUFFIXES = {
    ".txt": (FileKind.TEXT, MimeType.PLAIN),
    ".html": (FileKind.TEXT, MimeType.HTML),
    ".htm": (FileKind.TEXT, MimeType.HTML),
    ".xhtml": (FileKind.TEXT, MimeType.HTML),
    ".md": (FileKind.TEXT, MimeType.MARKDOWN),
    ".markdown": (FileKind.TEXT, MimeType.MARKDOWN),
    ".jsonl": (FileKind.JSONL, MimeType.PLAIN),
    ".ndjson": (FileKind.JSONL, MimeType.PLAIN),
    ".csv": (FileKind.CSV, MimeType.PLAIN),
    ".tsv": (FileKind.TSV, MimeType.PLAIN),
    ".parquet": (FileKind.PARQUET, MimeType.PLAIN),
}
COMPRESSIONS = (".gz", ".zst")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a corpus. ``name`` is its path as seen from the input; ``path`` None is standard input."""

    name: str
    path: Path | None
    kind: FileKind
    mime_type: MimeType = MimeType.PLAIN
    compression: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an input was: two inputs are the same if these are. ``sha256`` covers names and contents."""

    files: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The files of an input in the order they are read; ``left_out`` counts files of other kinds by suffix."""

    files: tuple[SourceFile, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def is_stream(self) -> bool:
        """Whether it can be read once only."""
        return any(file.path is None for file in self.files)

    def size(self) -> int:
        """Bytes of all files; 0 where that is not known."""
        return 0 if self.is_stream else sum(_size(file) for file in self.files)

    def fingerprint(self) -> Fingerprint | None:
        """Read every byte once; None for a stream. Raises ``InvalidInputError`` for a file that cannot be read."""
        if self.is_stream:
            return None
        total, size = hashlib.sha256(), 0
        for file in self.files:
            assert file.path is not None, "a stream has no fingerprint"
            try:
                with file.path.open("rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                    size += os.fstat(content.fileno()).st_size
            except OSError as error:
                raise InvalidInputError(INPUT_FIELD, f"cannot read {file.path}: {error.strerror}") from error
            total.update(f"{file.name}\0{digest}\n".encode("utf-8", "surrogateescape"))
        return Fingerprint(len(self.files), size, total.hexdigest())


def find_corpus(source: str, *, kind: FileKind | None = None, exclude: Sequence[Path] = ()) -> Corpus:
    """The files of a path: itself, or everything of a known kind below it, sorted by name, hidden files left out.

    ``kind`` overrides what suffixes say; standard input is JSONL without it. ``exclude`` are files and directories
    that are not input. Raises ``InvalidInputError`` where there is nothing to read.
    """
    if source == STANDARD_INPUT:
        if kind is FileKind.PARQUET:
            raise InvalidInputError(INPUT_FIELD, "Parquet is not read from standard input: its index stands at the end")
        return Corpus((SourceFile("-", None, kind or FileKind.JSONL),))
    root = Path(source)
    if not root.is_dir():
        if not root.exists():
            raise InvalidInputError(INPUT_FIELD, f"{source}: no such file or directory")
        file = describe(root, root.name, kind)
        if file is None:
            known = ", ".join(SUFFIXES)
            raise InvalidInputError(INPUT_FIELD, f"{source}: its kind is not known; name it with --format, or {known}")
        return Corpus((file,))
    excluded = {path.resolve() for path in exclude}
    files: list[SourceFile] = []
    left_out: Counter[str] = Counter()
    for path in _walk(root, excluded):
        file = describe(path, path.relative_to(root).as_posix(), kind)
        if file is None:
            left_out[path.suffix or "no suffix"] += 1
        else:
            files.append(file)
    if not files:
        raise InvalidInputError(INPUT_FIELD, f"{source}: no file of a known kind in it ({', '.join(SUFFIXES)})")
    return Corpus(tuple(sorted(files, key=lambda file: file.name)), tuple(left_out.most_common()))


def describe(path: Path, name: str, kind: FileKind | None) -> SourceFile | None:
    """What a file is by its suffixes, or what the caller says it is; None for a kind that is not known."""
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
    inner = path.with_suffix("") if compression else path
    known = SUFFIXES.get(inner.suffix.lower())
    if kind is None and known is None:
        return None
    found, mime_type = known or (FileKind.TEXT, MimeType.PLAIN)
    if compression and (kind or found) is FileKind.PARQUET:
        return None  # it compresses its own columns and is not read from front to back
    return SourceFile(name, path, kind or found, mime_type, compression)


def _walk(root: Path, excluded: set[Path]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = [each for each in folders if each[0] != "." and (here / each).resolve() not in excluded]
        for name in names:
            path = here / name
            if name[0] != "." and path.resolve() not in excluded and path.is_file():
                yield path


def _size(file: SourceFile) -> int:
    try:
        return file.path.stat().st_size if file.path else 0
    except OSError:
        return 0  # it is gone; reading it says so


@dataclass(slots=True)
class ReadCount:
    """How many bytes of the input, as they lie on the disk, have been read."""

    bytes: int = field(default=0)


class _Counted(io.RawIOBase):
    """A raw file that adds to a count what is read of it."""

    def __init__(self, raw: IO[bytes], count: ReadCount) -> None:
        self._raw = raw
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = getattr(self._raw, "readinto1", None) or self._raw.readinto  # type: ignore[attr-defined]
        got = int(read(buffer) or 0)
        self._count.bytes += got
        return got

    def close(self) -> None:
        if not self.closed and self._raw is not sys.stdin.buffer:
            self._raw.close()
        super().close()


def open_source(file: SourceFile, count: ReadCount) -> IO[bytes]:
    """The file's bytes, decompressed. Raises ``OSError``, and ``InvalidInputError`` without a library for it."""
    raw = sys.stdin.buffer if file.path is None else file.path.open("rb", buffering=0)
    counted = io.BufferedReader(_Counted(cast("IO[bytes]", raw), count), 1 << 18)
    if file.compression == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=counted))
    return _unzstd(counted) if file.compression == ".zst" else counted


def _unzstd(compressed: IO[bytes]) -> IO[bytes]:
    try:
        import pyarrow
    except ImportError as error:
        problem = "reading .zst files needs pyarrow: pip install 'glossd[parquet]'"
        raise InvalidInputError(INPUT_FIELD, problem) from error
    stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(compressed, mode="r"), "zstd")
    return cast("IO[bytes]", io.BufferedReader(stream, 1 << 18))
