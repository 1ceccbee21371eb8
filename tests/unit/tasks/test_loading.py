"""From settings to served models: names, checkpoints, the test sentence, and the engine's end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from glossd.config import EngineSettings, ModelSettings
from glossd.errors import EngineDeadError, InvalidInputError, ModelFilesError
from glossd.tasks.canary import check_canary
from glossd.tasks.hub import Hub
from glossd.tasks.loading import CheckpointLoader, known_models
from glossd.tasks.params import resolve_params
from glossd.tasks.served import KnownModel, ModelTask
from glossd.types import DecodeOptions, Generation, GenerationRequest, ModelState

from tests.conftest import Checkpoints
from tests.toys import ToyGenerator, toy_model, toy_summarizer

TRANSLATION, SUMMARIZATION = ModelTask.TRANSLATION, ModelTask.SUMMARIZATION
ENGINE = EngineSettings(rows=4, threads=1, workers=1)


class NotANumber(ToyGenerator):
    """Scores what it generates with NaN, as a damaged model does."""

    def generate(self, request: GenerationRequest) -> Generation:
        return replace(super().generate(request), score=float("nan"))


def test_without_settings_the_embedded_model_translates_and_none_summarizes() -> None:
    assert known_models(ModelSettings()) == (KnownModel("glossd-en-zh", "embedded", (TRANSLATION,)),)


def test_models_are_named_by_themselves_or_by_the_operator(tmp_path: Path) -> None:
    directory = tmp_path / "my-model"
    directory.mkdir()
    settings = ModelSettings(
        translation=("embedded", "org/name", f"{directory}/", "short=org/other"), summarization=("org/bart",)
    )
    assert [model.name for model in known_models(settings)] == [
        "glossd-en-zh",
        "org/name",
        "my-model",
        "short",
        "org/bart",
    ]


def test_a_model_named_for_both_tasks_is_one_model() -> None:
    settings = ModelSettings(translation=("org/t5",), summarization=("org/t5",))
    assert known_models(settings) == (KnownModel("org/t5", "org/t5", (TRANSLATION, SUMMARIZATION)),)


def test_one_name_for_two_models_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="write NAME=SOURCE"):
        known_models(ModelSettings(translation=("one=a/b", "one=c/d")))


async def test_a_checkpoint_becomes_a_served_model_that_works_until_it_is_closed(checkpoints: Checkpoints) -> None:
    settings = ModelSettings(translation=(str(checkpoints("marian")),), canary=False, dtype="float32")
    hub = Hub(known_models(settings), CheckpointLoader(settings, ENGINE))
    await hub.load_all()
    (description,) = hub.descriptions()
    assert (description.state, description.family, description.dtype) == (ModelState.READY, "marian", "float32")
    (served,) = hub.served()
    assert served.max_beams == 4
    (reading,) = hub.readings()
    assert (reading.alive, reading.rows) == (True, 4)
    await hub.close()
    assert not served.alive()


async def test_a_model_is_refused_for_a_task_it_cannot_do(checkpoints: Checkpoints) -> None:
    settings = ModelSettings(summarization=(str(checkpoints("marian")),), canary=False)
    with pytest.raises(ModelFilesError, match="is a model for translation, not for summarization"):
        await CheckpointLoader(settings, ENGINE)(known_models(settings)[1])


async def test_a_checkpoint_of_random_weights_is_refused_by_its_test_sentence(checkpoints: Checkpoints) -> None:
    # Random weights may happen to write some Chinese; banning all but one token makes noise certain.
    directory = checkpoints("marian", seed=7)
    generation = json.loads((directory / "generation_config.json").read_text())
    vocabulary = json.loads((directory / "config.json").read_text())["vocab_size"]
    ends = generation["eos_token_id"]
    generation["suppress_tokens"] = [token for token in range(vocabulary) if token != ends]
    (directory / "generation_config.json").write_text(json.dumps(generation))
    settings = ModelSettings(translation=(str(directory),))
    hub = Hub(known_models(settings), CheckpointLoader(settings, ENGINE))
    with pytest.raises(ModelFilesError, match="answers its test sentence with"):
        await hub.load_all()
    assert hub.descriptions()[0].state is ModelState.FAILED


async def test_a_model_that_answers_sensibly_passes() -> None:
    assert any("\u4e00" <= character <= "\u9fff" for character in await check_canary(toy_model()))
    assert await check_canary(toy_summarizer())


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        (ToyGenerator(lambda text: ""), "no letter"),
        (ToyGenerator(lambda text: "... 1 ..."), "no letter"),
        (ToyGenerator(lambda text: "船" * 40), "one token 40 times"),
        (ToyGenerator(lambda text: text), "no Chinese character"),
        (NotANumber(), "a score of nan"),
    ],
)
async def test_a_model_that_answers_with_noise_is_refused(generator: ToyGenerator, said: str) -> None:
    with pytest.raises(ModelFilesError, match=said):
        await check_canary(toy_model(generator=generator))


async def test_the_owner_is_told_when_an_engine_dies(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    settings = ModelSettings(translation=(f"mortal={checkpoints('marian')}",), canary=False)

    def on_death(name: str, error: BaseException) -> None:
        loop.call_soon_threadsafe(told.put_nowait, name)

    loader = CheckpointLoader(settings, ENGINE.model_copy(update={"restarts": 0}), on_death=on_death)
    served = await loader(known_models(settings)[0])

    def fail(requests: object) -> None:
        raise SystemExit("a fault inside")

    monkeypatch.setattr(served.generator._posts[0].engine._runner, "admit", fail)  # type: ignore[attr-defined]
    ids = served.tokenizer.encode("one", source_language="en", target_language="zh-Hans")
    params = resolve_params(DecodeOptions(), served, target="zh-Hans")
    waiting = served.generator.submit(GenerationRequest(ids, params))
    with pytest.raises(EngineDeadError):
        await asyncio.wrap_future(waiting)
    assert await asyncio.wait_for(told.get(), 30) == "mortal"
    assert not served.alive()
