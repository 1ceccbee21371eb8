"""Every decoding option means what it means in ``generate``, also when rows with different options share a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glossd.models.base import Seq2SeqModel
from glossd.models.loading import LoadSettings, load_checkpoint
from glossd.types import GenerationRequest

from tests.checkpoints import make_checkpoint, parity_segments
from tests.parity.reference import decode_in_crowd, generate_alone, params_of

END = -1  # stands for the family's own end token

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "short": {"max_new_tokens": 5},
    "one token": {"max_new_tokens": 1},
    "at least 15": {"min_new_tokens": 15},
    "long preferred": {"length_penalty": 2.0},
    "short preferred": {"length_penalty": -1.0},
    "no length penalty": {"length_penalty": 0.0},
    "stop when full": {"early_stopping": True},
    "never stop early": {"early_stopping": "never", "length_penalty": 1.5},
    "no repeated word": {"no_repeat_ngram_size": 1, "max_new_tokens": 12},
    "no repeated pair": {"no_repeat_ngram_size": 2},
    "no repeated triple": {"no_repeat_ngram_size": 3},
    "repetition punished": {"repetition_penalty": 1.7},
    "repetition rewarded": {"repetition_penalty": 0.6},
    "forced first": {"forced_bos_token_id": 11},
    "forced last": {"max_new_tokens": 9, "forced_eos_token_id": END},
    "suppressed": {"suppressed": tuple(range(20, 120))},
    "bad words": {"bad_words": ((30,), (31,), (40, 41), (50, 51, 52))},
    "renormalized": {"renormalize": True, "suppressed": tuple(range(20, 160))},
    "two ends": {"eos_token_ids": (END, 60)},
    "all at once": {
        "min_new_tokens": 4,
        "max_new_tokens": 14,
        "no_repeat_ngram_size": 2,
        "repetition_penalty": 1.2,
        "length_penalty": 1.4,
        "early_stopping": True,
        "forced_bos_token_id": 13,
        "forced_eos_token_id": END,
        "suppressed": (21, 22),
        "bad_words": ((30,), (40, 41)),
    },
}


@pytest.fixture(scope="module", params=["bart", "t5"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Seq2SeqModel, Any]:
    """One checkpoint of each family shape, twice loaded."""
    from transformers import AutoModelForSeq2SeqLM

    directory = make_checkpoint(request.param, tmp_path_factory.mktemp(request.param))
    reference = AutoModelForSeq2SeqLM.from_pretrained(directory, local_files_only=True).eval()
    checkpoint = load_checkpoint(str(directory), settings=LoadSettings(dtype="float32", device="cpu"))
    return reference, checkpoint.model, checkpoint.tokenizer


def test_options_mean_what_they_mean_in_generate(pair: tuple[Any, Seq2SeqModel, Any]) -> None:
    reference, model, tokenizer = pair
    end = model.info.eos_token_ids[0]
    cases: list[tuple[str, GenerationRequest]] = []
    for number, (name, changes) in enumerate(OPTIONS.items()):
        changes = {key: _with_end(value, end) for key, value in changes.items()}
        for beams in (1, 3, 4):
            segment = parity_segments(60)[(7 * number + beams) % 60]
            source = tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
            asked = {"min_new_tokens": 0} | changes
            cases.append((name, GenerationRequest(source, params_of(model.info, num_beams=beams, **asked))))
    together = decode_in_crowd(model, [request for _, request in cases], rows=20, seed=3)
    for (name, request), ours in zip(cases, together, strict=True):
        alone = generate_alone(reference, request.source_ids, request.params)
        assert ours.token_ids == alone.token_ids, f"{name}, {request.params.num_beams} beams"
        assert ours.score == pytest.approx(alone.score, abs=1e-4), f"{name}, {request.params.num_beams} beams"


def _with_end(value: Any, end: int) -> Any:
    """Put the family's own end token where the table says END."""
    if isinstance(value, tuple):
        return tuple(end if item == END else item for item in value)
    return end if value == END and isinstance(value, int) else value


def test_a_vocabulary_whose_tail_is_ruled_out_is_decoded_without_it(tmp_path: Path) -> None:
    """As in a joint vocabulary with the target's pieces first: the projection ends where the bias bars the rest."""
    from transformers import AutoModelForSeq2SeqLM

    reference = AutoModelForSeq2SeqLM.from_pretrained(make_checkpoint("marian", tmp_path), local_files_only=True).eval()
    reference.final_logits_bias[0, 400:] = -1e4
    reference.save_pretrained(tmp_path)
    checkpoint = load_checkpoint(str(tmp_path), settings=LoadSettings(dtype="float32", device="cpu"))
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    requests = []
    for number, segment in enumerate(parity_segments(48)):
        source = tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
        penalty = (1.0, 1.3)[number // 4 % 2]
        asked = params_of(model.info, num_beams=(1, 2, 4, 6)[number % 4], repetition_penalty=penalty)
        requests.append(GenerationRequest(source, asked))
    together = decode_in_crowd(model, requests, rows=20, seed=5)
    for request, ours in zip(requests, together, strict=True):
        alone = generate_alone(reference, request.source_ids, request.params)
        assert ours.token_ids == alone.token_ids
        assert ours.score == pytest.approx(alone.score, abs=1e-4)
        assert max(ours.token_ids) < 400
