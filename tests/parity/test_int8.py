"""What int8 promises: the same bit for bit alone and in a crowd, and translations about as good as those of float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from glossd.config import ModelSettings
from glossd.errors import ModelFilesError
from glossd.models.hub import EMBEDDED, locate
from glossd.models.loading import Checkpoint, load_checkpoint
from glossd.models.quantized import int8_is_fast
from glossd.types import GenerationRequest

from tests.checkpoints import parity_segments
from tests.conftest import Checkpoints
from tests.parity.reference import decode_in_crowd, params_of
from tests.tokenizer_files import parallel_sentences

SEGMENTS = 300
SENTENCES = 100

pytestmark = pytest.mark.skipif(
    not int8_is_fast(), reason="this processor does not sum 8-bit products exactly in hardware"
)


def load(source: str, dtype: Literal["float32", "int8"]) -> Checkpoint:
    return load_checkpoint(source, settings=ModelSettings(dtype=dtype, device="cpu"))


def load_embedded(dtype: Literal["float32", "int8"]) -> Checkpoint:
    try:
        locate(EMBEDDED)
    except ModelFilesError:
        pytest.skip("the checkout carries no embedded model")
    return load(EMBEDDED, dtype)


def requests_of(checkpoint: Checkpoint, texts: list[str], *beams: int, limit: int = 0) -> list[GenerationRequest]:
    """The texts' segments, each with one of the numbers of beams in turn, and a limit of tokens if one is given."""
    tokenizer, info = checkpoint.tokenizer, checkpoint.model.info
    target = "zh-Hans" if "zh-Hans" in tokenizer.target_language_codes else tokenizer.target_language_codes[0]
    most = min(limit or info.defaults.max_new_tokens, info.defaults.max_new_tokens)
    params = [params_of(info, num_beams=count, max_new_tokens=most) for count in beams]
    encoded = [tokenizer.encode(text, source_language="en", target_language=target) for text in texts]
    return [GenerationRequest(ids, params[index % len(params)]) for index, ids in enumerate(encoded)]


def assert_same_alone_and_in_a_crowd(checkpoint: Checkpoint, requests: list[GenerationRequest]) -> None:
    """Tokens and scores, compared as they are: every bit of a score is one of the sums that led to it."""
    crowd = decode_in_crowd(checkpoint.model, requests, rows=32, seed=7)
    alone = [decode_in_crowd(checkpoint.model, [request], rows=8, seed=0)[0] for request in requests]
    assert [(one.token_ids, one.score) for one in alone] == [(one.token_ids, one.score) for one in crowd]


def test_segments_are_the_same_bit_for_bit_alone_and_in_a_crowd() -> None:
    checkpoint = load_embedded("int8")
    requests = requests_of(checkpoint, parity_segments(SEGMENTS), 1, 2, 3, limit=16)
    assert len(requests) == SEGMENTS
    assert len({len(request.source_ids) for request in requests}) > 10
    assert_same_alone_and_in_a_crowd(checkpoint, requests)


def test_a_segment_is_the_same_bit_for_bit_whatever_rules_the_others_have() -> None:
    checkpoint = load_embedded("int8")
    end = checkpoint.model.info.eos_token_ids[0]
    rules: list[dict[str, Any]] = [
        {},
        {"forced_eos_token_id": end, "max_new_tokens": 7},
        {"repetition_penalty": 1.3},
        {"renormalize": True},
        {"no_repeat_ngram_size": 2, "forced_eos_token_id": end, "max_new_tokens": 11},
    ]
    requests = [
        replace(request, params=replace(request.params, **rules[number % len(rules)]))
        for number, request in enumerate(requests_of(checkpoint, parity_segments(90), 4, 1, 2, limit=16))
    ]
    assert_same_alone_and_in_a_crowd(checkpoint, requests)


@pytest.mark.parametrize("family", ["bart", "nllb", "t5"])
def test_other_families_are_the_same_bit_for_bit_alone_and_in_a_crowd(family: str, checkpoints: Checkpoints) -> None:
    checkpoint = load(str(checkpoints(family)), "int8")
    assert_same_alone_and_in_a_crowd(checkpoint, requests_of(checkpoint, parity_segments(60), 1, 3))


def test_int8_translates_as_well_as_float32() -> None:
    """A loose bound on the loss: the figure itself, on more sentences, stands in docs/performance.md."""
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    pairs = parallel_sentences()[:SENTENCES]
    scores = {}
    for dtype in ("float32", "int8"):
        checkpoint = load_embedded(dtype)
        requests = requests_of(checkpoint, [english for english, _ in pairs], 1, limit=100)
        outputs = decode_in_crowd(checkpoint.model, requests, rows=32, seed=3)
        texts = [checkpoint.tokenizer.decode(output.token_ids) for output in outputs]
        scores[dtype] = sacrebleu.corpus_bleu(texts, [[chinese for _, chinese in pairs]], tokenize="zh").score
    assert scores["int8"] > scores["float32"] - 1.5
