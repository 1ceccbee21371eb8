"""Which number format and device are chosen, on machines with and without a GPU of each kind."""

from __future__ import annotations

import pytest
import torch
from glossd.errors import InvalidInputError
from glossd.models.placement import choose_placement


def pretend(monkeypatch: pytest.MonkeyPatch, *, devices: int, bfloat16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16)


@pytest.mark.parametrize(
    ("gain", "wide_range", "expected", "reason"),
    [
        (6.24, False, "int8", "auto: an int8 product takes 1/6.2 of the time of one in float32"),
        (1.2, False, "float32", "auto: an int8 product takes 1/1.2 of the time of one in float32"),
        (0.0, False, "float32", "auto: no compiled int8 operators for this processor"),
        (6.24, True, "float32", "auto: this model's numbers span too wide a range for int8"),
    ],
)
def test_a_cpu_computes_in_int8_where_that_is_measured_to_be_worth_it(
    monkeypatch: pytest.MonkeyPatch, gain: float, wide_range: bool, expected: str, reason: str
) -> None:
    pretend(monkeypatch, devices=0, bfloat16=False)
    monkeypatch.setattr("glossd.models.quantized.int8_gain", lambda kernels: gain)
    placement = choose_placement("auto", "auto", wide_range=wide_range)
    assert (placement.dtype, placement.device, placement.reason) == (expected, "cpu", reason)
    assert placement.torch_dtype == torch.float32


def test_a_format_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, devices=0, bfloat16=False)
    assert choose_placement("float32", "auto").dtype == "float32"
    assert choose_placement("bfloat16", "cpu").torch_dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("bfloat16", "wide_range", "expected"),
    [
        (True, False, "bfloat16"),
        (True, True, "bfloat16"),
        (False, False, "float16"),
        (False, True, "float32"),
    ],
)
def test_a_gpu_gets_the_half_precision_that_it_and_the_model_have(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool, wide_range: bool, expected: str
) -> None:
    pretend(monkeypatch, devices=1, bfloat16=bfloat16)
    placement = choose_placement("auto", "auto", wide_range=wide_range)
    assert (placement.dtype, placement.device) == (expected, "cuda")
    assert placement.reason


def test_what_cannot_be_had_is_said_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, devices=2, bfloat16=True)
    assert choose_placement("float16", "cuda:1").device == "cuda:1"
    with pytest.raises(InvalidInputError, match=r"models\.device: cuda:2 was asked for; torch sees 2"):
        choose_placement("auto", "cuda:2")
    with pytest.raises(InvalidInputError, match=r"models\.dtype: this model overflows float16"):
        choose_placement("float16", "cuda", wide_range=True)
    with pytest.raises(InvalidInputError, match=r"models\.dtype: float16 needs a GPU"):
        choose_placement("float16", "cpu")
    with pytest.raises(InvalidInputError, match=r"models\.dtype: float64 is not to be had"):
        choose_placement("float64", "cpu")


def test_int8_is_for_cpus_that_have_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, devices=1, bfloat16=True)
    monkeypatch.setattr("glossd.models.quantized.int8_is_fast", lambda: True)
    placement = choose_placement("int8", "cpu")
    assert (placement.int8, placement.dtype, placement.torch_dtype) == (True, "int8", torch.float32)
    assert not choose_placement("float32", "cpu").int8
    with pytest.raises(InvalidInputError, match=r"models\.dtype: int8 runs on a CPU, not on cuda"):
        choose_placement("int8", "cuda")
    monkeypatch.setattr("glossd.models.quantized.int8_is_fast", lambda: False)
    with pytest.raises(InvalidInputError, match=r"models\.dtype: int8 needs a CPU with AVX512-VNNI or AMX"):
        choose_placement("int8", "cpu")
