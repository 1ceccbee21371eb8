"""Summaries written by a model: one sequence where the document fits the window, else chunk by chunk, then again."""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import islice

from glossd.tasks.flight import Flight
from glossd.tasks.lengths import count_words
from glossd.tasks.params import UNLIMITED_WINDOW, new_token_limit, resolve_params
from glossd.tasks.served import ServedModel
from glossd.text.chunk import pack_parts
from glossd.text.document import Document, Segment
from glossd.text.normalize import normalize_source
from glossd.text.segment import split_long, split_sentences
from glossd.text.sentence import in_plain_words
from glossd.types import (
    DecodeOptions,
    FinishReason,
    Generation,
    GenerationParams,
    MimeType,
    SummaryOptions,
)

MOST_CHUNKS = 64
"""Chunks of one document that are with the engine at a time: enough to fill a batch, too few to fill the queue."""

_FINISHED = re.compile(r"[.!?\u2026。！？؟।][\"'”’)\]」』）》]*\s*\Z")


@dataclass(frozen=True, slots=True)
class Abstract:
    """What was written: whole sentences, unless ``finish_reason`` is LENGTH, and all that was computed for it.

    ``coverage`` is the share of the document's text that was read, 0..1; ``too_long`` tells that not even the
    first sentence keeps to the length that was asked for.
    """

    sentences: tuple[str, ...]
    finish_reason: FinishReason
    coverage: float
    too_long: bool
    generations: tuple[Generation, ...]
    input_tokens: int


class AbstractRun:
    """One document on its way through one summarization model."""

    def __init__(
        self,
        model: ServedModel,
        language: str,
        decode: DecodeOptions,
        summary: SummaryOptions,
        flight: Flight,
    ) -> None:
        self._model = model
        self._language = language
        self._decode = decode
        self._summary = summary
        self._flight = flight
        self._window = model.window or UNLIMITED_WINDOW
        self._generations: list[Generation] = []
        self._input_tokens = 0

    async def summarize(self, document: Document) -> Abstract:
        """Reduce the document until it fits the window, then write the summary."""
        parts = await asyncio.to_thread(self._parts, document)
        texts = [text for part in parts for text in part]
        chunks = await asyncio.to_thread(self._chunks, parts)
        coverage = 1.0
        while len(chunks) > 1:
            reduced = await self._map(chunks)
            reduced_chunks = await asyncio.to_thread(self._chunks, [[sentence] for sentence in reduced])
            if len(reduced_chunks) >= len(chunks):
                # The model does not shorten: read what fits, and say how much that was.
                coverage *= _length(reduced_chunks[0]) / max(1, _length(reduced))
                reduced_chunks = reduced_chunks[:1]
            chunks = reduced_chunks
        words = count_words(" ".join(texts), self._language)
        text, generation = await self._reduce(chunks[0] if chunks else [], words)
        return self._trimmed(text, generation, words, coverage)

    def _parts(self, document: Document) -> list[list[str]]:
        """The segments of each paragraph of the body as the model reads them, all of them within the window."""
        parts = [segments for _, segments in document.body_parts()] or [(segment,) for segment in document.segments]
        return [[text for segment in part for text in self._texts(segment, document.mime_type)] for part in parts]

    def _texts(self, segment: Segment, mime_type: MimeType) -> list[str]:
        words = in_plain_words(segment.text) if mime_type is MimeType.MARKDOWN else segment.text
        text = normalize_source(words, self._language)
        pieces = split_long(text, count=self._count, limit=self._window)
        return [piece.strip() for piece in pieces if piece.strip()]

    def _chunks(self, parts: Sequence[Sequence[str]]) -> list[list[str]]:
        return pack_parts(parts, count=self._count, limit=self._window)

    def _count(self, text: str) -> int:
        return self._model.tokenizer.count(text)

    async def _map(self, chunks: Sequence[Sequence[str]]) -> list[str]:
        """A summary of each chunk at the model's own length, as sentences; a bounded number in flight at once."""
        waiting = iter(chunks)
        futures = deque(await asyncio.to_thread(self._begin, islice(waiting, MOST_CHUNKS)))
        sentences: list[str] = []
        while futures:
            text, generation = await self._result(futures.popleft())
            sentences += _whole(self._sentences(text), generation.finish_reason)
            futures.extend(await asyncio.to_thread(self._begin, islice(waiting, 1)))
        return sentences

    def _begin(self, chunks: Iterable[Sequence[str]]) -> list[Future[Generation]]:
        options = replace(self._decode, max_new_tokens=None, min_new_tokens=None)
        return [self._submit(chunk, self._params(options, chunk)) for chunk in chunks]

    async def _reduce(self, chunk: Sequence[str], words: int) -> tuple[str, Generation]:
        params = self._with_length(self._params(self._decode, chunk), chunk, words)
        return await self._result(await asyncio.to_thread(self._submit, chunk, params))

    def _submit(self, chunk: Sequence[str], params: GenerationParams) -> Future[Generation]:
        ids = self._model.tokenizer.encode(
            " ".join(chunk), source_language=self._language, target_language=self._language
        )
        self._input_tokens += len(ids)
        return self._flight.submit(ids, params)

    async def _result(self, future: Future[Generation]) -> tuple[str, Generation]:
        generation = await self._flight.result(future)
        self._generations.append(generation)
        text = await asyncio.to_thread(self._model.tokenizer.decode, generation.token_ids)
        return text.strip(), generation

    def _params(self, options: DecodeOptions, chunk: Sequence[str]) -> GenerationParams:
        """The model's settings; its least length gives way to a text that is hardly longer."""
        params = resolve_params(options, self._model, target=self._language)
        if options.min_new_tokens is None:
            least = min(params.min_new_tokens, self._count(" ".join(chunk)) // 2)
            params = replace(params, min_new_tokens=least)
        return params

    def _with_length(self, params: GenerationParams, chunk: Sequence[str], words: int) -> GenerationParams:
        """Bounds on tokens that follow from the length asked for, where the caller set none."""
        tokens = self._count(" ".join(chunk))
        wanted = self._wanted_words(words)
        if wanted is not None:
            per_word = tokens / max(1, count_words(" ".join(chunk), self._language))
            most, least = wanted * per_word * 1.25 + 8, wanted * per_word * 0.5
        elif self._summary.sentences is not None:
            most = tokens / max(1, len(chunk)) * self._summary.sentences * 1.5 + 8
            least = min(params.min_new_tokens, most / 3)
        else:
            return params
        most = self._decode.max_new_tokens or max(16, math.ceil(most))
        most = min(most, new_token_limit(self._model))
        least = int(least) if self._decode.min_new_tokens is None else self._decode.min_new_tokens
        return replace(params, max_new_tokens=max(most, least), min_new_tokens=min(least, most))

    def _wanted_words(self, words: int) -> int | None:
        if self._summary.ratio is not None:
            return max(1, round(self._summary.ratio * words))
        return self._summary.words

    def _sentences(self, text: str) -> list[str]:
        spans = [
            line[span.start : span.end].strip()
            for line in text.splitlines()
            for span in split_sentences(line, self._language)
        ]
        return [sentence for sentence in spans if sentence]

    def _trimmed(self, text: str, generation: Generation, words: int, coverage: float) -> Abstract:
        """Whole sentences within the length asked for; at least one."""
        sentences = self._sentences(text)
        whole = _whole(sentences, generation.finish_reason)
        cut = generation.finish_reason is FinishReason.LENGTH and not _is_finished(whole)
        kept = whole[: self._summary.sentences]
        wanted = self._wanted_words(words)
        if wanted is not None:
            while len(kept) > 1 and count_words(" ".join(kept), self._language) > wanted:
                kept = kept[:-1]
        return Abstract(
            sentences=tuple(kept),
            finish_reason=FinishReason.LENGTH if cut else FinishReason.COMPLETE,
            coverage=coverage,
            too_long=wanted is not None and count_words(" ".join(kept), self._language) > wanted,
            generations=tuple(self._generations),
            input_tokens=self._input_tokens,
        )


def _is_finished(sentences: Sequence[str]) -> bool:
    return bool(sentences) and _FINISHED.search(sentences[-1]) is not None


def _whole(sentences: Sequence[str], reason: FinishReason) -> list[str]:
    """Without the last sentence if it was cut, unless it is the only one."""
    if reason is FinishReason.LENGTH and len(sentences) > 1 and not _is_finished(sentences):
        return list(sentences[:-1])
    return list(sentences)


def _length(texts: Sequence[str]) -> int:
    return sum(len(text) for text in texts)
