"""Linear maps in int8: weights with one scale per output, activations with one scale per row, chosen as they come.

Integer sums are exact and every row has a scale of its own, so a row's result is the same bit for bit whatever rows
stand beside it. The product runs in oneDNN (AMX or AVX512-VNNI); where the processor has neither, float32 is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from glossd.models.layers import Activation, named_activation
from glossd.native import ACTIVATIONS, Kernels

_LEVELS = 127
_SMALLEST = 1e-12


@dataclass(frozen=True, slots=True)
class Int8Linear:
    """``x @ weight.T + bias`` with both sides rounded to 8 bits.

    ``packed`` is the weight in oneDNN's own layout, ``scales`` (out,) float32 what one of its steps is worth,
    ``offsets`` (out,) the zero points, all 0; ``bias`` (out,) float32 or None. With ``kernels`` rounding, scaling and
    activation (their number ``kind``) run there; without, or for an activation they do not know, in PyTorch.
    """

    packed: Tensor
    scales: Tensor
    offsets: Tensor
    bias: Tensor | None
    activation: Activation | None
    kernels: Kernels | None
    kind: int
    integer: ClassVar[bool] = True

    @classmethod
    def of(
        cls, weight: Tensor, bias: Tensor | None, activation: str = "", *, kernels: Kernels | None = None
    ) -> Int8Linear:
        """Round ``weight`` (out, in) float32 to the nearest of 255 levels of each output's own largest value."""
        weight = weight.float()
        scales = (weight.abs().amax(1) / _LEVELS).clamp_min(_SMALLEST)
        rounded = (weight / scales[:, None]).round_().to(torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(rounded, None)
        offsets = torch.zeros(len(scales), dtype=torch.int64)
        known = kernels if activation in ACTIVATIONS else None
        function = named_activation(activation)
        bias = None if bias is None else bias.float().contiguous()
        return cls(packed, scales, offsets, bias, function, known, ACTIVATIONS.get(activation, 0))

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., in) float32 to (..., out) float32."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        output = self._in_torch(rows) if self.kernels is None else self._in_kernels(rows, self.kernels)
        return output.view(*hidden.shape[:-1], -1)

    def _in_torch(self, rows: Tensor) -> Tensor:
        """(N, in) to (N, out) by PyTorch's own operators."""
        steps = rows.abs().amax(1, keepdim=True).clamp_min_(_SMALLEST).div_(_LEVELS)
        rounded = torch.zeros(padded_rows(len(rows)), rows.shape[1], dtype=torch.int8)
        rounded[: len(rows)] = (rows / steps).round_()
        sums = self._product(rounded)[: len(rows)]
        output = sums.mul_(steps) if self.bias is None else torch.addcmul(self.bias, sums, steps)
        return output if self.activation is None else self.activation(output)

    def _in_kernels(self, rows: Tensor, kernels: Kernels) -> Tensor:
        """As :meth:`_in_torch`, with one pass before and one after the product."""
        count, width = rows.shape
        rows = rows.contiguous()
        rounded, steps = torch.empty(padded_rows(count), width, dtype=torch.int8), torch.empty(count)
        rounded[count:] = 0
        kernels.quantize(rows.data_ptr(), rounded.data_ptr(), steps.data_ptr(), count, width)
        sums = self._product(rounded)[:count]
        bias = None if self.bias is None else self.bias.data_ptr()
        kernels.scale(sums.data_ptr(), steps.data_ptr(), bias, count, sums.shape[1], self.kind)
        return sums

    def _product(self, rounded: Tensor) -> Tensor:
        """(N, in) int8 to (N, out) float32: exact integer sums times the outputs' scales."""
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, 0, self.packed, self.scales, self.offsets, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product


def padded_rows(count: int) -> int:
    """The number of rows that ``count`` rows are multiplied as.

    oneDNN compiles its code anew for every number of rows it has not seen, which takes longer than many a product; so
    only a few dozen numbers are used. One row goes as two: for one oneDNN has code that is a hundred times slower.
    """
    if count <= 16:
        return max(2, 1 << (count - 1).bit_length())
    grain = 16 if count <= 128 else 128
    return -(-count // grain) * grain


def int8_is_fast() -> bool:
    """Whether this processor multiplies 8-bit integers in hardware that sums them exactly."""
    if not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return False
    return bool(torch.cpu._is_vnni_supported() or torch.cpu._is_amx_tile_supported())
