"""Compiled training operators against plain ones. Without a compiler both sides are the plain ones, and agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from training.kernel import add_norm, attention, bias_silu, plain_attention

WIDTH, HEADS = 64, 2


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative distance."""
    return float((one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-6))


def gradients(
    function: Callable[..., torch.Tensor], inputs: list[torch.Tensor], dtype: torch.dtype
) -> list[torch.Tensor]:
    """Output and input gradients of a function for inputs cast to `dtype`."""
    leaves = [part.to(torch.bfloat16).to(dtype).requires_grad_() for part in inputs]
    out = function(*leaves)
    up = torch.randn(out.shape, generator=torch.Generator().manual_seed(9))
    out.backward(up.to(dtype))
    return [out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def agree(fast: Callable[..., torch.Tensor], plain: Callable[..., torch.Tensor], inputs: list[torch.Tensor]) -> None:
    found, expected = gradients(fast, inputs, torch.bfloat16), gradients(plain, inputs, torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert difference(one, other) < 0.01


@pytest.mark.parametrize(("pairs", "pieces", "causal"), [(3, 25, True), (1, 1, True), (2, 16, False), (2, 33, False)])
def test_self_attention_agrees(pairs: int, pieces: int, causal: bool) -> None:
    torch.manual_seed(0)
    agree(
        lambda states, bias: attention(states, bias, None, None, HEADS, causal=causal)[0],
        lambda states, bias: plain_attention(states, bias, None, None, HEADS, causal=causal)[0],
        [torch.randn(pairs, pieces, 3 * WIDTH), torch.randn(3 * WIDTH)],
    )


@pytest.mark.parametrize(("targets", "sources"), [(7, 40), (40, 7), (1, 3)])
def test_cross_attention_agrees_and_its_weights_have_gradients(targets: int, sources: int) -> None:
    torch.manual_seed(0)

    def with_weights(function: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., torch.Tensor]:
        def run(*parts: torch.Tensor) -> torch.Tensor:
            context, weights = function(*parts, HEADS, causal=False)
            return context * weights.square().sum()

        return run

    agree(
        with_weights(attention),
        with_weights(plain_attention),
        [
            torch.randn(2, targets, WIDTH),
            torch.randn(WIDTH),
            torch.randn(2, sources, 2 * WIDTH),
            torch.randn(2 * WIDTH),
        ],
    )


def test_norm_and_silu_agree() -> None:
    torch.manual_seed(0)
    vectors = [torch.randn(WIDTH) for _ in range(3)]
    agree(
        add_norm,
        lambda a, b, bias, gain, shift: torch.nn.functional.layer_norm(a + b + bias, (WIDTH,), gain, shift),
        [torch.randn(4, 6, WIDTH), torch.randn(4, 6, WIDTH), *vectors],
    )
    agree(bias_silu, lambda a, bias: torch.nn.functional.silu(a + bias), [torch.randn(4, 6, WIDTH) * 4, vectors[0]])
