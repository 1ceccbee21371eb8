"""The road that a GPU takes, walked on a CPU: models without the C operators, recorded steps, a count of what waits.

What only a GPU can show, that the copies and the kernels themselves are right, is not shown here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from glossd.models.base import Seq2SeqModel
from glossd.models.capture import Work
from glossd.models.compute import Compute
from glossd.models.registry import find_family, load_adapter
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_READS = {"tolist", "numpy", "__array__", "cpu"}
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique")


def load_for_device(directory: Path, **compute: Any) -> Seq2SeqModel:
    """A checkpoint in float32 as a GPU would run it, with PyTorch's own operators alone."""
    from transformers import AutoModelForSeq2SeqLM

    reference: Any = AutoModelForSeq2SeqLM.from_pretrained(directory, local_files_only=True).eval()
    adapter: Any = load_adapter(find_family(reference.config.model_type, file="config.json"))
    plain = Compute.choose(dtype=torch.float32, device=torch.device("cpu"))
    model: Seq2SeqModel = adapter(reference, replace(plain, kernels=None, **compute))
    return model


class Tape:
    """A :class:`glossd.models.capture.Capture` that works as a CUDA graph does: the operations are kept with the very
    tensors and numbers that they were called with, and a replay runs them again with no Python of the work's own.
    """

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def record(self, work: Work) -> Work:
        """Record the work while it is done; the replay writes every result where the first one was."""
        operations: list[tuple[Any, Any, Any, list[Tensor]]] = []
        with _Recording(operations):
            work()
        self.lengths.append(len(operations))

        def replay() -> None:
            for function, arguments, named, results in operations:
                again = function(*arguments, **named)
                for result, kept in zip(_tensors(again), results, strict=True):
                    if result.untyped_storage().data_ptr() != kept.untyped_storage().data_ptr():
                        kept.copy_(result)

        return replay


class _Recording(TorchDispatchMode):
    def __init__(self, operations: list[tuple[Any, Any, Any, list[Tensor]]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self._operations.append((func, args, kwargs or {}, _tensors(results)))
        return results


def _tensors(results: Any) -> list[Tensor]:
    return [result for result in tree_flatten(results)[0] if isinstance(result, Tensor)]


class HostReads:
    """Names of the calls inside that would wait for a device: numbers read, and shapes that depend on them."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._modes = ExitStack()

    def __enter__(self) -> list[str]:
        self._modes.enter_context(_Calls(self._names))
        self._modes.enter_context(_Operations(self._names))
        return self._names

    def __exit__(self, *error: Any) -> None:
        self._modes.close()


class _Calls(TorchFunctionMode):
    """Sees the calls that read a tensor's memory without an operation."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS:
            self._names.append(name)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Sees the operations whose result the host has to know before it can go on; a mask as an index is one."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._names = names

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        indices: Iterable[Any] = args[1] if name in ("index", "index_put", "index_put_", "_unsafe_index") else ()
        masked = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)
        if masked or name.startswith(_WAITING):
            self._names.append(f"{name} by a mask" if masked else name)
        return func(*args, **(kwargs or {}))
