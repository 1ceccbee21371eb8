"""Whole steps in the C operators against the same int8 model in PyTorch's operators, for every family."""

from __future__ import annotations

import pytest
import torch
from glossd.models.base import Seq2SeqModel
from glossd.models.cache import KVCache
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.models.program import ProgramCache, _groups
from glossd.native import load_kernels

from tests.checkpoints import FAMILIES
from tests.conftest import Checkpoints

KERNELS = load_kernels()
built = pytest.mark.skipif(
    KERNELS is None or not KERNELS.level, reason="no compiled operators with 8-bit products for this processor"
)
LENGTHS = [5, 1, 33, 17]
STEPS = 20


def load(directory: str, dtype: str) -> Seq2SeqModel:
    return load_checkpoint(directory, settings=LoadSettings(dtype=dtype, device="cpu")).model


def walk(model: Seq2SeqModel) -> tuple[torch.Tensor, KVCache]:
    """The scores (STEPS, 5, V) of five rows over four sources, all rows fed the same tokens."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 50, (len(LENGTHS), max(LENGTHS)), generator=generator)
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = model.info.pad_token_id
    cache = model.new_cache(rows=8, sources=6)
    slots = [0, 1, 2, 3]
    cache.reserve_sources(slots, LENGTHS)
    model.encode(ids, torch.tensor(LENGTHS), torch.tensor(slots), cache)
    cache.arrange([0, 1, 2, 2, 3], sources=4)
    scores = []
    for step in range(STEPS):
        tokens = torch.full((5,), model.info.decoder_start_token_id if step == 0 else 7 + step)
        scores.append(model.decode(tokens, torch.full((5,), step), cache).clone())
    return torch.stack(scores), cache


@built
@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_step_is_the_step_in_pytorch_but_for_its_rounding(
    family: str, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(checkpoints(family))
    exact, _ = walk(load(directory, "float32"))
    ours, cache = walk(load(directory, "int8"))
    monkeypatch.setattr(KERNELS, "level", 0)
    theirs, other = walk(load(directory, "int8"))
    assert isinstance(cache, ProgramCache)
    assert not isinstance(other, ProgramCache)
    ours, behind = ours[..., : exact.shape[-1]], ours[..., exact.shape[-1] :]
    assert bool((behind == -torch.inf).all())
    seen = exact > -1e4
    assert (ours - theirs)[seen].norm() / exact[seen].norm() < 0.05
    assert (ours - exact)[seen].norm() < 1.1 * (theirs - exact)[seen].norm()


@built
def test_every_operation_of_a_step_can_be_timed(checkpoints: Checkpoints) -> None:
    model = load(str(checkpoints("marian")), "int8")
    _, cache = walk(model)
    assert isinstance(cache, ProgramCache)
    assert not any(cache.decoder.spent)
    cache.decoder.measure()
    cache.arrange([0], sources=4)
    model.decode(torch.tensor([7]), torch.tensor([0]), cache)
    assert all(cache.decoder.spent)
    assert len(cache.decoder.spent) == len(cache.decoder.program.parts)


def test_sources_are_encoded_some_at_a_time_and_a_long_one_alone() -> None:
    assert _groups([3]) == [(0, 1)]
    assert _groups([300, 212, 1, 700, 600, 5]) == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]
    assert _groups([600, 5, 6]) == [(0, 1), (1, 3)]
