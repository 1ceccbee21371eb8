"""Where torch sees a GPU: float32 there, with and without recorded steps, gives what the CPU gives."""

from __future__ import annotations

import pytest
import torch
from glossd.engine.engine import Engine
from glossd.engine.limits import EngineLimits
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.types import GenerationRequest

from tests.checkpoints import parity_segments
from tests.conftest import Checkpoints
from tests.parity.reference import decode_in_crowd, params_of

SEGMENTS = 48

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@pytest.mark.parametrize("graphs", [False, True], ids=["plain", "graphs"])
@pytest.mark.parametrize("family", ["bart", "nllb", "t5", "umt5"])
def test_a_crowd_on_a_gpu_decodes_what_it_does_on_a_cpu(family: str, graphs: bool, checkpoints: Checkpoints) -> None:
    here, there = (
        load_checkpoint(
            str(checkpoints(family)), settings=LoadSettings(dtype="float32", device=device, cuda_graphs=graphs)
        )
        for device in ("cpu", "cuda")
    )
    requests = []
    for number, segment in enumerate(parity_segments(SEGMENTS)):
        ids = here.tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
        requests.append(GenerationRequest(ids, params_of(here.model.info, num_beams=(1, 2, 4, 6)[number % 4])))
    expected = decode_in_crowd(here.model, requests, rows=20, seed=1)
    limits = EngineLimits(rows=20, sources=20, cache_entries=0)
    engine = Engine(there.model, limits=limits, device=torch.device(there.facts.device))
    try:
        answers = [future.result(300) for future in [engine.submit(request) for request in requests]]
    finally:
        engine.close()
    assert [answer.token_ids for answer in answers] == [entry.token_ids for entry in expected]
    assert [answer.score for answer in answers] == pytest.approx([entry.score for entry in expected], abs=1e-3)
