"""Toys for the two seams: a tokenizer and a generator that can hold, fail and die on demand.

``ToyGenerator`` "translates" every Latin word to two Chinese characters and keeps everything else, or
"summarizes" to the first sentences. No torch, no thread.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from glossd.config import Settings
from glossd.errors import DeadlineError, EngineDeadError
from glossd.models.base import DecodeDefaults, ModelInfo
from glossd.tasks.api import Services
from glossd.tasks.hub import Hub
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from glossd.types import DetectedLanguage, FinishReason, Generation, GenerationRequest

PAD, START, END, FIRST = 0, 1, 2, 3


class ToyTokenizer:
    """One token per character, and an end token."""

    def __init__(self, window: int = 512) -> None:
        self._window = window

    @property
    def window(self) -> int:
        return self._window

    def encode(self, text: str, *, source_language: str, target_language: str) -> tuple[int, ...]:
        return (*(ord(character) + FIRST for character in text), END)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(token - FIRST) for token in ids if token >= FIRST)

    def count(self, text: str) -> int:
        return len(text) + 1

    def forced_bos_token_id(self, target_language: str) -> int | None:
        return None

    def decoder_start_token_id(self, target_language: str) -> int | None:
        return None


def to_chinese(text: str) -> str:
    """Two Chinese characters for every Latin word, the same ones each time; web addresses and the rest stay."""
    return re.sub(r"https?://\S+|[A-Za-z]+", _to_chinese, text)


def _to_chinese(match: re.Match[str]) -> str:
    return match.group() if "://" in match.group() else _word_to_chinese(match.group().lower())


def _word_to_chinese(word: str) -> str:
    number = zlib.crc32(word.encode())
    return chr(0x4E00 + number % 5000) + chr(0x4E00 + number // 5000 % 5000)


def first_sentences(text: str) -> str:
    """The first quarter of the sentences, at least one."""
    sentences = re.findall(r".+?[.!?](?=\s|$)|.+$", text, flags=re.DOTALL)
    return " ".join(sentence.strip() for sentence in sentences[: max(1, len(sentences) // 4)])


@dataclass
class ToyGenerator:
    """A ``Generator`` that answers at once, or when ``release`` is called if ``hold`` is set.

    ``failure`` is raised by every future from then on. ``requests`` are all that were submitted.
    """

    convert: Callable[[str], str] = to_chinese
    hold: bool = False
    failure: Exception | None = None
    requests: list[GenerationRequest] = field(default_factory=list)
    closed: bool = False
    alive: bool = True

    def __post_init__(self) -> None:
        self._held: list[tuple[GenerationRequest, Future[Generation]]] = []
        self._changed = threading.Condition()
        self._tokenizer = ToyTokenizer()

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        future: Future[Generation] = Future()
        with self._changed:
            self.requests.append(request)
            if self.hold:
                self._held.append((request, future))
            self._changed.notify_all()
        if not self.hold:
            self._answer(request, future)
        return future

    def _answer(self, request: GenerationRequest, future: Future[Generation]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            future.set_result(self.generate(request))

    def generate(self, request: GenerationRequest) -> Generation:
        """What the generator answers."""
        text = self.convert(self._tokenizer.decode(request.source_ids))
        ids = self._tokenizer.encode(text, source_language="", target_language="")
        limit = request.params.max_new_tokens
        reason = FinishReason.COMPLETE if len(ids) <= limit else FinishReason.LENGTH
        return Generation(ids[:limit], -0.5, reason, queue_ns=1_000, compute_ns=2_000)

    def wait_for_requests(self, count: int, *, timeout: float = 10.0) -> bool:
        """Wait until that many segments have been submitted in all."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= count, timeout)

    def release(self, count: int | None = None) -> None:
        """Answer the ``count`` oldest held segments; all of them, and hold no more, for None."""
        with self._changed:
            if count is None:
                self.hold = False
            taken = self._held[:count]
            del self._held[:count]
        for request, future in taken:
            self._answer(request, future)

    def expire(self) -> None:
        """The deadline of everything that is held passes."""
        self._fail_held(DeadlineError("the deadline passed"))

    def die(self) -> None:
        """What an engine's death looks like from outside."""
        self.alive, self.failure = False, EngineDeadError("the engine has died")
        self._fail_held(self.failure)

    def _fail_held(self, error: Exception) -> None:
        with self._changed:
            taken, self._held = self._held, []
        for _, future in taken:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    @property
    def waiting(self) -> int:
        """Held segments that nobody has cancelled."""
        with self._changed:
            return sum(not future.cancelled() for _, future in self._held)

    def close(self) -> None:
        self.release()
        self.closed = True


def toy_info(*, window: int = 512, max_target: int = 512) -> ModelInfo:
    """Facts of a toy model."""
    return ModelInfo(
        family="toy",
        layers=1,
        heads=1,
        head_width=1,
        vocabulary=0x110000 + FIRST,
        window=window,
        max_target=max_target,
        parameters=1,
        pad_token_id=PAD,
        decoder_start_token_id=START,
        eos_token_ids=(END,),
        defaults=DecodeDefaults(max_new_tokens=max_target - 1),
    )


def toy_model(
    name: str = "toy-en-zh",
    *,
    generator: ToyGenerator | None = None,
    task: ModelTask = ModelTask.TRANSLATION,
    sources: tuple[str, ...] = ("en",),
    targets: tuple[str, ...] = ("zh-Hans",),
    window: int = 512,
) -> ServedModel:
    """A loaded toy: English to Chinese unless told otherwise."""
    summarizes = task is ModelTask.SUMMARIZATION
    toy = generator or ToyGenerator(first_sentences if summarizes else to_chinese)
    return ServedModel(
        name=name,
        tasks=(task,),
        source_language_codes=sources,
        target_language_codes=sources if summarizes else targets,
        info=toy_info(window=window),
        tokenizer=ToyTokenizer(window),
        generator=toy,
        alive=lambda: toy.alive,
    )


def toy_summarizer(*, generator: ToyGenerator | None = None, window: int = 512) -> ServedModel:
    """A loaded toy that summarizes English."""
    return toy_model("toy-summary", generator=generator, task=ModelTask.SUMMARIZATION, window=window)


def toy_hub(*models: ServedModel, known: Sequence[KnownModel] = ()) -> Hub:
    """A hub with these models ready (the English to Chinese toy if none); ``known`` ones load as toys."""

    async def load(model: KnownModel) -> ServedModel:
        return toy_model(model.name, task=model.tasks[0])

    hub = Hub(known, load)
    for model in models or (toy_model(),):
        hub.add(model)
    return hub


class ToyDetector:
    """Knows three languages by a word or a script, and is sure of them."""

    def detect(self, text: str) -> DetectedLanguage:
        if any("\u4e00" <= character <= "\u9fff" for character in text):
            return DetectedLanguage("zh-Hans", 1.0)
        words = set(re.findall(r"[a-z]+", text.lower()))
        if words & {"le", "les", "une", "est"}:
            return DetectedLanguage("fr", 0.98)
        if words & {"the", "a", "is", "and", "of", "one"}:
            return DetectedLanguage("en", 0.99)
        return DetectedLanguage("en", 0.3) if words else DetectedLanguage("und", 0.0)


def toy_services(*models: ServedModel, hub: Hub | None = None) -> Services:
    """Services over toys: no torch, no language library, all at once."""
    from glossd.tasks.api import build_services

    return build_services(Settings(), hub=hub or toy_hub(*models), detector=ToyDetector())
