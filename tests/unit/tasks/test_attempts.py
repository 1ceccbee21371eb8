"""The ladder of repairs: each step only where it can help, the best try counts, and the source is the last resort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from glossd.errors import OverloadedError
from glossd.tasks.reading import Reader
from glossd.tasks.translate import Translator
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    FinishReason,
    Generation,
    GenerationRequest,
    RequestOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.toys import ToyDetector, ToyGenerator, ToyTokenizer, to_chinese, toy_hub, toy_model

LOOP = "好好学习，" * 12
LONG = "The council met in the old town hall on Monday, and the mayor said that the bridge would stay closed."


class SpoiledGenerator(ToyGenerator):
    """A toy whose ``spoil`` is told the request and the good translation, and gives the text that comes out."""

    def __init__(self, spoil: Callable[[GenerationRequest, str], str]) -> None:
        super().__init__()
        self._spoil = spoil

    def generate(self, request: GenerationRequest) -> Generation:
        good = to_chinese(self._tokenizer.decode(request.source_ids))
        ids = self._tokenizer.encode(self._spoil(request, good), source_language="", target_language="")
        return Generation(ids, -0.5, FinishReason.COMPLETE)


async def translated(text: str, generator: ToyGenerator, decode: DecodeOptions | None = None) -> TextResult:
    translator = Translator(toy_hub(toy_model(generator=generator)), Reader(ToyDetector()))
    task = TranslateTask(DocumentInput(text, language_code="en"), "zh", decode=decode or DecodeOptions())
    return await translator.translate(replace(task, options=RequestOptions()))


def codes(result: TextResult) -> list[WarningCode]:
    return [warning.code for warning in result.warnings]


async def test_a_loop_is_decoded_again_without_repeated_n_grams() -> None:
    generator = SpoiledGenerator(lambda request, good: good if request.params.no_repeat_ngram_size else LOOP)
    result = await translated("The council met.", generator)
    assert [request.params.no_repeat_ngram_size for request in generator.requests] == [0, 3]
    assert (result.finish_reason, codes(result)) == (FinishReason.COMPLETE, [])


async def test_what_still_loops_is_translated_clause_by_clause() -> None:
    generator = SpoiledGenerator(lambda request, good: good if len(request.source_ids) < 60 else LOOP)
    result = await translated(LONG, generator)
    sent = [ToyTokenizer().decode(request.source_ids) for request in generator.requests]
    assert sent[:2] == [LONG, LONG]
    assert " ".join(sent[2:]) == LONG
    assert sent[2].endswith(",")
    assert (result.finish_reason, codes(result)) == (FinishReason.COMPLETE, [])
    assert result.text.endswith("。")


@pytest.mark.parametrize("wrong", ["", LOOP, "The council met in the old town hall as we have always said it would do"])
async def test_what_nothing_helps_with_is_handed_through_with_a_warning(wrong: str) -> None:
    result = await translated(LONG, SpoiledGenerator(lambda request, good: wrong))
    assert result.text == LONG
    assert (result.finish_reason, codes(result)) == (FinishReason.PASSTHROUGH, [WarningCode.PASSED_THROUGH])
    assert result.usage.output_tokens > 0


async def test_a_lost_number_is_looked_for_once_more_with_beams() -> None:
    generator = SpoiledGenerator(
        lambda request, good: good if request.params.num_beams > 1 else good.replace("1973", "")
    )
    result = await translated("He was born in 1973.", generator)
    assert [request.params.num_beams for request in generator.requests] == [1, 4]
    assert "1973" in result.text
    assert codes(result) == []


async def test_the_first_of_two_equally_bad_tries_is_kept_and_the_fault_is_said() -> None:
    generator = SpoiledGenerator(lambda request, good: f"第{request.params.num_beams}次他出生了")
    result = await translated("He was born in 1973.", generator)
    assert result.text.startswith("第1次")
    assert codes(result) == [WarningCode.OMISSION_SUSPECTED]
    assert len(generator.requests) == 2


async def test_settings_that_the_caller_chose_are_not_changed() -> None:
    generator = SpoiledGenerator(lambda request, good: good.replace("1973", ""))
    result = await translated("He was born in 1973.", generator, DecodeOptions(num_beams=1))
    assert len(generator.requests) == 1
    assert codes(result) == [WarningCode.OMISSION_SUSPECTED]


async def test_a_full_queue_ends_the_repairs_not_the_answer() -> None:
    class Full(SpoiledGenerator):
        def _answer(self, request, future):  # type: ignore[no-untyped-def]
            if len(self.requests) > 1:
                self.failure = OverloadedError("full", retry_after_seconds=1.0)
            super()._answer(request, future)

    result = await translated("He was born in 1973.", Full(lambda request, good: good.replace("1973", "")))
    assert codes(result) == [WarningCode.OMISSION_SUSPECTED]


async def test_repairs_of_one_segment_do_not_hold_up_the_others() -> None:
    generator = SpoiledGenerator(lambda request, good: good if request.params.no_repeat_ngram_size else LOOP)
    result = await translated("The one met. " * 40, generator)
    assert len(result.segments) == 40
    assert [request.params.no_repeat_ngram_size for request in generator.requests[:40]] == [0] * 40
    assert codes(result) == []
