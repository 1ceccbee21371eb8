"""What is read from configurations: limits that count the start token or do not, ids in every place they may stand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from glossd.errors import ModelFilesError
from glossd.models.facts import decode_defaults, eos_token_ids
from glossd.models.loading import LoadSettings, load_checkpoint
from transformers import BartConfig, GenerationConfig, T5Config

Checkpoints = Callable[..., Path]
SETTINGS = LoadSettings(dtype="float32", device="cpu")


def defaults(config: Any = None, *, task: str = "", **settings: Any) -> Any:
    return decode_defaults(GenerationConfig(**settings), config or T5Config(), task=task)


def test_lengths_of_transformers_count_the_start_token_and_ours_do_not() -> None:
    assert defaults(max_length=142, min_length=56).max_new_tokens == 141
    assert defaults(max_length=142, min_length=56).min_new_tokens == 55
    assert defaults(max_length=20, max_new_tokens=64, min_new_tokens=5).max_new_tokens == 64
    assert defaults(min_length=4, min_new_tokens=9).min_new_tokens == 9
    assert defaults(min_length=0).min_new_tokens == 0


def test_a_checkpoint_without_a_limit_gets_ours_within_its_position_table() -> None:
    assert defaults().max_new_tokens == 256
    assert defaults(BartConfig(max_position_embeddings=64)).max_new_tokens == 63
    assert defaults(BartConfig(max_position_embeddings=64), max_length=200).max_new_tokens == 63


def test_an_end_token_alone_is_no_bad_word() -> None:
    found = defaults(bad_words_ids=[[1], [0], [1, 5]], eos_token_id=1)
    assert found.bad_words == ((0,), (1, 5))


def test_settings_of_a_task_go_before_the_rest() -> None:
    config: Any = T5Config()
    config.task_specific_params = {"summarization": {"num_beams": 4, "max_length": 200, "prefix": "s: "}}
    assert defaults(config, num_beams=1).num_beams == 1
    found = defaults(config, num_beams=1, task="summarization")
    assert (found.num_beams, found.max_new_tokens) == (4, 199)


def test_everything_that_decoding_follows_is_read() -> None:
    found = defaults(
        num_beams=6,
        length_penalty=0.6,
        early_stopping="never",
        no_repeat_ngram_size=3,
        repetition_penalty=1.2,
        forced_bos_token_id=7,
        forced_eos_token_id=[1],
        suppress_tokens=[9, 4],
        renormalize_logits=True,
    )
    assert (found.num_beams, found.length_penalty, found.early_stopping) == (6, 0.6, "never")
    assert (found.no_repeat_ngram_size, found.repetition_penalty) == (3, 1.2)
    assert (found.forced_bos_token_id, found.forced_eos_token_id, found.suppressed) == (7, 1, (4, 9))
    assert found.renormalize


def test_settings_that_are_not_followed_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        defaults(num_beams=2)
        assert not caplog.records
        defaults(encoder_no_repeat_ngram_size=3, begin_suppress_tokens=[3])
    assert "encoder_no_repeat_ngram_size, begin_suppress_tokens" in caplog.text


def test_end_tokens_may_be_one_or_several_and_must_be_there() -> None:
    assert eos_token_ids(GenerationConfig(eos_token_id=[2, 3]), BartConfig()) == (2, 3)
    assert eos_token_ids(GenerationConfig(), BartConfig()) == (2,)
    with pytest.raises(ModelFilesError, match="no eos_token_id"):
        eos_token_ids(GenerationConfig(), BartConfig(eos_token_id=None))


@pytest.mark.parametrize(("family", "window", "width"), [("marian", 256, 8), ("t5", 0, 12)])
def test_sizes_are_those_of_the_checkpoint(family: str, window: int, width: int, checkpoints: Checkpoints) -> None:
    info = load_checkpoint(str(checkpoints(family)), settings=SETTINGS).model.info
    assert (info.window, info.max_target, info.head_width, info.heads) == (window, window, width, 4)
    assert info.defaults.max_new_tokens == 27
    assert info.parameters > 70_000
