"""What transformers gives for one segment alone, and a seeded crowd that decodes many segments at once."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future
from typing import Any

import torch
from glossd.decoding.search import Hypothesis
from glossd.engine.runner import Runner
from glossd.engine.sequence import Sequence
from glossd.models.base import ModelInfo, Seq2SeqModel
from glossd.types import GenerationParams, GenerationRequest


def params_of(info: ModelInfo, **changes: Any) -> GenerationParams:
    """A model's own settings with some changed."""
    defaults = info.defaults
    asked: dict[str, Any] = {
        "decoder_start_token_id": info.decoder_start_token_id,
        "eos_token_ids": info.eos_token_ids,
        "max_new_tokens": defaults.max_new_tokens,
        "min_new_tokens": defaults.min_new_tokens,
        "num_beams": defaults.num_beams,
        "length_penalty": defaults.length_penalty,
        "early_stopping": defaults.early_stopping,
        "no_repeat_ngram_size": defaults.no_repeat_ngram_size,
        "repetition_penalty": defaults.repetition_penalty,
        "forced_bos_token_id": defaults.forced_bos_token_id,
        "forced_eos_token_id": defaults.forced_eos_token_id,
        "suppressed": defaults.suppressed,
        "bad_words": defaults.bad_words,
        "renormalize": defaults.renormalize,
    }
    return GenerationParams(**(asked | changes))


def generate_alone(model: Any, source_ids: SequenceOf[int], params: GenerationParams) -> Hypothesis:
    """``transformers`` ``generate`` on one segment, with nothing taken from the checkpoint's generation config."""
    from transformers import GenerationConfig

    pad = model.config.pad_token_id
    config = GenerationConfig(
        decoder_start_token_id=params.decoder_start_token_id,
        eos_token_id=list(params.eos_token_ids),
        pad_token_id=pad,
        max_length=params.max_new_tokens + 1,
        min_new_tokens=params.min_new_tokens or None,
        num_beams=params.num_beams,
        length_penalty=params.length_penalty,
        early_stopping=params.early_stopping,
        no_repeat_ngram_size=params.no_repeat_ngram_size,
        repetition_penalty=params.repetition_penalty,
        forced_bos_token_id=params.forced_bos_token_id,
        forced_eos_token_id=params.forced_eos_token_id,
        suppress_tokens=list(params.suppressed) or None,
        renormalize_logits=params.renormalize,
        bad_words_ids=[list(word) for word in params.bad_words] or None,
        return_dict_in_generate=True,
        output_scores=True,
        do_sample=False,
    )
    model.generation_config = config
    output = model.generate(torch.tensor([list(source_ids)]), generation_config=config)
    tokens = output.sequences[0, 1:].tolist()
    for index, token in enumerate(tokens):
        if token in params.eos_token_ids:
            tokens = tokens[: index + 1]
            break
    if params.num_beams > 1:
        score = float(output.sequences_scores[0])
    else:
        steps = model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)[0]
        score = float(steps[: len(tokens)].sum()) / len(tokens)
    return Hypothesis(tuple(tokens), score, _reason(tokens, params))


def _reason(tokens: list[int], params: GenerationParams) -> Any:
    from glossd.types import FinishReason

    return FinishReason.COMPLETE if tokens[-1] in params.eos_token_ids else FinishReason.LENGTH


def decode_in_crowd(
    model: Seq2SeqModel, requests: SequenceOf[GenerationRequest], *, rows: int, seed: int, queued: bool = False
) -> list[Hypothesis]:
    """Decode all requests in one running batch that they join in random order, in random numbers, between steps."""
    chance = random.Random(seed)
    runner = Runner(model, rows=rows, sources=rows, device=torch.device("cpu"), queued=queued)
    order = list(range(len(requests)))
    chance.shuffle(order)
    numbers: dict[int, int] = {}
    kept: list[Sequence] = []
    outcomes: dict[int, Hypothesis] = {}
    while order or runner.live:
        joining: list[Sequence] = []
        free = runner.free_rows
        for _ in range(chance.choice((0, 0, 1, 2, 5)) if runner.live else 3):
            if order and requests[order[-1]].params.num_beams <= free:
                number = order.pop()
                sequence = Sequence(requests[number], time.monotonic_ns(), [Future()])
                numbers[id(sequence)] = number
                free -= sequence.beams
                joining.append(sequence)
        if joining:
            runner.admit(joining)
        for finished in runner.step() if runner.live else []:
            assert isinstance(finished.outcome, Hypothesis)
            outcomes[numbers[id(finished.sequence)]] = finished.outcome
        kept.extend(joining)

    return [outcomes[number] for number in range(len(requests))]
