"""Token tables that share the output projection's weight, and what a loaded int8 model keeps of its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from glossd.models.loading import take_over
from glossd.models.placement import choose_placement
from glossd.models.quantized import Int8Matrix
from glossd.models.verify import verify_checkpoint
from glossd.models.vocabulary import Int8Table
from glossd.models.weights import load_transformers
from glossd.native import Kernels, load_kernels
from torch.nn import functional

from tests.checkpoints import FAMILIES
from tests.conftest import Checkpoints

KERNELS = load_kernels()
built = pytest.mark.skipif(
    KERNELS is None or not KERNELS.level, reason="no compiled operators with 8-bit products for this processor"
)

DISTANCES = 500
"""More than T5's tables of distances have buckets, fewer than any vocabulary has tokens."""


@pytest.fixture
def kernels() -> Kernels:
    assert KERNELS is not None
    return KERNELS


@built
@pytest.mark.parametrize("shape", [(1, 1), (50, 70), (33, 512)])
def test_a_row_of_a_table_has_fifteen_bits_of_the_weights(kernels: Kernels, shape: tuple[int, int]) -> None:
    torch.manual_seed(4)
    weight = torch.randn(shape) * torch.logspace(-6, 3, shape[0])[:, None]
    table = Int8Table.of(weight, kernels=kernels)
    tokens = torch.arange(shape[0]).flip(0).expand(2, -1)
    lost = (table(tokens) - weight[tokens]).abs()
    assert (lost <= weight[tokens].abs().amax(-1, keepdim=True) / (127 * 2 * 127) * 1.01).all()


@built
def test_a_projection_shares_the_tables_memory_and_is_the_map_of_its_rows(kernels: Kernels) -> None:
    torch.manual_seed(5)
    weight, bias, hidden = torch.randn(90, 64), torch.randn(45), torch.randn(7, 64)
    table = Int8Table.of(weight, kernels=kernels)
    projection = table.projection(45, bias)
    assert projection.panels.data_ptr() == table.matrix.panels.data_ptr()
    assert torch.equal(projection(hidden), Int8Matrix.of(weight[:45], bias, kernels=kernels)(hidden))
    assert (projection(hidden) - functional.linear(hidden, weight[:45], bias)).abs().max() < 0.3


def tensors(thing: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """All tensors that a model holds, each memory once."""
    if id(thing) in seen or isinstance(thing, type | Kernels):
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        if thing.data_ptr() not in seen:
            seen.add(thing.data_ptr())
            yield thing
    elif dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from tensors(getattr(thing, field.name), seen)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from tensors(part, seen)
    elif hasattr(thing, "__dict__"):
        for part in vars(thing).values():
            yield from tensors(part, seen)


@built
@pytest.mark.parametrize("family", FAMILIES)
def test_an_int8_model_keeps_no_weight_in_float32(family: str, checkpoints: Checkpoints) -> None:
    directory: Path = checkpoints(family)
    verified, placement = verify_checkpoint(directory), choose_placement("int8", "cpu")
    loaded: Any = load_transformers(verified, placement)
    modules = {name: module for name, module in loaded.named_modules() if is_packed(module)}
    assert len(modules) > 10
    model = take_over(loaded, verified, placement)
    assert [name for name, module in modules.items() if module.weight.numel()] == []
    large = {tuple(tensor.shape) for tensor in tensors(model, set()) if tensor.is_floating_point() and tensor.ndim > 1}
    assert all(shape in positions(loaded) for shape in large)
    packed = [tensor for tensor in tensors(model, set()) if tensor.dtype == torch.int8]
    assert len(packed) >= 10


@pytest.mark.parametrize("family", ["marian", "t5"])
def test_a_float32_model_keeps_one_copy_of_each_weight(family: str, checkpoints: Checkpoints) -> None:
    verified, placement = verify_checkpoint(checkpoints(family)), choose_placement("float32", "cpu")
    loaded: Any = load_transformers(verified, placement)
    count = sum(weight.numel() for weight in loaded.parameters())
    model = take_over(loaded, verified, placement)
    del loaded
    kept = sum(each.untyped_storage().nbytes() // 4 for each in tensors(model, set()))
    assert kept <= 1.1 * count


def is_packed(module: Any) -> bool:
    """Whether a module's weight becomes integers: linear maps and token tables, not norms, positions or distances."""
    if isinstance(module, torch.nn.Linear):
        return True
    table = isinstance(module, torch.nn.Embedding) and "Position" not in type(module).__name__
    return table and module.weight.shape[0] > DISTANCES


def positions(loaded: Any) -> set[tuple[int, ...]]:
    """The shapes of tables that stay as they are: positions, and distances spelled out."""
    tables = {tuple(table.shape) for name, table in loaded.named_parameters() if "embed_positions" in name}
    tables |= {tuple(table.shape) for name, table in loaded.named_buffers() if "embed_positions" in name}
    reach = getattr(loaded.config, "relative_attention_max_distance", 0)
    heads = getattr(loaded.config, "num_heads", 0)
    return tables | {(2 * reach + 1, heads), (heads, 2 * reach + 1)}
