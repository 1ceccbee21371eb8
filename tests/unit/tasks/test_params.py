"""Decode options: checked against the model, resolved over its defaults."""

from __future__ import annotations

from dataclasses import replace

import pytest
from glossd.errors import InvalidInputError
from glossd.models.base import DecodeDefaults
from glossd.tasks.params import bound_by_source, check_decode_options, new_token_limit, repair_params, resolve_params
from glossd.types import DecodeOptions

from tests.toys import toy_info, toy_model

MODEL = toy_model()
DEFAULTS = DecodeDefaults(
    num_beams=4,
    max_new_tokens=100,
    min_new_tokens=5,
    length_penalty=2.0,
    early_stopping=True,
    no_repeat_ngram_size=3,
    repetition_penalty=1.2,
    forced_bos_token_id=7,
    forced_eos_token_id=2,
    suppressed=(1,),
    bad_words=((4, 5),),
    renormalize=True,
)
PUBLISHED = replace(MODEL, info=replace(toy_info(), defaults=DEFAULTS))


def test_what_the_caller_leaves_out_is_the_model_s_own() -> None:
    params = resolve_params(DecodeOptions(), PUBLISHED, target="zh-Hans")
    assert (params.num_beams, params.max_new_tokens, params.min_new_tokens) == (4, 100, 5)
    assert (params.length_penalty, params.early_stopping, params.no_repeat_ngram_size) == (2.0, True, 3)
    assert (params.forced_bos_token_id, params.forced_eos_token_id, params.suppressed) == (7, 2, (1,))
    assert params.renormalize


def test_what_the_caller_sets_goes_before_the_model_s_own() -> None:
    options = DecodeOptions(1, 20, 0, 1.0, 0, 1.0)
    params = resolve_params(options, PUBLISHED, target="zh-Hans")
    assert (params.num_beams, params.max_new_tokens, params.min_new_tokens) == (1, 20, 0)
    assert (params.length_penalty, params.no_repeat_ngram_size, params.repetition_penalty) == (1.0, 0, 1.0)


def test_a_limit_below_the_model_s_least_length_lowers_that() -> None:
    assert resolve_params(DecodeOptions(max_new_tokens=3), PUBLISHED, target="zh-Hans").min_new_tokens == 3


def test_a_limit_above_the_model_s_positions_is_its_positions() -> None:
    limit = new_token_limit(MODEL)
    assert limit == 511
    assert resolve_params(DecodeOptions(max_new_tokens=4096), MODEL, target="zh-Hans").max_new_tokens == limit


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (DecodeOptions(num_beams=0), "decode.num_beams"),
        (DecodeOptions(num_beams=17), "decode.num_beams"),
        (DecodeOptions(max_new_tokens=0), "decode.max_new_tokens"),
        (DecodeOptions(max_new_tokens=-1), "decode.max_new_tokens"),
        (DecodeOptions(min_new_tokens=-1), "decode.min_new_tokens"),
        (DecodeOptions(min_new_tokens=512), "decode.min_new_tokens"),
        (DecodeOptions(min_new_tokens=9, max_new_tokens=8), "decode.min_new_tokens"),
        (DecodeOptions(length_penalty=float("nan")), "decode.length_penalty"),
        (DecodeOptions(length_penalty=float("inf")), "decode.length_penalty"),
        (DecodeOptions(no_repeat_ngram_size=-1), "decode.no_repeat_ngram_size"),
        (DecodeOptions(repetition_penalty=0.0), "decode.repetition_penalty"),
    ],
)
def test_an_absurd_option_is_refused_by_its_field(options: DecodeOptions, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_decode_options(options, MODEL)
    assert caught.value.field == field


def test_sensible_options_are_taken() -> None:
    check_decode_options(DecodeOptions(4, 100, 1, 0.6, 3, 1.1), MODEL)


def test_a_translation_is_bounded_by_its_source_but_not_below_its_least_length() -> None:
    params = resolve_params(DecodeOptions(), MODEL, target="zh-Hans")
    assert bound_by_source(params, source_tokens=10).max_new_tokens == 46
    assert bound_by_source(params, source_tokens=10_000).max_new_tokens == params.max_new_tokens
    assert bound_by_source(replace(params, min_new_tokens=60), source_tokens=1).max_new_tokens == 60


def test_a_second_try_is_made_only_with_settings_the_caller_left_to_us() -> None:
    params = resolve_params(DecodeOptions(), MODEL, target="zh-Hans")
    again = repair_params(params, DecodeOptions())
    assert again is not None
    assert again.no_repeat_ngram_size == 3
    assert repair_params(params, DecodeOptions(num_beams=2)) is None
    assert repair_params(again, DecodeOptions()) is None
