"""Inline marks on their road through a model that can tell where it looked."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

import pytest
from glossd.tasks.reading import Reader
from glossd.tasks.translate import Translator
from glossd.types import (
    Alignment,
    AlignmentRequest,
    DocumentInput,
    MimeType,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.toys import ToyDetector, ToyGenerator, toy_hub, toy_model

SOURCE = "They **quickly** left the [old house](h.md) again."
TARGET = "他们又匆忙离开了旧房子."
WORDS = {"They": "他们", "quickly": "匆忙", "left": "离开了", "old house": "旧房子", "again": "又"}


class LookingGenerator(ToyGenerator):
    """A toy that writes ``target`` for every sentence and looks from each of its words at the word it stands for."""

    def __init__(self, target: str, words: Mapping[str, str]) -> None:
        super().__init__(lambda text: target if len(text) > 12 else "一")
        self.words = words
        self.aligned: list[AlignmentRequest] = []

    def align(self, request: AlignmentRequest) -> Future[Alignment]:
        self.aligned.append(request)
        source, target = (self._tokenizer.decode(ids) for ids in (request.source_ids, request.token_ids))
        weights = [[0.0] * len(request.source_ids) for _ in request.token_ids]
        for word, other in self.words.items():
            for row in range(target.index(other), target.index(other) + len(other)):
                for column in range(source.index(word), source.index(word) + len(word)):
                    weights[row][column] = 1 / len(word)
        weights[-1][-1] = 1.0
        future: Future[Alignment] = Future()
        future.set_result(Alignment(tuple(map(tuple, weights))))
        return future


async def translated(text: str, generator: ToyGenerator, **changes: object) -> TextResult:
    model = replace(toy_model(generator=generator), **changes)  # type: ignore[arg-type]
    translator = Translator(toy_hub(model), Reader(ToyDetector()))
    return await translator.translate(TranslateTask(DocumentInput(text, MimeType.MARKDOWN, "en"), "zh"))


async def test_marks_go_where_the_model_looked() -> None:
    generator = LookingGenerator(TARGET, WORDS)
    result = await translated(SOURCE, generator, aligner=generator)
    assert result.text == "他们又**匆忙**离开了[旧房子](h.md)。"
    assert result.warnings == ()
    assert len(generator.aligned) == 1


async def test_a_sentence_without_marks_is_not_aligned() -> None:
    generator = LookingGenerator("他们又匆忙离开了.", {})
    await translated("They quickly left the old house again.", generator, aligner=generator)
    assert generator.aligned == []


async def test_marks_whose_words_were_not_looked_at_are_dropped_and_named() -> None:
    generator = LookingGenerator(TARGET, {"They": "他们", "again": "又"})
    result = await translated(SOURCE, generator, aligner=generator)
    assert result.text == "他们又匆忙离开了旧房子。"
    assert [warning.code for warning in result.warnings] == [WarningCode.MARKUP_DROPPED] * 2


async def test_an_alignment_of_another_size_places_nothing() -> None:
    class Short(LookingGenerator):
        def align(self, request: AlignmentRequest) -> Future[Alignment]:
            future: Future[Alignment] = Future()
            future.set_result(Alignment(((1.0,),)))
            return future

    generator = Short(TARGET, WORDS)
    result = await translated(SOURCE, generator, aligner=generator)
    assert "*" not in result.text


async def test_what_an_aligner_raises_is_raised() -> None:
    class Broken(LookingGenerator):
        def align(self, request: AlignmentRequest) -> Future[Alignment]:
            future: Future[Alignment] = Future()
            future.set_exception(RuntimeError("the toy was told to fail"))
            return future

    generator = Broken(TARGET, WORDS)
    with pytest.raises(RuntimeError, match="told to fail"):
        await translated(SOURCE, generator, aligner=generator)
