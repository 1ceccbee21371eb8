"""Recorded steps give what ``generate`` gives for each segment alone, whatever shape a crowd falls into.

The recordings keep the operations with the tensors they were called with, so that a replay that reads anything but
the buffers of a step gives old numbers here as it would on a GPU.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from glossd.models.base import Seq2SeqModel
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.types import GenerationRequest

from tests.checkpoints import FAMILIES, parity_segments
from tests.conftest import Checkpoints
from tests.device_road import Tape, load_for_device
from tests.parity.reference import decode_in_crowd, generate_alone, params_of
from tests.parity.test_families import BEAMS, FULL

SEGMENTS = 48
TRIED = FAMILIES if FULL else ("marian", "bart", "nllb", "t5", "umt5")


def pair(family: str, checkpoints: Checkpoints) -> tuple[Any, Seq2SeqModel]:
    from transformers import AutoModelForSeq2SeqLM

    reference = AutoModelForSeq2SeqLM.from_pretrained(checkpoints(family), local_files_only=True).eval()
    return reference, load_for_device(checkpoints(family), captures=Tape)


def assert_as_alone(reference: Any, model: Seq2SeqModel, requests: list[GenerationRequest], *, rows: int) -> None:
    together = decode_in_crowd(model, requests, rows=rows, seed=len(requests), queued=True)
    alone = [generate_alone(reference, request.source_ids, request.params) for request in requests]
    assert [entry.token_ids for entry in together] == [entry.token_ids for entry in alone]
    assert [entry.score for entry in together] == pytest.approx([entry.score for entry in alone], abs=1e-4)
    assert [entry.finish_reason for entry in together] == [entry.finish_reason for entry in alone]


@pytest.mark.parametrize("family", TRIED)
def test_a_crowd_of_recorded_steps_gives_what_each_segment_gives_alone(family: str, checkpoints: Checkpoints) -> None:
    reference, model = pair(family, checkpoints)
    settings = LoadSettings(dtype="float32", device="cpu")
    tokenizer = load_checkpoint(str(checkpoints(family)), settings=settings).tokenizer
    requests = []
    for number, segment in enumerate(parity_segments(SEGMENTS)):
        ids = tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
        requests.append(GenerationRequest(ids, params_of(model.info, num_beams=BEAMS[number % len(BEAMS)])))
    assert_as_alone(reference, model, requests, rows=20)


@pytest.mark.parametrize("family", ["bart", "t5"])
@pytest.mark.parametrize("beams", [(1,), (3,), (1, 4)])
def test_long_texts_outgrow_shape_after_shape(family: str, beams: tuple[int, ...], checkpoints: Checkpoints) -> None:
    reference, model = pair(family, checkpoints)
    chance = random.Random(3)
    requests = []
    for number in range(8):
        ids = tuple(chance.randrange(60, 400) for _ in range(chance.choice((5, 60, 130, 200))))
        count = beams[number % len(beams)]
        params = params_of(model.info, num_beams=count, min_new_tokens=60 + 10 * number, max_new_tokens=150)
        requests.append(GenerationRequest((*ids, model.info.eos_token_ids[0]), params))
    assert_as_alone(reference, model, requests, rows=8)
