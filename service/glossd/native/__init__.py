"""The decode step's small operators in C, over memory that tensors own. Absent where no compiler was at build time.

Knows addresses and sizes, no torch: what is passed is ``data_ptr()`` of tensors that are contiguous, on the CPU, and of
the type and shape that ``kernels.c`` states. Callers have a PyTorch form of every operator for where this is absent.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64
_FLOAT = ctypes.c_float

_SIGNATURES: dict[str, tuple[type, ...]] = {
    "attend": (_POINTER, _SIZE, *[_POINTER] * 5, _SIZE, _POINTER, _POINTER, *[_SIZE] * 4, _FLOAT),
    "append": (_POINTER, _POINTER, _SIZE, *[_POINTER] * 3, *[_SIZE] * 4),
    "attend_bfloat": (_POINTER, _SIZE, *[_POINTER] * 5, _SIZE, _POINTER, _POINTER, *[_SIZE] * 4, _FLOAT),
    "append_bfloat": (_POINTER, _POINTER, _SIZE, *[_POINTER] * 3, *[_SIZE] * 4),
    "quantize": (*[_POINTER] * 3, _SIZE, _SIZE),
    "scale": (*[_POINTER] * 3, *[_SIZE] * 3),
    "add_norm": (*[_POINTER] * 4, _FLOAT, _POINTER, _POINTER, _SIZE, _SIZE),
    "peak": (*[_POINTER] * 4, _SIZE, _SIZE),
    "top": (*[_POINTER] * 3, *[_SIZE] * 3),
}

ACTIVATIONS: dict[str, int] = {"": 0, "relu": 1, "silu": 2, "swish": 2, "gelu": 3}
"""The activations that ``scale`` can apply, by their names in model configurations."""


class Kernels:
    """The compiled operators; see ``kernels.c`` for what each does."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, f"glossd_{name}")
            function.argtypes, function.restype = arguments, None
        self.attend = library.glossd_attend
        self.append = library.glossd_append
        self.attend_bfloat = library.glossd_attend_bfloat
        self.append_bfloat = library.glossd_append_bfloat
        self.quantize = library.glossd_quantize
        self.scale = library.glossd_scale
        self.add_norm = library.glossd_add_norm
        self.peak = library.glossd_peak
        self.top = library.glossd_top


@cache
def load_kernels() -> Kernels | None:
    """The compiled operators, or None where this installation has none."""
    path = Path(__file__).with_name("_kernels.so")
    return Kernels(ctypes.CDLL(os.fspath(path))) if path.exists() else None
