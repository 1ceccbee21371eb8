"""The header of a safetensors file, checked against the file's size before any library maps it into memory.

Format: 8 bytes little-endian header length, a JSON object from tensor name to dtype, shape and byte range, then data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glossd.errors import ModelFilesError

_LARGEST_HEADER = 100_000_000
_ITEM_BYTES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file: its type by the format's name, and its bytes ``begin`` to ``end`` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(file: Path) -> tuple[StoredTensor, ...]:
    """The tensors of a whole, consistent file, in its order. Raises ``ModelFilesError`` with file and fault."""
    size = file.stat().st_size
    header = _read_header(file, size)
    start = 8 + header.pop("__header_bytes__")
    header.pop("__metadata__", None)
    if not header:
        raise ModelFilesError(f"{file}: no tensors")
    tensors = sorted((_stored(file, name, entry, start) for name, entry in header.items()), key=_range)
    expected = start
    for tensor in tensors:
        if tensor.begin != expected:
            raise ModelFilesError(f"{file}: tensor data does not follow on at byte {expected - start:,}")
        expected = tensor.end
    if expected != size:
        raise ModelFilesError(f"{file}: {size:,} bytes, but its header speaks of {expected:,}: truncated?")
    return tuple(tensors)


def _range(tensor: StoredTensor) -> tuple[int, int]:
    return tensor.begin, tensor.end


def _read_header(file: Path, size: int) -> dict[str, Any]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(_LARGEST_HEADER, size - 8):
            raise ModelFilesError(f"{file}: {size:,} bytes with a header of {length:,}: truncated or not safetensors")
        raw = stream.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelFilesError(f"{file}: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ModelFilesError(f"{file}: its header is not an object")
    return header | {"__header_bytes__": length}


def _stored(file: Path, name: str, entry: Any, start: int) -> StoredTensor:
    """A tensor whose bytes, which the header counts from ``start``, are as many as its dtype and shape ask for."""
    try:
        item, shape = _ITEM_BYTES[entry["dtype"]], tuple(int(length) for length in entry["shape"])
        begin, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFilesError(f"{file}: tensor {name[:80]!r} is described wrongly: {error!r}") from error
    if min(shape, default=0) < 0 or begin < 0 or end - begin != math.prod(shape) * item:
        raise ModelFilesError(
            f"{file}: tensor {name[:80]!r} of shape {list(shape)} does not have {end - begin:,} bytes"
        )
    return StoredTensor(name, entry["dtype"], shape, start + begin, start + end)
