"""Where a model runs and in which number format: what the settings ask for, checked against the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glossd.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

_FORMATS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Placement:
    """A number format and a device, and why they were chosen."""

    dtype: str
    device: str
    reason: str

    @property
    def torch_dtype(self) -> torch.dtype:
        """The format as torch names it."""
        import torch

        formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        return formats[self.dtype]

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        import torch

        return torch.device(self.device)


def choose_placement(dtype: str, device: str) -> Placement:
    """Resolve "auto". Raises ``InvalidInputError`` for a format or a device that this machine does not have."""
    import torch

    present = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if present else "cpu"
    elif device.startswith("cuda") and not present:
        raise InvalidInputError("models.device", f"{device} was asked for, but torch sees no such device")
    if dtype == "auto":
        return _automatic(device)
    if dtype not in _FORMATS:
        raise InvalidInputError("models.dtype", f"{dtype} is not to be had; the formats are {', '.join(_FORMATS)}")
    if dtype == "float16" and device == "cpu":
        raise InvalidInputError("models.dtype", "float16 needs a GPU; bfloat16 and float32 run on a CPU")
    return Placement(dtype, device, "as set")


def _automatic(device: str) -> Placement:
    """Exact on a CPU; on a GPU half precision, with the wide range where there is a choice (T5 overflows float16)."""
    import torch

    if device == "cpu":
        return Placement("float32", device, "auto: exact on a CPU")
    if torch.cuda.is_bf16_supported():
        return Placement("bfloat16", device, "auto: this GPU has bfloat16")
    return Placement("float16", device, "auto: this GPU has no bfloat16")
