"""Each native operator against PyTorch's own, and the promises that its callers build on."""

from __future__ import annotations

import pytest
import torch
from glossd.native import Kernels, load_kernels
from torch.nn import functional

KERNELS = load_kernels()
pytestmark = pytest.mark.skipif(KERNELS is None, reason="this installation has no compiled operators")


@pytest.fixture
def kernels() -> Kernels:
    assert KERNELS is not None
    return KERNELS


def attend(kernels: Kernels, queries: torch.Tensor, store: tuple[torch.Tensor, torch.Tensor], entries: torch.Tensor,
           counts: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:  # fmt: skip
    keys, values = store
    _, heads, capacity, width = keys.shape
    context = torch.full((len(counts), heads * width), torch.nan)
    scratch = torch.empty(3 * capacity)
    whole = entries.dim() == 1
    kernels.attend(
        *(queries.data_ptr(), queries.shape[1], keys.data_ptr(), values.data_ptr()),
        *(entries.data_ptr() if whole else None, None if whole else entries.data_ptr(), 0 if whole else capacity),
        *(counts.data_ptr(), None if bias is None else bias.data_ptr(), 0 if bias is None else bias.shape[-1]),
        *(context.data_ptr(), scratch.data_ptr(), len(counts), heads, capacity, width, width**-0.5),
    )
    return context


@pytest.mark.parametrize("width", [8, 32, 40, 64])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_over_slots_is_masked_attention(kernels: Kernels, width: int, biased: bool) -> None:
    torch.manual_seed(width)
    store = (torch.randn(5, 3, 20, width), torch.randn(5, 3, 20, width))
    entries, counts = torch.tensor([0, 3, 3, 4, 1, 2]), torch.tensor([1, 20, 7, 13, 2, 19])
    queries = torch.randn(6, 3 * width)
    bias = torch.randn(6, 3, 20) if biased else None
    ours = attend(kernels, queries, store, entries, counts, bias)
    seen = (torch.arange(20) < counts[:, None])[:, None, None, :]
    mask = torch.where(seen, 0.0, -torch.inf) + (0 if bias is None else bias[:, :, None])
    theirs = functional.scaled_dot_product_attention(
        queries.view(6, 3, 1, width), store[0][entries], store[1][entries], attn_mask=mask
    )
    torch.testing.assert_close(ours, theirs.reshape(6, -1), atol=2e-6, rtol=2e-6)


def test_a_row_may_see_each_position_in_another_entry(kernels: Kernels) -> None:
    torch.manual_seed(9)
    store = (torch.randn(4, 3, 20, 16), torch.randn(4, 3, 20, 16))
    counts, queries = torch.tensor([1, 20, 7]), torch.randn(3, 48)
    ancestors = torch.randint(0, 4, (3, 20), dtype=torch.int32)
    gathered = tuple(each[ancestors.long(), :, torch.arange(20)].transpose(1, 2).contiguous() for each in store)
    expected = attend(kernels, queries, (gathered[0], gathered[1]), torch.arange(3), counts)
    assert torch.equal(attend(kernels, queries, store, ancestors, counts), expected)


def test_what_stands_behind_a_rows_last_position_is_never_read(kernels: Kernels) -> None:
    torch.manual_seed(1)
    store = (torch.randn(2, 2, 16, 16), torch.randn(2, 2, 16, 16))
    entries, counts, queries = torch.tensor([0, 1]), torch.tensor([4, 9]), torch.randn(2, 32)
    before = attend(kernels, queries, store, entries, counts)
    store[0][0, :, 4:] = torch.nan
    store[1][1, :, 9:] = torch.nan
    assert torch.equal(before, attend(kernels, queries, store, entries, counts))


def test_appending_writes_each_rows_own_position_only(kernels: Kernels) -> None:
    keys, values = torch.zeros(3, 2, 6, 4), torch.zeros(3, 2, 6, 4)
    projected = torch.randn(3, 24)
    positions = torch.tensor([0, 5, 2])
    ancestors = torch.full((3, 6), -1, dtype=torch.int32)
    start = projected.data_ptr()
    store = (keys.data_ptr(), values.data_ptr(), positions.data_ptr(), ancestors.data_ptr())
    kernels.append(start + 32, start + 64, 24, *store, 3, 2, 6, 4)
    assert ancestors[torch.arange(3), positions].tolist() == [0, 1, 2]
    assert int((ancestors >= 0).sum()) == 3
    expected = torch.zeros_like(keys)
    expected[torch.arange(3), :, positions] = projected[:, 8:16].view(3, 2, 4)
    assert torch.equal(keys, expected)
    assert torch.equal(values[torch.arange(3), :, positions], projected[:, 16:].view(3, 2, 4))


def test_the_sum_of_hidden_and_residual_is_normalised(kernels: Kernels) -> None:
    torch.manual_seed(4)
    hidden, residual, weight, bias = torch.randn(5, 48), torch.randn(5, 48), torch.randn(48), torch.randn(48)
    total, output = torch.empty(5, 48), torch.empty(5, 48)
    kernels.add_norm(
        *(hidden.data_ptr(), residual.data_ptr(), weight.data_ptr(), bias.data_ptr(), 1e-5),
        *(total.data_ptr(), output.data_ptr(), 5, 48),
    )
    torch.testing.assert_close(
        output, functional.layer_norm(hidden + residual, (48,), weight, bias), atol=1e-5, rtol=1e-5
    )
    assert torch.equal(total, hidden + residual)


def peak(kernels: Kernels, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows, width = scores.shape
    total, best, index = torch.empty(rows), torch.empty(rows), torch.empty(rows, dtype=torch.int64)
    turned, numbers = scores.flip(0), torch.arange(rows).flip(0)
    kernels.peak(
        turned.data_ptr(), numbers.data_ptr(), total.data_ptr(), best.data_ptr(), index.data_ptr(), rows, width
    )
    return total, best, index


@pytest.mark.parametrize("width", [1, 63, 64, 65, 1000])
def test_the_peak_is_argmax_and_log_sum_exp(kernels: Kernels, width: int) -> None:
    torch.manual_seed(width)
    scores = torch.randn(9, width) * 8
    scores[1, : width // 2] = -torch.inf
    total, best, index = peak(kernels, scores)
    torch.testing.assert_close(total, scores.logsumexp(1), atol=1e-5, rtol=1e-6)
    assert torch.equal(best, scores.amax(1))
    assert torch.equal(index, scores.argmax(1))


def test_a_row_with_no_finite_choice_has_no_number_as_its_sum(kernels: Kernels) -> None:
    scores = torch.randn(3, 100)
    scores[1] = -torch.inf
    scores[2, 77] = torch.nan
    total, _, _ = peak(kernels, scores)
    assert total.isnan().tolist() == [False, True, True]
