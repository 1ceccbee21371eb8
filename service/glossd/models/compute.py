"""How a model computes: which linear maps it is built from, and whether the C operators run its attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from glossd.models.layers import Linear, MakeLinear
from glossd.models.quantized import Int8Linear
from glossd.native import Kernels, load_kernels


@dataclass(frozen=True, slots=True)
class Compute:
    """``kernels`` is None where PyTorch's own operators run: on a GPU, in half precision, built without a compiler.

    ``cache_dtype`` is how keys and values are kept: beside int8 products half the memory is half the time to read it.
    """

    make_linear: MakeLinear
    kernels: Kernels | None
    cache_dtype: torch.dtype

    @classmethod
    def choose(cls, *, dtype: torch.dtype, device: torch.device, int8: bool = False) -> Compute:
        """The fastest that gives what was asked: ``int8`` needs float32 on a CPU (see :func:`int8_is_fast`)."""
        kernels = load_kernels() if device.type == "cpu" and dtype == torch.float32 else None
        if not int8:
            return cls(Linear.of, kernels, dtype)
        return cls(partial(Int8Linear.of, kernels=kernels), kernels, torch.bfloat16 if kernels else dtype)
