"""Recorded steps: which shapes there are, when recordings are dropped, and that filling a shape up leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from glossd.errors import ModelFaultError
from glossd.models import graphed
from glossd.models.base import Seq2SeqModel
from glossd.models.cache import CacheShape, KVCache, Layout
from glossd.models.capture import CudaCapture
from glossd.models.compute import Compute
from glossd.models.graphed import StaticCache, bucket
from glossd.models.step import DecodeStep

from tests.conftest import Checkpoints
from tests.device_road import Tape, load_for_device

LENGTHS = [5, 1, 33, 17]
CPU = torch.device("cpu")


class Tapes:
    """Makes tapes and keeps them."""

    def __init__(self) -> None:
        self.made: list[Tape] = []

    def __call__(self) -> Tape:
        self.made.append(Tape())
        return self.made[-1]


def begin(model: Seq2SeqModel, *, rows: int = 12, sources: int = 8) -> KVCache:
    """Five rows over four sources; one source has two of them."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 50, (len(LENGTHS), max(LENGTHS)), generator=generator)
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = model.info.pad_token_id
    cache = model.new_cache(rows=rows, sources=sources)
    cache.reserve_sources([0, 1, 2, 3], LENGTHS)
    model.encode(ids, torch.tensor(LENGTHS), torch.arange(4), cache)
    cache.arrange([0, 1, 2, 2, 3], sources=4)
    return cache


def walk(model: Seq2SeqModel, cache: KVCache, steps: range) -> torch.Tensor:
    """The scores (steps, 5, V) of five rows of different age, fed fixed tokens."""
    scores = []
    for step in steps:
        positions = torch.tensor([step, step, step // 2, step // 2, step])
        scores.append(model.decode(7 + positions, positions, cache).clone())
    return torch.stack(scores)


def test_shapes_are_powers_of_two_and_what_lies_halfway() -> None:
    assert [bucket(count) for count in (1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 64, 65, 100)] == [
        *(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    ]
    assert all(bucket(2 * bucket(count)) == 2 * bucket(count) for count in range(1, 600))
    assert all(count <= bucket(count) < max(2, 1.5 * count) for count in range(1, 600))


@pytest.mark.parametrize("family", ["bart", "nllb", "t5", "umt5"])
@torch.inference_mode()
def test_a_recorded_step_is_the_same_step(family: str, checkpoints: Checkpoints) -> None:
    plain, recorded = load_for_device(checkpoints(family)), load_for_device(checkpoints(family), captures=Tape)
    expected = walk(plain, begin(plain), range(20))
    cache = begin(recorded)
    torch.testing.assert_close(walk(recorded, cache, range(20)), expected, atol=1e-4, rtol=1e-4)
    assert isinstance(cache, StaticCache)
    assert cache.recorded == 1


@torch.inference_mode()
def test_what_fills_a_shape_up_leaves_no_trace(checkpoints: Checkpoints) -> None:
    model = load_for_device(checkpoints("marian"), captures=Tape)
    clean = walk(model, begin(model), range(20))
    cache = begin(model)
    walk(model, cache, range(1))
    for store, live in zip(cache.stores(), (5, 4), strict=True):
        for tensor in store:
            tensor[:, live:] = torch.nan
    before = [[tensor.clone() for tensor in store] for store in cache.stores()]
    assert torch.equal(walk(model, cache, range(20)), clean)
    for old, new in zip(before[0], cache.stores()[0], strict=True):
        assert torch.equal(new[:, 5, :, 1:].isnan(), torch.ones_like(new[:, 5, :, 1:]).bool())
        torch.testing.assert_close(new[:, 6:], old[:, 6:], rtol=0, atol=0, equal_nan=True)
    for old, new in zip(before[1], cache.stores()[1], strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=0, equal_nan=True)


@torch.inference_mode()
def test_a_store_that_moves_drops_all_recordings(checkpoints: Checkpoints) -> None:
    tapes = Tapes()
    model = load_for_device(checkpoints("bart"), captures=tapes)
    plain = load_for_device(checkpoints("bart"))
    cache = begin(model)
    assert isinstance(cache, StaticCache)
    walk(model, cache, range(60, 64))
    assert (cache.recorded, len(tapes.made)) == (1, 1)
    walk(model, cache, range(64, 65))  # more positions than there was room for
    assert (cache.recorded, len(tapes.made)) == (1, 2)
    cache.arrange([0, 1, 2, 3], sources=4)
    model.decode(torch.full((4,), 7), torch.full((4,), 3), cache)
    assert (cache.recorded, len(tapes.made)) == (2, 2)
    cache.reserve_sources([4], [100])
    cache.arrange([0, 1, 2, 2, 3], sources=4)
    after = walk(model, cache, range(20))
    assert (cache.recorded, len(tapes.made)) == (1, 3)
    torch.testing.assert_close(after, walk(plain, begin(plain), range(20)), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_no_more_than_so_many_steps_are_kept(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed, "MOST_RECORDED", 2)
    tapes = Tapes()
    model = load_for_device(checkpoints("t5"), captures=tapes)
    cache = begin(model)
    assert isinstance(cache, StaticCache)
    for rows in (5, 4, 5, 2, 5, 4):
        cache.arrange([0, 1, 2, 2, 3][:rows], sources=4)
        model.decode(torch.full((rows,), 7), torch.zeros(rows, dtype=torch.int64), cache)
        assert cache.recorded <= 2
    assert len(tapes.made) == 1
    assert len(tapes.made[0].lengths) == 4  # five rows were never the ones used longest ago


@pytest.mark.parametrize(("rows", "sources"), [(7, 7), (10, 3), (36, 6), (5, 5), (64, 8)])
@torch.inference_mode()
def test_every_row_of_a_shape_has_a_place_of_its_own_in_any_cache(rows: int, sources: int) -> None:
    """Whatever numbers of rows and sources there are, and however many rows a source has."""
    shape = CacheShape(1, 1, 1, rows, sources)
    cache = StaticCache(shape, dtype=torch.float32, device=CPU, vocabulary=3, captures=Tape)
    layouts: list[Layout] = []

    def next_scores(tokens: torch.Tensor, positions: torch.Tensor, step: DecodeStep) -> torch.Tensor:
        layouts.append(step.layout)
        return torch.zeros(len(tokens), 3)

    for row_sources in arrangements(rows, sources):
        live = len(row_sources)
        cache.reserve_sources(list(range(max(row_sources) + 1)), [3] * (max(row_sources) + 1))
        cache.arrange(row_sources, sources=max(row_sources) + 1)
        numbers = torch.zeros(live, dtype=torch.int64)
        recorded = len(layouts)
        cache.decode(next_scores, numbers, numbers)
        if len(layouts) > recorded:
            layout = layouts[-1]
            places = list(zip(layout.row_sources.tolist(), layout.row_lanes.tolist(), strict=True))
            assert live <= len(places) <= rows
            assert [source for source, _ in places[:live]] == row_sources
            assert len(set(places)) == len(places)
            assert all(source < layout.sources <= sources and lane < layout.lanes for source, lane in places)
            assert not layout.regular or places == [divmod(row, layout.lanes) for row in range(len(places))]


def arrangements(rows: int, sources: int) -> Iterator[list[int]]:
    """Which source each row reads: the same number of rows for all of some sources, or one row more for the last."""
    for most in range(1, sources + 1):
        for lanes in range(1, rows // most + 1):
            even = [row // lanes for row in range(most * lanes)]
            yield even
            if len(even) < rows:
                yield [*even, most - 1]


def test_graphs_are_for_cuda_devices() -> None:
    on_gpu = Compute.choose(dtype=torch.bfloat16, device=torch.device("cuda"), graphs=True)
    assert on_gpu.captures is not None
    assert Compute.choose(dtype=torch.bfloat16, device=torch.device("cuda")).captures is None
    assert Compute.choose(dtype=torch.float32, device=CPU, graphs=True).captures is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU would record it")
def test_a_capture_that_fails_names_the_setting(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelFaultError, match=r"on cuda:0; models\.cuda_graphs=false runs without"):
        CudaCapture(torch.device("cuda:0")).record(lambda: None)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "models.cuda_graphs=false" in caplog.text
