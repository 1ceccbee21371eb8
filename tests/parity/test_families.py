"""The core's first test: in a crowd of any kind, every family gives what ``generate`` gives for each segment alone.

By default each family decodes 200 segments, 50 each of greedy and beams 2, 4 and 6, all in one running batch. With
``GLOSSD_PARITY=full`` (``make parity``) each of the four gets 200 segments of its own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from glossd.models.base import Seq2SeqModel
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.types import GenerationRequest

from tests.checkpoints import FAMILIES, make_checkpoint, parity_segments
from tests.parity.reference import decode_in_crowd, generate_alone, params_of

SEGMENTS = 200
BEAMS = (1, 2, 4, 6)
FULL = os.environ.get("GLOSSD_PARITY") == "full"


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Seq2SeqModel, Any]:
    """A checkpoint of one family: as transformers loads it, and as glossd loads it."""
    from transformers import AutoModelForSeq2SeqLM

    directory: Path = make_checkpoint(request.param, tmp_path_factory.mktemp(request.param))
    reference = AutoModelForSeq2SeqLM.from_pretrained(directory, local_files_only=True).eval()
    checkpoint = load_checkpoint(str(directory), settings=LoadSettings(dtype="float32", device="cpu"))
    return reference, checkpoint.model, checkpoint.tokenizer


def requests_for(model: Seq2SeqModel, tokenizer: Any, beams: list[int]) -> list[GenerationRequest]:
    """One request a beam number, over segments of mixed length."""
    ids = [_encode(tokenizer, segment) for segment in parity_segments(len(beams))]
    return [
        GenerationRequest(source, params_of(model.info, num_beams=count))
        for source, count in zip(ids, beams, strict=True)
    ]


def _encode(tokenizer: Any, segment: str) -> tuple[int, ...]:
    ids: tuple[int, ...] = tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
    return ids


def test_a_crowd_gives_what_each_segment_gives_alone(pair: tuple[Any, Seq2SeqModel, Any]) -> None:
    reference, model, tokenizer = pair
    plans = [[beams] * SEGMENTS for beams in BEAMS] if FULL else [[*BEAMS] * (SEGMENTS // len(BEAMS))]
    for seed, plan in enumerate(plans):
        requests = requests_for(model, tokenizer, plan)
        together = decode_in_crowd(model, requests, rows=24, seed=seed)
        alone = [generate_alone(reference, request.source_ids, request.params) for request in requests]
        assert [entry.token_ids for entry in together] == [entry.token_ids for entry in alone]
        assert [entry.score for entry in together] == pytest.approx([entry.score for entry in alone], abs=1e-4)
        assert [entry.finish_reason for entry in together] == [entry.finish_reason for entry in alone]


def test_outputs_vary_and_end_at_different_lengths(pair: tuple[Any, Seq2SeqModel, Any]) -> None:
    _, model, tokenizer = pair
    outputs = decode_in_crowd(model, requests_for(model, tokenizer, [1] * 60), rows=24, seed=0)
    assert len({entry.token_ids for entry in outputs}) > 20
    assert len({len(entry.token_ids) for entry in outputs}) >= 3


def test_a_checkpoint_without_options_decodes_as_generate_does_by_itself(pair: tuple[Any, Seq2SeqModel, Any]) -> None:
    """The defaults that are read from the generation config mean the same to both."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    reference, model, tokenizer = pair
    fresh = AutoModelForSeq2SeqLM.from_pretrained(reference.name_or_path, local_files_only=True).eval()
    for segment in parity_segments(8):
        source = _encode(tokenizer, segment)
        output = fresh.generate(torch.tensor([source]))[0, 1:].tolist()
        request = GenerationRequest(source, params_of(model.info))
        ours = decode_in_crowd(model, [request], rows=24, seed=0)[0].token_ids
        assert output[: len(ours)] == list(ours)
        assert all(token == model.info.pad_token_id for token in output[len(ours) :])
