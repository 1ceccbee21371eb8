"""Fused training operators: compiled kernels where a compiler is at hand, plain operators elsewhere.

Attention reads fused projections without their bias: self-attention [pairs, pieces, 3 x width], cross-attention a query
[pairs, pieces, width] and a memory [pairs, source pieces, 2 x width]. On short sentences the kernels save every
transposition and most passes over memory; they need bfloat16 and heads of 32 channels.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

_CHANNELS = 32

_FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fPIC")


@functools.cache
def compiled_library() -> ctypes.CDLL | None:
    """The kernels, compiled once per machine and source text; None without a compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    source = Path(__file__).with_name("kernels.cpp")
    digest = hashlib.sha256(source.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"glossd-training-{os.getuid()}-{digest}.so"
    if not target.exists():
        part, whole = target.with_suffix(f".{os.getpid()}.o"), target.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *_FLAGS, "-c", str(source), "-o", str(part)], check=True)
        # Linked apart: linking with -ffast-math would switch the loading process to flushing small numbers to 0.
        subprocess.run([compiler, "-shared", str(part), "-o", str(whole), "-lm"], check=True)
        part.unlink()
        os.replace(whole, target)
    return ctypes.CDLL(str(target))


def _library() -> ctypes.CDLL:
    library = compiled_library()
    assert library is not None
    return library


def _call(function: Any, *arguments: torch.Tensor | int | None) -> None:
    """Call a kernel: tensors become pointers to their first element, numbers become C longs."""
    function(
        *(
            ctypes.c_long(argument)
            if isinstance(argument, int)
            else ctypes.c_void_p(None if argument is None else argument.data_ptr())
            for argument in arguments
        )
    )


class _Attention(torch.autograd.Function):
    """`first` holds queries (and, in self-attention, keys and values); `memory` keys and values, or None."""

    @staticmethod
    def _parts(first: torch.Tensor, memory: torch.Tensor | None, width: int) -> list[torch.Tensor]:
        """Views that start at queries, keys and values."""
        if memory is None:
            return [first[..., i * width :] for i in range(3)]
        return [first, memory, memory[..., width:]]

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        first, first_bias, memory, memory_bias, heads, causal = inputs
        width = heads * _CHANNELS
        held = first if memory is None else memory
        pairs, targets, sources = first.shape[0], first.shape[1], held.shape[1]
        context = torch.empty(pairs, targets, width, dtype=first.dtype)
        weights = torch.empty(pairs, heads, targets, sources)
        query, key, value = _Attention._parts(first, memory, width)
        biases = _Attention._parts(first_bias, memory_bias, width)
        _call(
            _library().attention_forward,
            query, biases[0], first.shape[2], key, biases[1], value, biases[2], held.shape[2],
            context, weights, pairs, heads, targets, sources, int(causal),
        )  # fmt: skip
        ctx.save_for_backward(first, first_bias, memory, memory_bias, weights)
        ctx.heads = heads
        ctx.set_materialize_grads(False)
        return context, weights

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        first, first_bias, memory, memory_bias, weights = ctx.saved_tensors
        width = ctx.heads * _CHANNELS
        held = first if memory is None else memory
        assert gradients[0] is not None
        context_gradient = gradients[0].contiguous()
        weights_gradient = None if gradients[1] is None else gradients[1].contiguous()
        changes = [None if part is None else torch.empty_like(part) for part in (first, memory)]
        sums = [None if part is None else torch.zeros(part.shape) for part in (first_bias, memory_bias)]
        assert changes[0] is not None
        assert sums[0] is not None
        query, key, value = _Attention._parts(first, memory, width)
        biases = _Attention._parts(first_bias, memory_bias, width)
        _call(
            _library().attention_backward,
            query, biases[0], first.shape[2], key, biases[1], value, biases[2], held.shape[2],
            weights, context_gradient, weights_gradient,
            *_Attention._parts(changes[0], changes[1], width), *_Attention._parts(sums[0], sums[1], width),
            first.shape[0], ctx.heads, first.shape[1], held.shape[1],
        )  # fmt: skip
        narrow = [None if part is None else part.to(first.dtype) for part in sums]
        return changes[0], narrow[0], changes[1], narrow[1], None, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        residual, change, bias, gain, shift = (part.contiguous() for part in inputs)
        out, normalized = torch.empty_like(residual), torch.empty_like(residual)
        width = residual.shape[-1]
        inverse = torch.empty(residual.numel() // width)
        _call(
            _library().norm_forward,
            residual, change, bias, gain, shift, out, normalized, inverse, inverse.numel(), width,
        )  # fmt: skip
        ctx.save_for_backward(normalized, inverse, gain)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        normalized, inverse, gain = ctx.saved_tensors
        width = normalized.shape[-1]
        change, sums = torch.empty_like(normalized), torch.zeros(3, width)
        _call(
            _library().norm_backward,
            gradients[0].contiguous(), normalized, inverse, gain, change, sums, inverse.numel(), width,
        )  # fmt: skip
        return change, change, *sums.to(gain.dtype).unbind(0)


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: torch.Tensor) -> torch.Tensor:
        states, bias = inputs[0].contiguous(), inputs[1]
        out, width = torch.empty_like(states), states.shape[-1]
        _call(_library().silu_forward, states, bias, out, states.numel() // width, width)
        ctx.save_for_backward(states, bias)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        states, bias = ctx.saved_tensors
        width = states.shape[-1]
        change, sums = torch.empty_like(states), torch.zeros(width)
        up = gradients[0].contiguous()
        _call(_library().silu_backward, up, states, bias, change, sums, states.numel() // width, width)
        return change, sums.to(bias.dtype)


def _fits(states: torch.Tensor) -> bool:
    return states.dtype == torch.bfloat16 and states.shape[-1] % 16 == 0 and compiled_library() is not None


def attention(
    first: torch.Tensor,
    first_bias: torch.Tensor,
    memory: torch.Tensor | None,
    memory_bias: torch.Tensor | None,
    heads: int,
    *,
    causal: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Self-attention of `first` [pairs, pieces, 3 x width], or attention of queries `first` [pairs, pieces, width] over
    `memory` [pairs, source pieces, 2 x width]: context [pairs, pieces, width] and float32 weights [pairs, heads,
    pieces, source pieces].
    """
    width = first.shape[2] // 3 if memory is None else first.shape[2]
    if width == heads * _CHANNELS and _fits(first):
        result: tuple[torch.Tensor, torch.Tensor] = _Attention.apply(
            first.contiguous(), first_bias, memory, memory_bias, heads, causal
        )  # type: ignore[no-untyped-call]
        return result
    return plain_attention(first, first_bias, memory, memory_bias, heads, causal=causal)


def plain_attention(
    first: torch.Tensor,
    first_bias: torch.Tensor,
    memory: torch.Tensor | None,
    memory_bias: torch.Tensor | None,
    heads: int,
    *,
    causal: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by batched products in float32."""
    fused = [(first + first_bias).float()]
    if memory is not None and memory_bias is not None:
        fused.append((memory + memory_bias).float())
    width = first.shape[2] // 3 if memory is None else first.shape[2]
    pairs, targets = first.shape[:2]
    query, key, value = (
        part.view(pairs, -1, heads, width // heads).transpose(1, 2)
        for states in fused
        for part in states.split(width, dim=2)
    )
    scores = (query * (width // heads) ** -0.5) @ key.transpose(2, 3)
    if causal:
        scores = scores + torch.full((targets, targets), -1e9).triu(1)
    weights = torch.softmax(scores, dim=-1)
    return (weights @ value).transpose(1, 2).reshape(pairs, targets, width).to(first.dtype), weights


def add_norm(
    residual: torch.Tensor, change: torch.Tensor, bias: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """Layer norm of residual + change + bias, [..., width]."""
    if _fits(residual):
        result: torch.Tensor = _Norm.apply(residual, change, bias, gain, shift)  # type: ignore[no-untyped-call]
        return result
    return F.layer_norm(residual + change + bias, (residual.shape[-1],), gain, shift)


def bias_silu(states: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """SiLU of states + bias, [..., width]."""
    if _fits(states):
        result: torch.Tensor = _Silu.apply(states, bias)  # type: ignore[no-untyped-call]
        return result
    return F.silu(states + bias)


def adam_fits(start: int, stop: int, live: torch.Tensor) -> bool:
    """Whether `compiled_adam` can update this range."""
    return (stop - start) % 16 == 0 and live.dtype == torch.bfloat16 and compiled_library() is not None


def compiled_adam(
    gradients: torch.Tensor, vectors: tuple[torch.Tensor, ...], start: int, stop: int, settings: list[float]
) -> None:
    """Adam in one pass over memory: `gradients` [workers, size], `vectors` first and second moment, master (float32
    [size]) and live (bfloat16 [size]); `settings` as in kernels.cpp.
    """
    workers, size = gradients.shape
    _call(_library().adam, gradients, *vectors, torch.tensor(settings), workers, size, start, stop)
