"""The tensors of safetensors files as views of the mapped files, whose memory goes as each tensor goes.

The libraries keep a file mapped, with all that was ever read of it, for as long as one of its tensors lives; here the
pages of a tensor count for this process only while that tensor does. Reads files that were verified; checks nothing.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from glossd.models.safetensors_header import StoredTensor, read_safetensors

_DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F32": torch.float32,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_PIECE_BYTES = 1 << 24
_mappings: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()
"""What is mapped now, by the address of its first byte."""


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A safetensors file. Its tensors are to be read, never written to: what was written would come and go."""

    tensors: tuple[StoredTensor, ...]
    mapping: mmap.mmap

    @classmethod
    def open(cls, file: Path) -> MappedFile:
        """Map ``file``; the mapping ends with the last of the tensors."""
        with file.open("rb") as stream:
            mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        _mappings[torch.frombuffer(mapping, dtype=torch.uint8).data_ptr()] = mapping
        return cls(read_safetensors(file), mapping)

    def tensor(self, stored: StoredTensor) -> Tensor:
        """One tensor as it is stored; nothing of it is read yet."""
        return self._view(_DTYPES[stored.dtype], stored.begin, stored.end).view(stored.shape)

    def pieces(self, stored: StoredTensor) -> Iterator[Tensor]:
        """The numbers of one tensor in order, some megabytes at a time; each piece should go before the next."""
        for begin in range(stored.begin, stored.end, _PIECE_BYTES):
            yield self._view(_DTYPES[stored.dtype], begin, min(begin + _PIECE_BYTES, stored.end))

    def _view(self, dtype: torch.dtype, begin: int, end: int) -> Tensor:
        if begin == end:
            return torch.empty(0, dtype=dtype)
        view = memoryview(self.mapping)[begin:end]
        if begin % dtype.itemsize:  # no file of the library's own writing has such a tensor
            return torch.frombuffer(bytearray(view), dtype=dtype)
        weakref.finalize(view, _let_go, self.mapping, begin, end).atexit = False
        return torch.frombuffer(view, dtype=dtype)


def let_go(tensor: Tensor) -> None:
    """The memory of a contiguous tensor that is a view of a mapped file, for now: who reads it again gets it again.

    Nothing for any other tensor.
    """
    start = tensor.data_ptr()
    for base, mapping in list(_mappings.items()):
        if base <= start < base + len(mapping):
            _let_go(mapping, start - base, start - base + tensor.numel() * tensor.element_size())


def _let_go(mapping: mmap.mmap, begin: int, end: int) -> None:
    """Tell the system that pages are not needed now, where it can be told; another reader gets them again."""
    first = begin // mmap.PAGESIZE * mmap.PAGESIZE
    if hasattr(mmap, "MADV_DONTNEED") and end > first:
        mapping.madvise(mmap.MADV_DONTNEED, first, end - first)
