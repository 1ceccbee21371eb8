"""The engine of one process: every record has one outcome, whatever happens to its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from glossd.corpus.engine import Window, longest_first
from glossd.corpus.local import LocalEngine, LocalLimits
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Place, Record, Row
from glossd.errors import EngineDeadError, InvalidInputError, UnsupportedLanguageError
from glossd.types import DocumentInput

from tests.toys import ToyGenerator, toy_model, toy_services

TEXT = "The ship is free. A port official said so number {}. The tugs and the crew are glad."


def record(position: int, text: str = "") -> Record:
    return Record(
        position, f"r{position}", DocumentInput(text or TEXT.format(position)), Place("a.jsonl", position + 1)
    )


def outcomes(recipe: Recipe, records: list[Record], generator: ToyGenerator | None = None) -> dict[int, Row | Failure]:
    engine = LocalEngine(toy_services(toy_model(generator=generator or ToyGenerator())), recipe)
    try:
        found = list(engine.run(records))
    finally:
        engine.close()
    assert len({outcome.position for outcome in found}) == len(found)
    return {outcome.position: outcome.result for outcome in found}


def row(result: Row | Failure) -> Row:
    assert isinstance(result, Row)
    return result


def test_every_record_has_one_outcome_under_its_own_id() -> None:
    found = outcomes(Recipe("zh-Hans"), [record(number) for number in range(300)])
    assert sorted(found) == list(range(300))
    for position, result in found.items():
        assert row(result).id == f"r{position}"
        assert f"{position}" in (row(result).translated_body or "")


@pytest.mark.parametrize("summary", [True, False])
@pytest.mark.parametrize("translated_summary", [True, False])
@pytest.mark.parametrize("body", [True, False])
def test_a_row_has_the_texts_that_the_recipe_asks_for(summary: bool, translated_summary: bool, body: bool) -> None:
    recipe = Recipe("zh-Hans", summary=summary, translated_summary=translated_summary, translated_body=body)
    if not (summary or translated_summary or body):
        with pytest.raises(InvalidInputError, match="nothing to make"):
            outcomes(recipe, [record(0)])
        return
    made = row(outcomes(recipe, [record(0)])[0])
    assert (made.summary is not None) is summary
    assert (made.translated_summary is not None) is translated_summary
    assert (made.translated_body is not None) is body
    assert made.language_code == "en"
    whole = row(outcomes(Recipe("zh-Hans"), [record(0)])[0])
    for name in ("summary", "translated_summary", "translated_body"):
        assert getattr(made, name) in (None, getattr(whole, name))


def test_segments_come_only_when_asked_for_and_point_into_both_texts() -> None:
    plain = row(outcomes(Recipe("zh-Hans"), [record(0)])[0])
    assert plain.translated_body_segments == ()
    made = row(outcomes(Recipe("zh-Hans", segments=True), [record(0)])[0])
    assert len(made.translated_body_segments) == 3
    for segment in made.translated_body_segments:
        assert made.translated_body is not None
        assert made.translated_body[segment.target_start : segment.target_end] == segment.text
        assert TEXT.format(0)[segment.source_start : segment.source_end].strip()


def test_a_bad_document_is_a_failure_of_its_own() -> None:
    found = outcomes(Recipe("zh-Hans"), [record(0), record(1, "Le chat est une bête."), record(2)])
    assert isinstance(found[1], Failure)
    assert found[1].reason == "UNSUPPORTED_LANGUAGE"
    assert row(found[0]).id == "r0"
    assert row(found[2]).id == "r2"


def test_an_error_that_nobody_foresaw_tells_its_type_and_not_the_text() -> None:
    generator = ToyGenerator(failure=ValueError("the secret text"))
    result = outcomes(Recipe("zh-Hans"), [record(0)], generator)[0]
    assert result == Failure("INTERNAL", "an inner fault: ValueError")


def test_a_dead_engine_ends_the_run() -> None:
    generator = ToyGenerator()
    generator.die()
    with pytest.raises(EngineDeadError):
        outcomes(Recipe("zh-Hans"), [record(0)], generator)


def test_a_target_that_no_model_knows_is_refused_before_the_first_record() -> None:
    with pytest.raises(UnsupportedLanguageError, match="no model translates to de; those here know zh-Hans"):
        LocalEngine(toy_services(toy_model()), Recipe("de"))


def test_no_more_records_are_read_than_are_at_work_and_in_the_window() -> None:
    limits = LocalLimits(documents=4, window=Window(records=8))
    engine = LocalEngine(toy_services(toy_model()), Recipe("zh-Hans"), limits=limits)
    read: list[int] = []

    def feed() -> Iterator[Record]:
        for number in range(100):
            read.append(number)
            yield record(number)

    running = engine.run(feed())
    for done in range(100):
        next(running)
        assert len(read) <= done + 4 + 8
    assert next(running, None) is None
    engine.close()


def test_leaving_early_cancels_what_is_at_work() -> None:
    generator = ToyGenerator()
    engine = LocalEngine(toy_services(toy_model(generator=generator)), Recipe("zh-Hans"))
    running = engine.run(record(number) for number in range(500))
    next(running)
    running.close()  # type: ignore[attr-defined]
    submitted = len(generator.requests)
    engine.close()
    assert generator.closed
    assert len(generator.requests) == submitted


def test_the_longest_of_a_window_goes_first_and_windows_follow_each_other() -> None:
    lengths = [3, 9, 5, 1, 8, 2, 7]
    records = [record(number, "x" * length) for number, length in enumerate(lengths)]
    order = longest_first(records, Window(records=4))
    assert [each.length for each in order] == [9, 5, 3, 1, 8, 7, 2]
    order = longest_first(records, Window(characters=9))
    assert [each.length for each in order] == [9, 3, 8, 5, 1, 7, 2]


def test_an_identity_names_the_models_that_the_recipe_needs() -> None:
    engine = LocalEngine(toy_services(toy_model()), Recipe("zh-Hans"), digests={"toy-en-zh": "abc"})
    assert engine.identity()["translation"] == "toy-en-zh float32 cpu abc"
    engine.close()
