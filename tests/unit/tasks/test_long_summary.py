"""A very long article through a written summary: a real checkpoint with random weights, and a toy for the bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import pytest
from glossd.config import EngineSettings, ModelSettings
from glossd.engine.generator import Generator
from glossd.tasks.abstract import MOST_CHUNKS
from glossd.tasks.loading import CheckpointLoader, known_models
from glossd.tasks.reading import Reader
from glossd.tasks.served import ServedModel
from glossd.tasks.summarize import Summarizer
from glossd.types import (
    DocumentInput,
    FinishReason,
    Generation,
    GenerationRequest,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TextResult,
    WarningCode,
)

from tests.conftest import Checkpoints
from tests.toys import ToyDetector, ToyGenerator, first_sentences, toy_hub, toy_summarizer

SENTENCE = "On day {} of the talks the council of the city met for the ships and the port."
PARAGRAPHS = [" ".join(SENTENCE.format(4 * part + number) for number in range(1, 5)) for part in range(200)]
ARTICLE = "\n\n".join(PARAGRAPHS)
READER = Reader(ToyDetector())


@dataclass
class Recorder:
    """A generator that notes what another one is asked for and answers."""

    inner: Generator
    requests: list[GenerationRequest] = field(default_factory=list)
    futures: list[Future[Generation]] = field(default_factory=list)

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        self.requests.append(request)
        self.futures.append(self.inner.submit(request))
        return self.futures[-1]

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
async def served(checkpoints: Checkpoints) -> AsyncIterator[ServedModel]:
    settings = ModelSettings(summarization=(f"bart={checkpoints('bart')}",), canary=False, dtype="float32")
    (known,) = [model for model in known_models(settings) if model.name == "bart"]
    # The queue holds fewer tokens than the article has.
    engine = EngineSettings(rows=64, threads=1, workers=1, queue_tokens=MOST_CHUNKS * 256)
    model = await CheckpointLoader(settings, engine)(known)
    yield replace(model, source_language_codes=("en",), generator=Recorder(model.generator))
    await asyncio.to_thread(model.generator.close)


async def summarize(model: ServedModel, text: str, *, sentences: int | None = None) -> TextResult:
    options = SummaryOptions(SummaryMethod.ABSTRACTIVE, sentences=sentences)
    task = SummarizeTask(DocumentInput(text, language_code="en"), options)
    return await Summarizer(toy_hub(model), READER).summarize(task)


def first_round(model: ServedModel, requests: Sequence[GenerationRequest], words: int) -> list[list[str]]:
    """The words of the chunks that the article itself was read in: the first requests that hold so many."""
    chunks: list[list[str]] = []
    for request in requests:
        if sum(map(len, chunks)) >= words:
            break
        chunks.append(model.tokenizer.decode(request.source_ids).split())
    return chunks


async def test_a_checkpoint_reads_every_word_of_a_long_article_within_its_window(served: ServedModel) -> None:
    recorder = served.generator
    assert isinstance(recorder, Recorder)
    result = await summarize(served, ARTICLE)
    chunks = first_round(served, recorder.requests, len(ARTICLE.split()))
    assert [word for chunk in chunks for word in chunk] == ARTICLE.split()
    assert sum(len(request.source_ids) for request in recorder.requests[: len(chunks)]) > MOST_CHUNKS * 256
    assert len(chunks) < len(recorder.requests)
    assert all(len(request.source_ids) <= served.window for request in recorder.requests)
    assert result.source_coverage == 1.0
    assert WarningCode.INPUT_TRUNCATED not in {warning.code for warning in result.warnings}
    assert result.model == "bart"
    assert result.text


async def test_its_rounds_shrink_to_one_sequence_that_is_the_summary(served: ServedModel) -> None:
    recorder = served.generator
    assert isinstance(recorder, Recorder)
    result = await summarize(served, ARTICLE, sentences=1)
    generations = [future.result(timeout=0) for future in recorder.futures]
    assert len(recorder.requests) < 2 * len(first_round(served, recorder.requests, len(ARTICLE.split())))
    assert result.usage.input_tokens == sum(len(request.source_ids) for request in recorder.requests)
    assert result.usage.output_tokens == sum(len(generation.token_ids) for generation in generations)
    assert result.text in " ".join(served.tokenizer.decode(generations[-1].token_ids).split())
    assert result.finish_reason is FinishReason.LENGTH or len(result.segments) == 1


async def test_chunks_end_where_paragraphs_end() -> None:
    generator = ToyGenerator(first_sentences)
    model = toy_summarizer(generator=generator, window=3 * len(PARAGRAPHS[-1]))
    await summarize(model, ARTICLE)
    chunks = first_round(model, generator.requests, len(ARTICLE.split()))
    ends = {" ".join(paragraph.split()[-17:]) for paragraph in PARAGRAPHS}
    assert len(chunks) > MOST_CHUNKS
    assert all(" ".join(chunk[-17:]) in ends for chunk in chunks)


async def test_a_bounded_number_of_chunks_is_with_the_engine_at_once() -> None:
    generator = ToyGenerator(first_sentences, hold=True)
    model = toy_summarizer(generator=generator, window=3 * len(PARAGRAPHS[-1]))
    running = asyncio.create_task(summarize(model, ARTICLE))
    most = 0
    while not running.done():
        most = max(most, generator.waiting)
        generator.release(1)
        await asyncio.sleep(0)
    assert most == MOST_CHUNKS
    assert (await running).source_coverage == 1.0


async def test_the_coverage_is_the_share_that_the_last_sequence_holds_where_a_model_does_not_shorten() -> None:
    generator = ToyGenerator(lambda text: text)
    model = toy_summarizer(generator=generator, window=500)
    result = await summarize(model, ARTICLE)
    read = len(model.tokenizer.decode(generator.requests[-1].source_ids)) / len(ARTICLE)
    assert result.source_coverage == pytest.approx(read, rel=0.02)
    assert [warning.code for warning in result.warnings if warning.code is WarningCode.INPUT_TRUNCATED]
