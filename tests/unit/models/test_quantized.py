"""Linear maps in int8: near the exact map, the same bits in any company, and the same whichever instructions run."""

from __future__ import annotations

import pytest
import torch
from glossd.models.layers import named_activation
from glossd.models.quantized import Int8Linear, Int8Matrix, int8_gain, int8_is_fast, padded_rows
from glossd.native import ACTIVATIONS, Kernels, load_kernels
from torch.nn import functional

KERNELS = load_kernels()
LEVEL = 0 if KERNELS is None else KERNELS.level
built = pytest.mark.skipif(LEVEL == 0, reason="no compiled operators with 8-bit products for this processor")


@pytest.fixture
def kernels() -> Kernels:
    assert KERNELS is not None
    return KERNELS


@built
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("level", [1, 2])
def test_a_row_has_the_same_bits_in_any_company(kernels: Kernels, activation: str, level: int) -> None:
    if level > LEVEL:
        pytest.skip("this processor has no AMX")
    torch.manual_seed(5)
    matrix = Int8Matrix.of(torch.randn(300, 96), torch.randn(300), activation, kernels=kernels, level=level)
    rows = torch.randn(570, 96)
    together = matrix(rows)
    for size in (1, 2, 5, 33, 71):
        parts = torch.cat([matrix(part) for part in rows.split(size)])
        assert torch.equal(parts, together)


@built
@pytest.mark.skipif(LEVEL < 2, reason="this processor has no AMX")
@pytest.mark.parametrize("shape", [(1, 1), (32, 64), (65, 130), (33, 4160), (1000, 72)])
def test_both_kinds_of_instructions_give_the_same_bits(kernels: Kernels, shape: tuple[int, int]) -> None:
    torch.manual_seed(7)
    weight, rows = torch.randn(shape), torch.randn(77, shape[1])
    one, other = (Int8Matrix.of(weight, None, "swish", kernels=kernels, level=level) for level in (1, 2))
    assert torch.equal(one(rows), other(rows))


@built
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_compiled_map_is_that_of_onednn_but_for_the_last_bits(kernels: Kernels, activation: str) -> None:
    torch.manual_seed(6)
    weight, bias, rows = torch.randn(90, 500), torch.randn(90), torch.randn(40, 500)
    ours = Int8Matrix.of(weight, bias, kernels=kernels)(rows)
    theirs = Int8Linear.of(weight, bias)(rows)
    assert ((ours - theirs).abs() > 1e-4).float().mean() < 0.02
    function = named_activation(activation) or torch.nn.Identity()
    activated = Int8Matrix.of(weight, bias, activation, kernels=kernels)(rows)
    torch.testing.assert_close(activated, function(ours), atol=3e-5, rtol=3e-6)


@built
def test_a_row_that_holds_no_number_gives_none_and_harms_no_other(kernels: Kernels) -> None:
    torch.manual_seed(8)
    matrix = Int8Matrix.of(torch.randn(50, 70), None, "relu", kernels=kernels)
    rows = torch.randn(9, 70)
    expected = matrix(rows)
    rows[4, 66] = torch.nan
    broken = matrix(rows)
    assert broken[4].isnan().all()
    assert torch.equal(broken[:4], expected[:4])
    assert torch.equal(broken[5:], expected[5:])


@built
def test_rows_of_any_size_keep_their_scale(kernels: Kernels) -> None:
    torch.manual_seed(2)
    weight = torch.randn(64, 512)
    rows = torch.randn(7, 512) * torch.tensor([1e-8, 1e-3, 1, 10, 1e4, 0, 3])[:, None]
    exact = functional.linear(rows, weight)
    ours = Int8Matrix.of(weight, None, kernels=kernels)(rows)
    assert ((ours - exact).norm(dim=1) <= 0.02 * exact.norm(dim=1)).all()


@pytest.mark.skipif(not int8_is_fast(), reason="this processor has no 8-bit products that sum exactly")
def test_the_pytorch_form_is_near_the_float_map() -> None:
    torch.manual_seed(6)
    weight, bias, rows = torch.randn(64, 512), torch.randn(64), torch.randn(40, 512)
    exact = functional.linear(rows, weight, bias)
    assert (Int8Linear.of(weight, bias)(rows) - exact).norm() / exact.norm() < 0.02


def test_few_numbers_of_rows_are_multiplied_and_none_is_lost() -> None:
    padded = [padded_rows(count) for count in range(1, 4097)]
    assert all(count <= rows for count, rows in enumerate(padded, 1))
    assert all(rows <= max(2 * count, count + 127) for count, rows in enumerate(padded, 1))
    assert len(set(padded)) < 50


@built
def test_the_gain_is_a_measured_ratio_and_leaves_the_threads_alone(kernels: Kernels) -> None:
    threads = torch.get_num_threads()
    assert int8_gain(kernels) > 0
    assert int8_gain(None) == 0
    assert torch.get_num_threads() == threads
