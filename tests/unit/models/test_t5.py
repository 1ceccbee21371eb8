"""The T5-like shape against transformers' own forward pass: any age of rows, any padding, joins and leaves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from glossd.models.distance import DistanceBias, bucket_numbers
from glossd.models.loading import LoadSettings, load_checkpoint
from transformers import AutoModelForSeq2SeqLM
from transformers.models.t5.modeling_t5 import T5Attention

Checkpoints = Callable[..., Path]
FAMILIES = ("t5", "flan-t5", "mt5", "umt5")
SETTINGS = LoadSettings(dtype="float32", device="cpu")


@dataclass
class Case:
    """One source, one forced target, and the logits (T, V) that transformers gives for them alone."""

    source: list[int]
    target: list[int]
    logits: torch.Tensor
    age: int = 0
    worst: float = field(default=0.0)


def make_cases(reference: Any, count: int, chance: random.Random) -> list[Case]:
    cases = []
    for _ in range(count):
        source = [chance.randrange(3, 800) for _ in range(chance.randint(1, 60))] + [1]
        target = [0] + [chance.randrange(3, 800) for _ in range(chance.randint(0, 50))]
        output = reference(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target]))
        cases.append(Case(source, target, output.logits[0]))
    return cases


def admit(model: Any, cache: Any, live: list[Case], joining: list[Case]) -> None:
    """Encode ``joining`` in one right-padded batch and give each the next free row and source."""
    slots = list(range(len(live), len(live) + len(joining)))
    lengths = [len(case.source) for case in joining]
    padded = torch.full((len(joining), max(lengths)), model.info.pad_token_id)
    for row, case in enumerate(joining):
        padded[row, : len(case.source)] = torch.tensor(case.source)
    cache.reserve_sources(slots, lengths)
    model.encode(padded, torch.tensor(lengths), torch.tensor(slots), cache)
    live.extend(joining)


def leave(cache: Any, live: list[Case], row: int) -> None:
    """The last row takes the place of ``row``."""
    last = len(live) - 1
    if row != last:
        cache.move_rows(torch.tensor([last]), torch.tensor([row]), time=live[last].age)
        cache.copy_sources([last], [row])
        live[row] = live[last]
    live.pop()


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_logits_are_those_of_transformers_whatever_the_crowd(family: str, checkpoints: Checkpoints) -> None:
    directory = checkpoints(family)
    reference = AutoModelForSeq2SeqLM.from_pretrained(directory, local_files_only=True).eval()
    model: Any = load_checkpoint(str(directory), settings=SETTINGS).model
    chance = random.Random(7)
    waiting = make_cases(reference, 24, chance)
    done: list[Case] = []
    live: list[Case] = []
    cache = model.new_cache(rows=8, sources=8)
    while waiting or live:
        room = min(8 - len(live), len(waiting), chance.choice((0, 1, 2, 3)) if live else 3)
        if room:
            admit(model, cache, live, [waiting.pop() for _ in range(room)])
        cache.arrange(list(range(len(live))), sources=len(live))
        tokens = torch.tensor([case.target[case.age] for case in live])
        logits = model.decode(tokens, torch.tensor([case.age for case in live]), cache)
        for row, case in enumerate(live):
            error = (logits[row] - case.logits[case.age]).abs().max() / case.logits[case.age].abs().max()
            case.worst = max(case.worst, float(error))
            case.age += 1
        for row in reversed(range(len(live))):
            if live[row].age == len(live[row].target):
                done.append(live[row])
                leave(cache, live, row)
    assert len(done) == 24
    assert max(case.worst for case in done) < 1e-5


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("buckets", "reach"), [(32, 128), (8, 20), (16, 64), (32, 100)])
def test_buckets_are_those_of_t5(buckets: int, reach: int, both_ways: bool) -> None:
    distances = torch.arange(-3 * reach, 3 * reach + 1)
    expected = T5Attention._relative_position_bucket(distances, both_ways, buckets, reach)
    assert torch.equal(bucket_numbers(distances, buckets, reach, both_ways=both_ways), expected)


@pytest.mark.parametrize("both_ways", [True, False])
def test_all_distances_beyond_the_reach_share_a_bias(both_ways: bool) -> None:
    numbers = bucket_numbers(torch.arange(-128, 129), 32, 128, both_ways=both_ways)
    bias = DistanceBias(torch.randn(32, 4)[numbers], 128)
    near = bias.between(torch.tensor([0, 500]), torch.tensor([0, 200, 500]))
    assert near.shape == (4, 2, 3)
    assert near.is_contiguous()  # fused attention on a GPU takes no other
    assert torch.equal(near[:, 1, 0], near[:, 1, 1])
    assert torch.equal(near[:, 0, 1], near[:, 0, 2])


def test_what_a_family_scales_before_its_output_is_that_of_transformers(checkpoints: Checkpoints) -> None:
    models: list[Any] = [load_checkpoint(str(checkpoints(family)), settings=SETTINGS).model for family in FAMILIES]
    assert [model._head_scale for model in models[:3]] == pytest.approx([32**-0.5, 1.0, 1.0])
