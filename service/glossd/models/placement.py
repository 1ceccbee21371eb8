"""Where a model runs and in which number format: what the settings ask for, checked against the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glossd.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

_FORMATS = ("float32", "bfloat16", "float16", "int8")
_LEAST_GAIN = 1.5


@dataclass(frozen=True, slots=True)
class Placement:
    """A number format and a device, and why they were chosen."""

    dtype: str
    device: str
    reason: str

    @property
    def torch_dtype(self) -> torch.dtype:
        """The format of activations and cache as torch names it; beside int8 products they are float32."""
        import torch

        formats = {"bfloat16": torch.bfloat16, "float16": torch.float16}
        return formats.get(self.dtype, torch.float32)

    @property
    def int8(self) -> bool:
        """Whether matrix products run in 8-bit integers."""
        return self.dtype == "int8"

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        import torch

        return torch.device(self.device)


def choose_placement(dtype: str, device: str, *, wide_range: bool = False) -> Placement:
    """Resolve "auto". ``wide_range``: the model overflows float16, as every T5 does.

    Raises ``InvalidInputError`` for a format or a device that this machine or this model cannot have.
    """
    device = _choose_device(device)
    if dtype == "auto":
        return _automatic(device, wide_range)
    if dtype not in _FORMATS:
        raise InvalidInputError("models.dtype", f"{dtype} is not to be had; the formats are {', '.join(_FORMATS)}")
    if dtype == "float16" and device == "cpu":
        raise InvalidInputError("models.dtype", "float16 needs a GPU; bfloat16 and float32 run on a CPU")
    if dtype == "float16" and wide_range:
        raise InvalidInputError("models.dtype", "this model overflows float16; take bfloat16 or float32")
    if dtype == "int8":
        _check_int8(device)
    return Placement(dtype, device, "as set")


def _check_int8(device: str) -> None:
    """Integer products are made for CPUs; without the right instructions their sums would be neither fast nor exact."""
    from glossd.models.quantized import int8_is_fast

    if device != "cpu":
        raise InvalidInputError("models.dtype", f"int8 runs on a CPU, not on {device}")
    if not int8_is_fast():
        raise InvalidInputError("models.dtype", "int8 needs a CPU with AVX512-VNNI or AMX; this one has neither")


def _choose_device(device: str) -> str:
    import torch

    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if present else "cpu"
    number = int(device.partition(":")[2] or 0)
    if device.startswith("cuda") and number >= present:
        raise InvalidInputError("models.device", f"{device} was asked for; torch sees {present} such devices")
    return device


def _automatic(device: str, wide_range: bool) -> Placement:
    """On a CPU int8 where that is much faster; on a GPU the half precision that its hardware and the model have."""
    import torch

    if device == "cpu":
        return _automatic_on_cpu(wide_range)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Placement("bfloat16", device, "auto: this GPU has bfloat16")
    if wide_range:
        return Placement("float32", device, "auto: this GPU has no bfloat16 and the model overflows float16")
    return Placement("float16", device, "auto: this GPU has no bfloat16")


def _automatic_on_cpu(wide_range: bool) -> Placement:
    from glossd.models.quantized import int8_gain
    from glossd.native import load_kernels

    if wide_range:
        return Placement("float32", "cpu", "auto: this model's numbers span too wide a range for int8")
    gain = int8_gain(load_kernels())
    if gain == 0:
        return Placement("float32", "cpu", "auto: no compiled int8 operators for this processor")
    compared = f"an int8 product takes 1/{gain:.1f} of the time of one in float32"
    if gain < _LEAST_GAIN:
        return Placement("float32", "cpu", f"auto: {compared}")
    return Placement("int8", "cpu", f"auto: {compared}")
