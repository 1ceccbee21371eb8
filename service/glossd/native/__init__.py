"""The operators in C, over memory that tensors own. Absent where no compiler was at build time.

Knows addresses and sizes, no torch: what is passed is ``data_ptr()`` of tensors that are contiguous, on the CPU, and of
the type and shape that the C sources state. Callers have a PyTorch form of every operator for where this is absent.
"""

from __future__ import annotations

import ctypes
import logging
import os
from functools import cache
from pathlib import Path

_log = logging.getLogger(__name__)

INTERFACE = 4
"""Raised with ``GLOSSD_INTERFACE`` in ``common.h`` whenever a signature or a structure changes."""

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_int64
_FLOAT = ctypes.c_float

_SIGNATURES: dict[str, tuple[type, ...]] = {
    "attend": (_POINTER, _SIZE, *[_POINTER] * 4, _SIZE, *[_POINTER] * 2, _SIZE, *[_POINTER] * 2, *[_SIZE] * 4, _FLOAT),
    "append": (_POINTER, _POINTER, _SIZE, *[_POINTER] * 4, *[_SIZE] * 4),
    "move": (*[_POINTER] * 3, *[_SIZE] * 6),
    "add_norm": (*[_POINTER] * 4, _FLOAT, _POINTER, _POINTER, _SIZE, _SIZE),
    "peak": (*[_POINTER] * 5, _SIZE, _SIZE),
    "greedy": (_POINTER,),
    "beams": (_POINTER,),
    "pack": (_POINTER, _POINTER, *[_SIZE] * 3),
    "multiply": (_POINTER, _POINTER, _POINTER, _SIZE, _POINTER),
    "run": (_POINTER,),
}
_COUNTS: dict[str, tuple[type, ...]] = {
    "level": (),
    "scratch": (_SIZE,),
    "attend_scratch": (_SIZE, _SIZE),
    "search_scratch": (_SIZE, _SIZE, _SIZE),
}

ACTIVATIONS: dict[str, int] = {
    **{"": 0, "relu": 1, "silu": 2, "swish": 2, "gelu": 3},
    **{"gelu_new": 4, "gelu_pytorch_tanh": 4},
}
"""The activations that the int8 products can apply, by their names in model configurations."""


class Matrix(ctypes.Structure):
    """``Matrix`` of ``matrix.h``."""

    _fields_ = (
        *((name, _POINTER) for name in ("panels", "scales", "bias", "offsets")),
        *((name, _SIZE) for name in ("inputs", "outputs", "activation", "level")),
    )


class Operation(ctypes.Structure):
    """``Operation`` of ``program.c``."""

    _fields_ = (
        *((name, _SIZE) for name in ("code", "input", "output", "extra", "layer", "width")),
        *((name, _POINTER) for name in ("first", "second")),
        ("value", ctypes.c_double),
    )


class Run(ctypes.Structure):
    """``Run`` of ``program.c``."""

    _fields_ = (
        ("operations", _POINTER),
        *((name, _SIZE) for name in ("length", "rows")),
        ("buffers", _POINTER * 8),
        *((name, _POINTER) for name in ("scratch", "tokens", "positions", "entries", "counts", "numbers", "lengths")),
        *((name, _SIZE) for name in ("sources", "heads", "width")),
        *((name, _POINTER) for name in ("self_keys", "self_values", "cross_keys", "cross_values")),
        *((name, _SIZE) for name in ("self_entries", "self_capacity", "cross_entries", "cross_capacity")),
        *((name, _POINTER) for name in ("ancestors", "spent")),
    )


class SearchStep(ctypes.Structure):
    """``SearchStep`` of ``search.c``."""

    _fields_ = (
        *((name, _SIZE) for name in ("segments", "beams", "width", "ends_each", "vocabulary")),
        *((name, _POINTER) for name in ("scores", "shift", "rows", "tokens")),
        ("stride", _SIZE),
        *((name, _POINTER) for name in ("lengths", "ancestors")),
        ("reach", _SIZE),
        *((name, _POINTER) for name in ("limits", "ends", "penalties", "stop_when_full", "hopeful", "running")),
        *((name, _POINTER) for name in ("finished", "is_finished", "finished_lengths", "stored")),
        ("room", _SIZE),
        *((name, _POINTER) for name in ("improvable", "parents", "done", "broken", "scratch")),
    )


class Kernels:
    """The compiled operators; see the C sources for what each does.

    ``level`` says which int8 products the processor has: 0 none that are exact and fast, 1 AVX512-VNNI, 2 AMX.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        for names, result in ((_SIGNATURES, None), (_COUNTS, _SIZE)):
            for name, arguments in names.items():
                function = getattr(library, f"glossd_{name}")
                function.argtypes, function.restype = arguments, result
        self.attend = library.glossd_attend
        self.append = library.glossd_append
        self.move = library.glossd_move
        self.add_norm = library.glossd_add_norm
        self.peak = library.glossd_peak
        self.greedy = library.glossd_greedy
        self.beams = library.glossd_beams
        self.pack = library.glossd_pack
        self.multiply = library.glossd_multiply
        self.run = library.glossd_run
        self.scratch = library.glossd_scratch
        self.search_scratch = library.glossd_search_scratch
        self.attend_scratch = library.glossd_attend_scratch
        self.level = int(library.glossd_level())


@cache
def load_kernels() -> Kernels | None:
    """The compiled operators, or None where this installation has none, or those of another version of the sources."""
    path = Path(__file__).with_name("_kernels.so")
    if not path.exists():
        return None
    library = ctypes.CDLL(os.fspath(path))
    built = library.glossd_interface() if hasattr(library, "glossd_interface") else 0
    if built != INTERFACE:
        _log.warning("the compiled operators have interface %d, not %d: install again to build them", built, INTERFACE)
        return None
    return Kernels(library)
