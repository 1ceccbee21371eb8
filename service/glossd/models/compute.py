"""How a model computes: which linear maps and token tables it is built from, and what runs in the C operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from glossd.models.cache import CacheShape, KVCache
from glossd.models.capture import Capture, CudaCapture
from glossd.models.graphed import StaticCache
from glossd.models.layers import Linear, MakeLinear
from glossd.models.quantized import Int8Linear, Int8Matrix
from glossd.models.vocabulary import Int8Table, MakeTable, PlainTable
from glossd.native import ACTIVATIONS, Kernels, load_kernels


@dataclass(frozen=True, slots=True)
class Compute:
    """``kernels`` is None where PyTorch's own operators run: on a GPU, in half precision, built without a compiler.

    ``whole`` says that a decode step and an encoder run are one call of them each, as :mod:`glossd.models.program` has
    it. ``cache_dtype`` is how keys and values are kept: beside int8 products half the memory is half the time to read.
    ``captures`` is how decode steps of fixed shapes are recorded to be replayed; None where each runs by itself.
    """

    make_linear: MakeLinear
    make_table: MakeTable
    kernels: Kernels | None
    whole: bool
    cache_dtype: torch.dtype
    captures: Callable[[], Capture] | None = None

    @classmethod
    def choose(
        cls,
        *,
        dtype: torch.dtype,
        device: torch.device,
        int8: bool = False,
        graphs: bool = False,
        activation: str = "",
    ) -> Compute:
        """The fastest that gives what was asked: ``int8`` needs float32 on a CPU (see :func:`int8_is_fast`).

        ``activation``: the one between the feed-forward maps; where the C operators lack it, oneDNN multiplies.
        ``graphs`` changes nothing but on a CUDA device.
        """
        kernels = load_kernels() if device.type == "cpu" and dtype == torch.float32 else None
        if not int8:
            captures = partial(CudaCapture, device) if graphs and device.type == "cuda" else None
            plain = partial(PlainTable.of, make=Linear.of, dtype=dtype)
            return cls(Linear.of, plain, kernels, False, dtype, captures)
        if kernels is None or not kernels.level or activation not in ACTIVATIONS:
            return cls(Int8Linear.of, partial(PlainTable.of, make=Int8Linear.of, dtype=dtype), kernels, False, dtype)
        make_linear, make_table = partial(Int8Matrix.of, kernels=kernels), partial(Int8Table.of, kernels=kernels)
        return cls(make_linear, make_table, kernels, True, torch.bfloat16)

    def new_cache(self, shape: CacheShape, *, device: torch.device, vocabulary: int) -> KVCache:
        """An empty cache for steps that are not whole calls of the C operators; ``vocabulary``: logits a row."""
        if self.captures is None:
            return KVCache(shape, dtype=self.cache_dtype, device=device, kernels=self.kernels)
        return StaticCache(shape, dtype=self.cache_dtype, device=device, vocabulary=vocabulary, captures=self.captures)
