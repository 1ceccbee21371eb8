"""Linear maps in int8: weights with one scale per output, activations with one scale per row, chosen as they come.

Integer sums are exact and every row has a scale of its own, so a row's result is the same bit for bit whatever rows
stand beside it. The C operators multiply where they were built; without them oneDNN does.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glossd.models.layers import Activation, Weight, named_activation, weight_shape
from glossd.models.mapped import let_go
from glossd.native import ACTIVATIONS, Kernels, Matrix

_LEVELS = 127
_SMALLEST = 1e-12
_BLOCK, _DEEP = 32, 64
_AT_ONCE = 1 << 17
_TRIALS, _TRIAL_ROWS, _TRIAL_WEIGHT = 7, 64, (1024, 512)

_Sizes = tuple[int, int, int, int]


def pieces(weight: Weight) -> Iterator[Tensor]:
    """``weight`` (out, in) in float32, some outputs at a time, in order.

    A whole matrix's passing copies would be more memory than what becomes of it. Where it is a view of a mapped file,
    what has been passed on leaves the process.
    """
    for part in [weight] if isinstance(weight, Tensor) else weight:
        for rows in part.split(max(1, _AT_ONCE // part.shape[1])):
            yield rows.float()
            let_go(rows)


def round_weight(rows: Tensor) -> tuple[Tensor, Tensor]:
    """``rows`` (out, in) at the nearest of 255 levels of each output's own largest value, and the scales (out,)."""
    steps = (rows.abs().amax(1) / _LEVELS).clamp_min_(_SMALLEST)
    return (rows / steps[:, None]).round_().to(torch.int8), steps


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """``activation(x @ weight.T + bias)`` with both sides rounded to 8 bits, in one call of the C operators.

    ``matrix`` is what they read; ``panels`` (int8), ``scales`` and ``bias`` (float32) and ``offsets`` (int32), padded
    to whole blocks, are the memory that it names.
    """

    matrix: Matrix
    panels: Tensor
    scales: Tensor
    bias: Tensor
    offsets: Tensor
    kernels: Kernels
    integer: ClassVar[bool] = True

    @classmethod
    def of(
        cls, weight: Weight, bias: Tensor | None, activation: str = "", *, kernels: Kernels, level: int = 0
    ) -> Int8Matrix:
        """Round and pack ``weight`` (out, in), for instructions ``level`` (0: the best that the processor has)."""
        shape, level = weight_shape(weight), level or kernels.level
        return cls._pack(pieces(weight), shape, bias, ACTIVATIONS[activation], kernels=kernels, level=level)

    def remainder(self, weight: Weight) -> Int8Matrix:
        """What the rounding took from ``weight`` (out, in), as a map without bias: both together have 15 bits of it."""
        return self._pack(
            self._lost(weight), weight_shape(weight), None, 0, kernels=self.kernels, level=self.matrix.level
        )

    def _lost(self, weight: Weight) -> Iterator[Tensor]:
        first = 0
        for rows in pieces(weight):
            yield rows - self.rows(torch.arange(first, first + len(rows)))
            first += len(rows)

    @classmethod
    def _pack(
        cls,
        parts: Iterable[Tensor],
        shape: tuple[int, int],
        bias: Tensor | None,
        activation: int,
        *,
        kernels: Kernels,
        level: int,
    ) -> Int8Matrix:
        outputs, inputs = shape
        wide = _up(outputs, _BLOCK)
        panels = torch.zeros(wide * _up(inputs, _DEEP), dtype=torch.int8)
        scales, offsets = torch.zeros(wide), torch.zeros(wide, dtype=torch.int32)
        first = 0
        for rounded, steps in map(round_weight, parts):
            last = first + len(rounded)
            kernels.pack(rounded.data_ptr(), panels.data_ptr(), first, len(rounded), inputs)
            scales[first:last], offsets[first:last] = steps, 128 * rounded.sum(1, dtype=torch.int32)
            first = last
        sizes = (inputs, outputs, activation, level)
        return cls._over(panels, scales, _padded(bias, outputs), offsets, kernels, sizes)

    @classmethod
    def _over(
        cls, panels: Tensor, scales: Tensor, bias: Tensor, offsets: Tensor, kernels: Kernels, sizes: _Sizes
    ) -> Int8Matrix:
        matrix = Matrix(panels.data_ptr(), scales.data_ptr(), bias.data_ptr(), offsets.data_ptr(), *sizes)
        return cls(matrix, panels, scales, bias, offsets, kernels)

    def times(self, factor: float) -> Int8Matrix:
        """The map of ``factor`` times the input, for a map without bias; shares the weight."""
        return self._over(self.panels, self.scales * factor, self.bias, self.offsets, self.kernels, self._sizes())

    def first(self, outputs: int, bias: Tensor | None) -> Int8Matrix:
        """The map to the first ``outputs`` alone, with another ``bias`` (outputs,); shares the weight."""
        padded, sizes = _padded(bias, outputs), self._sizes(outputs)
        return self._over(self.panels, self.scales, padded, self.offsets, self.kernels, sizes)

    def whole(self) -> Int8Matrix:
        """The map to whole blocks of outputs, so that rows of them are aligned; those it has not are minus infinity."""
        wide, outputs = len(self.bias), self.matrix.outputs
        bias = self.bias.clone()
        bias[outputs:] = -torch.inf
        return self._over(self.panels, self.scales, bias, self.offsets, self.kernels, self._sizes(wide))

    def _sizes(self, outputs: int = 0) -> _Sizes:
        matrix = self.matrix
        return matrix.inputs, outputs or matrix.outputs, matrix.activation, matrix.level

    def rows(self, outputs: Tensor) -> Tensor:
        """The weights (..., in) float32 of ``outputs`` (...) int64, as they were rounded."""
        cells = self.panels.view(-1, _up(self.matrix.inputs, _DEEP) // _DEEP, 16, 16, 4)
        levels = cells[outputs // 16, :, :, outputs % 16].flatten(-3)[..., : self.matrix.inputs]
        return levels * self.scales[outputs].unsqueeze(-1)

    @property
    def address(self) -> int:
        """Where the C operators find it, as long as this object lives."""
        return ctypes.addressof(self.matrix)

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., in) float32 to (..., out) float32."""
        rows = hidden.reshape(-1, hidden.shape[-1]).contiguous()
        output = torch.empty(len(rows), self.matrix.outputs)
        scratch = torch.empty(self.kernels.scratch(self.matrix.inputs), dtype=torch.int8)
        self.kernels.multiply(self.address, rows.data_ptr(), output.data_ptr(), len(rows), scratch.data_ptr())
        return output.view(*hidden.shape[:-1], -1)


def _padded(bias: Tensor | None, outputs: int) -> Tensor:
    """``bias`` (outputs,) or zeros, to whole blocks."""
    wide = _up(outputs, _BLOCK)
    return torch.zeros(wide) if bias is None else torch.nn.functional.pad(bias.float(), (0, wide - outputs))


def _up(count: int, grain: int) -> int:
    return -(-count // grain) * grain


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """``activation(x @ weight.T + bias)`` with both sides rounded to 8 bits, in PyTorch's own operators.

    ``packed`` is the weight in oneDNN's own layout, ``scales`` (out,) float32 what one of its steps is worth,
    ``offsets`` (out,) the zero points, all 0; ``bias`` (out,) float32 or None.
    """

    packed: Tensor
    scales: Tensor
    offsets: Tensor
    bias: Tensor | None
    activation: Activation | None
    integer: ClassVar[bool] = True

    @classmethod
    def of(cls, weight: Weight, bias: Tensor | None, activation: str = "") -> Int8Linear:
        """Round and pack ``weight`` (out, in)."""
        rounded, scales = (torch.cat(parts) for parts in zip(*map(round_weight, pieces(weight)), strict=True))
        packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        offsets = torch.zeros(len(scales), dtype=torch.int64)
        bias = None if bias is None else bias.float().contiguous()
        return cls(packed, scales, offsets, bias, named_activation(activation))

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., in) float32 to (..., out) float32."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        steps = rows.abs().amax(1, keepdim=True).clamp_min_(_SMALLEST).div_(_LEVELS)
        rounded = torch.zeros(padded_rows(len(rows)), rows.shape[1], dtype=torch.int8)
        rounded[: len(rows)] = (rows / steps).round_()
        sums = self.product(rounded)[: len(rows)]
        output = sums.mul_(steps) if self.bias is None else torch.addcmul(self.bias, sums, steps)
        output = output if self.activation is None else self.activation(output)
        return output.view(*hidden.shape[:-1], -1)

    def product(self, rounded: Tensor) -> Tensor:
        """(N, in) int8 to (N, out) float32: exact integer sums times the outputs' scales."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 0, self.packed, self.scales, self.offsets, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product


def padded_rows(count: int) -> int:
    """The number of rows that oneDNN multiplies ``count`` rows as.

    It compiles its code anew for every number of rows it has not seen, which takes longer than many a product; so
    only a few dozen numbers are used. One row goes as two: for one oneDNN has code that is a hundred times slower.
    """
    if count <= 16:
        return max(2, 1 << (count - 1).bit_length())
    grain = 16 if count <= 128 else 128
    return _up(count, grain)


def int8_is_fast() -> bool:
    """Whether this processor multiplies 8-bit integers in hardware that sums them exactly."""
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return False
    return bool(torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported())


def int8_gain(kernels: Kernels | None) -> float:
    """How many times as fast as float32 a product of a usual size is in int8 on one thread, measured now.

    0 where the C operators are absent or the processor lacks the instructions.
    """
    if kernels is None or not kernels.level:
        return 0.0
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(_TRIAL_WEIGHT, generator=generator)
    rows = torch.randn(_TRIAL_ROWS, _TRIAL_WEIGHT[1], generator=generator)
    matrix = Int8Matrix.of(weight, None, kernels=kernels)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fastest(lambda: torch.nn.functional.linear(rows, weight)) / _fastest(lambda: matrix(rows))
    finally:
        torch.set_num_threads(threads)


def _fastest(call: Callable[[], Tensor]) -> float:
    """Seconds of the fastest of a few calls, after one that is not counted."""
    call()
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
