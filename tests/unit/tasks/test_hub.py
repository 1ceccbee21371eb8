"""The hub: states of models, which one serves a task, and that unloading waits."""

from __future__ import annotations

import asyncio

import pytest
from glossd.errors import (
    EngineDeadError,
    GlossdError,
    InvalidInputError,
    ModelFilesError,
    ModelLoadingError,
    ModelNotFoundError,
    ModelNotLoadedError,
    UnsupportedLanguageError,
)
from glossd.tasks.hub import Hub
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from glossd.types import ModelState

from tests.toys import ToyGenerator, toy_hub, toy_model, toy_summarizer

TRANSLATION, SUMMARIZATION = ModelTask.TRANSLATION, ModelTask.SUMMARIZATION
KNOWN = KnownModel("late", "somewhere/late", (TRANSLATION,))


class SlowLoader:
    """Loads when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.calls = 0

    async def __call__(self, known: KnownModel) -> ServedModel:
        self.calls += 1
        await self.go.wait()
        return toy_model(known.name)


def lease(hub: Hub, *, source: str = "en", target: str = "zh-Hans", name: str = "") -> str:
    with hub.lease(TRANSLATION, source=source, target=target, name=name) as model:
        return model.name


def test_the_first_ready_model_of_a_pair_is_its_default() -> None:
    german = toy_model("toy-en-de", targets=("de",))
    hub = toy_hub(german, toy_model("first"), toy_model("second"))
    assert lease(hub) == "first"
    assert lease(hub, target="de") == "toy-en-de"
    assert lease(hub, name="second") == "second"


def test_language_pairs_name_every_model_and_the_default_first() -> None:
    hub = toy_hub(toy_model("first"), toy_model("second", targets=("de", "zh-Hans")), toy_summarizer())
    pairs = {(pair.source_language_code, pair.target_language_code): pair.models for pair in hub.language_pairs()}
    assert pairs == {("en", "zh-Hans"): ("first", "second"), ("en", "de"): ("second",)}


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named() -> None:
    with pytest.raises(ModelNotFoundError, match="toy-en-zh"):
        lease(toy_hub(), name="nobody")


@pytest.mark.parametrize(
    ("source", "target", "field"),
    [("fr", "zh-Hans", "document.language_code"), ("en", "de", "target_language_code")],
)
@pytest.mark.parametrize("name", ["", "toy-en-zh"])
def test_a_language_that_is_not_served_is_named(source: str, target: str, field: str, name: str) -> None:
    with pytest.raises(UnsupportedLanguageError) as caught:
        lease(toy_hub(), source=source, target=target, name=name)
    assert caught.value.field == field


def test_a_pair_of_served_languages_that_no_model_joins_is_refused() -> None:
    hub = toy_hub(toy_model("a", sources=("en",), targets=("de",)), toy_model("b", sources=("fr",), targets=("es",)))
    with pytest.raises(UnsupportedLanguageError, match="no model translates en to es"):
        lease(hub, target="es")


def test_a_model_is_not_used_for_what_it_does_not_do() -> None:
    with pytest.raises(InvalidInputError, match="toy-summary does summarization, not translation"):
        lease(toy_hub(toy_summarizer()), name="toy-summary")


def test_a_model_that_is_known_but_not_loaded_says_so() -> None:
    hub = toy_hub(toy_summarizer(), known=[KNOWN])
    with pytest.raises(ModelNotLoadedError, match="late is known"):
        lease(hub, name="late")
    with pytest.raises(ModelNotLoadedError, match="late is known"):
        lease(hub)


async def test_loading_makes_a_model_ready_and_is_done_once() -> None:
    load = SlowLoader()
    hub = Hub([KNOWN], load)
    first, second = asyncio.create_task(hub.load("late")), asyncio.create_task(hub.load("late"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert hub.describe("late").state is ModelState.LOADING
    with pytest.raises(ModelLoadingError):
        lease(hub)
    with pytest.raises(ModelLoadingError):
        lease(hub, name="late")
    load.go.set()
    assert (await first).state is ModelState.READY
    assert (await second).state is ModelState.READY
    assert (await hub.load("late")).state is ModelState.READY
    assert load.calls == 1
    assert lease(hub) == "late"


async def test_who_stops_waiting_for_a_load_does_not_stop_it() -> None:
    load = SlowLoader()
    hub = Hub([KNOWN], load)
    waiting = asyncio.create_task(hub.load("late"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    load.go.set()
    assert (await hub.load("late")).state is ModelState.READY


@pytest.mark.parametrize(
    ("error", "detail"), [(ModelFilesError("weights are missing"), "weights are missing"), (OSError("x"), "OSError")]
)
async def test_a_load_that_fails_leaves_the_reason_and_can_be_tried_again(error: Exception, detail: str) -> None:
    failures = [error]

    async def load(known: KnownModel) -> ServedModel:
        if failures:
            raise failures.pop()
        return toy_model(known.name)

    hub = Hub([KNOWN], load)
    with pytest.raises(type(error)):
        await hub.load_all()
    assert (hub.describe("late").state, hub.describe("late").detail) == (ModelState.FAILED, detail)
    with pytest.raises(ModelNotLoadedError, match=detail):
        lease(hub, name="late")
    assert (await hub.load("late")).state is ModelState.READY


async def test_only_the_models_that_are_needed_are_loaded() -> None:
    hub = toy_hub(known=[KNOWN, KnownModel("short", "s", (SUMMARIZATION,))])
    await hub.load_all((SUMMARIZATION,))
    assert hub.describe("short").state is ModelState.READY
    assert hub.describe("late").state is ModelState.KNOWN


async def test_unloading_waits_for_what_is_in_flight_and_takes_nothing_new() -> None:
    generator = ToyGenerator()
    hub = toy_hub(toy_model(generator=generator))
    with hub.lease(TRANSLATION, source="en", target="zh-Hans"):
        unloading = asyncio.create_task(hub.unload("toy-en-zh"))
        await asyncio.sleep(0)
        assert hub.describe("toy-en-zh").state is ModelState.DRAINING
        with pytest.raises(ModelNotLoadedError):
            lease(hub)
        with pytest.raises(ModelNotLoadedError, match="being unloaded"):
            await hub.load("toy-en-zh")
        assert not generator.closed
    assert (await unloading).state is ModelState.KNOWN
    assert generator.closed
    assert (await hub.unload("toy-en-zh")).state is ModelState.KNOWN


async def test_a_model_that_was_unloaded_can_be_loaded_again() -> None:
    hub = toy_hub()
    await hub.unload("toy-en-zh")
    assert (await hub.load("toy-en-zh")).state is ModelState.READY


def test_a_model_whose_engine_died_is_failed_and_says_so() -> None:
    generator = ToyGenerator()
    hub = toy_hub(toy_model(generator=generator))
    generator.die()
    assert hub.describe("toy-en-zh").state is ModelState.FAILED
    with pytest.raises(EngineDeadError):
        lease(hub)


async def test_closing_stops_every_generator_and_may_be_repeated() -> None:
    generator = ToyGenerator()
    hub = toy_hub(toy_model(generator=generator))
    await hub.close()
    await hub.close()
    assert generator.closed
    with pytest.raises(GlossdError):
        lease(hub)


def test_a_hub_can_tell_what_it_summarizes() -> None:
    hub = toy_hub(toy_model(), toy_summarizer())
    assert hub.can(SUMMARIZATION, "en")
    assert not hub.can(SUMMARIZATION, "fr")
    with hub.lease(SUMMARIZATION, source="en", target="en") as model:
        assert model.name == "toy-summary"
