from __future__ import annotations

import json
import shutil
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from glossd.config import EngineSettings, ModelSettings
from glossd.engine.ct2 import Ct2Generator, open_translator
from glossd.engine.engine import EngineLimits
from glossd.errors import DeadlineError, DrainingError, EngineDeadError, InvalidInputError, ModelFilesError
from glossd.models.base import DecodeDefaults, ModelInfo
from glossd.models.converted import ConvertedCheckpoint, Vocabulary, is_converted, read_converted
from glossd.models.loading import Checkpoint, load_checkpoint
from glossd.tasks.loading import CheckpointLoader
from glossd.tasks.served import KnownModel, ModelTask
from glossd.types import FinishReason, Generation, GenerationParams, GenerationRequest

from tests.checkpoints import parity_segments
from tests.conftest import Checkpoints
from tests.parity.reference import decode_in_crowd, params_of
from tests.unit.engine.toy_model import submits_elsewhere, wait_until

WORDS = tuple(f"w{number}" for number in range(50))
INFO = ModelInfo("echo", 1, 1, 1, 50, 32, 32, 0, 0, 0, (1,), DecodeDefaults())
POISON = 49


@dataclass(frozen=True)
class Echoed:
    hypotheses: list[list[str]]
    scores: list[float]


class EchoTranslator:
    """Gives back its source and the end token, within the limit; waits for ``gate`` before each batch."""

    def __init__(self, gate: threading.Semaphore | None = None) -> None:
        self.gate = gate
        self.batches: list[list[list[str]]] = []
        self.options: list[dict[str, Any]] = []

    def translate_batch(self, source: list[list[str]], **options: Any) -> Sequence[Echoed]:
        self.batches.append(source)
        self.options.append(options)
        if self.gate is not None:
            self.gate.acquire()
        if any(WORDS[POISON] in words for words in source):
            raise RuntimeError("the toy was told to fail")
        most = options["max_decoding_length"]
        prefixes = options["target_prefix"] or [[]] * len(source)
        whole = ([*prefix, *words, WORDS[1]][:most] for prefix, words in zip(prefixes, source, strict=True))
        return [Echoed([words], [-0.5]) for words in whole]


def generator(translator: EchoTranslator, *, start: str | None = "w1", **limits: Any) -> Ct2Generator:
    return Ct2Generator(translator, Vocabulary(WORDS, WORDS, start), INFO, limits=EngineLimits(**limits))


def request(*source: int, deadline_ns: int | None = None, **changes: Any) -> GenerationRequest:
    params = GenerationParams(0, (1,), 30)
    return GenerationRequest(source, replace(params, **changes), deadline_ns=deadline_ns)


def test_what_waits_is_decoded_together_in_order_of_length() -> None:
    gate = threading.Semaphore(0)
    translator = EchoTranslator(gate)
    engine = generator(translator)
    first = engine.submit(request(5))
    _wait_for_batches(translator, 1)
    others = [engine.submit(request(*source)) for source in ((6, 7, 8), (9,), (4, 3))]
    gate.release(2)
    assert [future.result(30).token_ids for future in (first, *others)] == [(5, 1), (6, 7, 8, 1), (9, 1), (4, 3, 1)]
    assert [len(words) for words in translator.batches[1]] == [1, 2, 3]
    reading = engine.reading("toy")
    assert (reading.source_tokens, reading.target_tokens) == (7, 11)
    engine.close()
    assert engine.reading("toy").rows_in_use == 0


def test_limits_alone_do_not_part_a_batch_and_each_output_is_cut_at_its_own() -> None:
    gate = threading.Semaphore(0)
    translator = EchoTranslator(gate)
    engine = generator(translator)
    held = engine.submit(request(5))
    _wait_for_batches(translator, 1)
    short = engine.submit(request(6, 7, 8, max_new_tokens=2))
    forced = engine.submit(request(6, 7, 8, 9, max_new_tokens=3))
    beams = engine.submit(request(6, 7, num_beams=2))
    gate.release(3)
    assert held.result(30).finish_reason is FinishReason.COMPLETE
    assert short.result(30) == replace(short.result(30), token_ids=(6, 7), finish_reason=FinishReason.LENGTH)
    assert forced.result(30).token_ids == (6, 7, 8)
    assert beams.result(30).token_ids == (6, 7, 1)
    assert sorted(map(len, translator.batches[1:])) == [1, 2]
    engine.close()


def test_a_forced_end_stands_where_the_limit_falls_and_the_reason_still_tells_of_the_cut() -> None:
    engine = generator(EchoTranslator())
    generation = engine.submit(request(6, 7, 8, max_new_tokens=2, forced_eos_token_id=1)).result(30)
    assert (generation.token_ids, generation.finish_reason) == ((6, 1), FinishReason.LENGTH)
    engine.close()


def test_target_languages_become_a_prefix_and_banned_tokens_are_named() -> None:
    translator = EchoTranslator()
    engine = generator(translator, start=None)
    asked = request(6, decoder_start_token_id=2, forced_bos_token_id=3, suppressed=(4,), bad_words=((5, 6), (60,)))
    engine.submit(asked).result(30)
    assert translator.options[0]["target_prefix"] == [["w2", "w3"]]
    assert translator.options[0]["suppress_sequences"] == [["w4"], ["w5", "w6"]]
    engine.close()


def test_what_waits_can_be_cancelled_and_what_is_too_late_is_told_so() -> None:
    gate = threading.Semaphore(0)
    translator = EchoTranslator(gate)
    engine = generator(translator)
    first = engine.submit(request(5))
    _wait_for_batches(translator, 1)
    doomed = engine.submit(request(6))
    late = engine.submit(request(7, deadline_ns=time.monotonic_ns()))
    last = engine.submit(request(8))
    assert doomed.cancel()
    gate.release(2)
    assert (first.result(30).token_ids, last.result(30).token_ids) == ((5, 1), (8, 1))
    with pytest.raises(DeadlineError):
        late.result(30)
    with pytest.raises(CancelledError):
        doomed.result(30)
    assert translator.batches == [[["w5"]], [["w8"]]]
    engine.close()


def test_who_is_told_that_it_is_too_late_may_wait_for_another_thread_that_asks() -> None:
    gate = threading.Semaphore(0)
    translator = EchoTranslator(gate)
    engine = generator(translator)
    engine.submit(request(5))
    _wait_for_batches(translator, 1)
    late = engine.submit(request(7, deadline_ns=time.monotonic_ns()))
    went_in: list[bool] = []
    late.add_done_callback(lambda _: went_in.append(submits_elsewhere(engine, request(8))))
    gate.release(2)
    wait_until(lambda: bool(went_in))
    with pytest.raises(DeadlineError):
        late.result(0)
    assert went_in == [True]
    engine.close()


def test_an_error_of_the_translator_ends_the_generator_and_everybody_hears_of_it() -> None:
    gate = threading.Semaphore(0)
    translator = EchoTranslator(gate)
    deaths: list[BaseException] = []
    told = threading.Event()

    def tell(error: BaseException) -> None:
        deaths.append(error)
        told.set()

    engine = Ct2Generator(translator, Vocabulary(WORDS, WORDS, "w1"), INFO, limits=EngineLimits(), on_death=tell)
    poisoned = engine.submit(request(POISON))
    _wait_for_batches(translator, 1)
    behind = engine.submit(request(5))
    gate.release()
    for future in (poisoned, behind):
        with pytest.raises(EngineDeadError) as caught:
            future.result(30)
        assert isinstance(caught.value.__cause__, RuntimeError)
    assert told.wait(30)
    assert (len(deaths), engine.alive) == (1, False)
    with pytest.raises(EngineDeadError):
        engine.submit(request(5))
    engine.close()


def test_closing_finishes_what_is_queued_and_takes_nothing_new() -> None:
    engine = generator(EchoTranslator(), rows=2)
    futures = [engine.submit(request(2 + number % 40)) for number in range(100)]
    engine.close()
    assert [future.result(0).token_ids for future in futures] == [(2 + number % 40, 1) for number in range(100)]
    with pytest.raises(DrainingError):
        engine.submit(request(5))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (request(), "source_ids"),
        (request(*[5] * 33), "source_ids"),
        (request(77), "source_ids"),
        (request(5, num_beams=99), "num_beams"),
        (request(5, max_new_tokens=0), "max_new_tokens"),
        (request(5, max_new_tokens=33), "max_new_tokens"),
    ],
)
def test_what_can_never_run_is_refused(asked: GenerationRequest, field: str) -> None:
    engine = generator(EchoTranslator())
    with pytest.raises(InvalidInputError) as caught:
        engine.submit(asked)
    assert caught.value.field == field
    engine.close()


def _wait_for_batches(translator: EchoTranslator, count: int) -> None:
    """Until the generator's thread stands before the gate with its ``count``-th batch."""
    until = time.monotonic() + 30
    while len(translator.batches) < count:
        assert time.monotonic() < until, "the batch never came"
        threading.Event().wait(0.001)


@dataclass(frozen=True)
class Pair:
    """A checkpoint and the same converted."""

    original: Checkpoint
    converted: ConvertedCheckpoint
    engine: Ct2Generator

    def ours(self, requests: Sequence[GenerationRequest]) -> list[tuple[int, ...]]:
        crowd = decode_in_crowd(self.original.model, requests, rows=32, seed=1)
        return [hypothesis.token_ids for hypothesis in crowd]

    def theirs(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [future.result(60) for future in [self.engine.submit(request) for request in requests]]


def convert(directory: Path, target: Path) -> Path:
    """As a user would, with the tokenizer files copied."""
    converters = pytest.importorskip("ctranslate2.converters", reason="ctranslate2 is not installed")
    skip = ("config.json", "model.safetensors")
    copied = [file.name for file in directory.iterdir() if file.name not in skip]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        converters.TransformersConverter(str(directory), copy_files=copied).convert(str(target))
    return target


def prepared(family: str, source: Path, target: Path) -> Path:
    """A copy that the converter can take: Marian starts from a zero embedding, BART's old settings are spelled out."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    settings = json.loads((target / "config.json").read_text(encoding="utf-8"))
    if family == "marian":
        tensors = load_file(target / "model.safetensors")
        table = "model.shared.weight" if "model.shared.weight" in tensors else "model.encoder.embed_tokens.weight"
        tensors[table][settings["pad_token_id"]] = 0
        save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    if family == "bart":
        settings |= {"normalize_before": False, "normalize_embedding": True}
        (target / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return target


@pytest.fixture(scope="module", params=["marian", "bart", "nllb"])
def pair(
    request: pytest.FixtureRequest, checkpoints: Checkpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp(request.param)
    source = prepared(request.param, checkpoints(request.param), home / "original")
    target = convert(source, home / "converted")
    original = load_checkpoint(str(source), settings=ModelSettings(dtype="float32", device="cpu"))
    assert is_converted(target)
    assert not is_converted(source)
    converted = read_converted(target, name=str(target))
    limits = EngineLimits(rows=16, sources=16, workers=1)
    translator, workers = open_translator(target, dtype="float32", device="cpu", limits=limits)
    engine = Ct2Generator(translator, converted.vocabulary, converted.info, limits=limits, workers=workers)
    yield Pair(original, converted, engine)
    engine.close()


def test_greedy_tokens_are_those_of_our_engine_but_for_rounding(pair: Pair) -> None:
    """At least 95 % of the segments, in float32: sums in another order may turn a near tie, so not all is promised."""
    requests = requests_for(pair, 60, num_beams=1)
    theirs = pair.theirs(requests)
    equal = sum(ours == generation.token_ids for ours, generation in zip(pair.ours(requests), theirs, strict=True))
    assert equal >= 0.95 * len(requests)
    assert all(generation.score < 0 for generation in theirs)


def test_beams_give_mostly_what_ours_give(pair: Pair) -> None:
    requests = requests_for(pair, 20, num_beams=3)
    ours = pair.ours(requests)
    equal = sum(one == other.token_ids for one, other in zip(ours, pair.theirs(requests), strict=True))
    assert equal >= 0.5 * len(requests)


def requests_for(pair: Pair, count: int, **changes: Any) -> list[GenerationRequest]:
    """Requests as the tasks make them, without what CTranslate2 does in its own way (early stopping, forced ends)."""
    tokenizer, info = pair.original.tokenizer, pair.original.model.info
    target = "zh-Hans" if "zh-Hans" in tokenizer.target_language_codes else tokenizer.target_language_codes[0]
    forced = tokenizer.forced_bos_token_id(target)
    forced = info.defaults.forced_bos_token_id if forced is None else forced
    plain = {"forced_bos_token_id": forced, "forced_eos_token_id": None, "min_new_tokens": 0, "early_stopping": False}
    params = params_of(info, **(plain | {"length_penalty": 1.0, "renormalize": False} | changes))
    texts = parity_segments(count)
    return [
        GenerationRequest(tokenizer.encode(text, source_language="en", target_language=target), params)
        for text in texts
    ]


def test_a_converted_checkpoint_tells_the_same_facts(pair: Pair) -> None:
    ours, theirs = pair.original.model.info, pair.converted.info
    assert (theirs.family, theirs.layers, theirs.heads, theirs.head_width) == (
        pair.original.facts.model_type,
        ours.layers,
        ours.heads,
        ours.head_width,
    )
    assert (theirs.eos_token_ids, theirs.window) == (ours.eos_token_ids, ours.window)
    assert replace(theirs.defaults, bad_words=()) == replace(ours.defaults, bad_words=())
    assert pair.converted.tokenizer.target_language_codes == pair.original.tokenizer.target_language_codes
    assert pair.converted.tasks == pair.original.facts.tasks


async def test_a_converted_directory_is_served_by_the_same_road(checkpoints: Checkpoints, tmp_path: Path) -> None:
    target = convert(prepared("nllb", checkpoints("nllb"), tmp_path / "original"), tmp_path / "converted")
    loader = CheckpointLoader(ModelSettings(canary=False, dtype="int8"), EngineSettings(workers=1))
    served = await loader(KnownModel("converted", str(target), (ModelTask.TRANSLATION,)))
    assert isinstance(served.generator, Ct2Generator)
    assert served.dtype.startswith("int8")
    assert served.translates("en", "zh-Hans")
    assert served.read is not None
    assert served.read().rows == 64
    served.generator.close()
    assert not served.alive()


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ctranslate2", None)
    with pytest.raises(ModelFilesError, match=r"pip install 'glossd\[ctranslate2\]'"):
        open_translator(tmp_path, dtype="auto", device="auto", limits=EngineLimits())


def test_a_format_or_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed")
    with pytest.raises(InvalidInputError, match="no int3 on this cpu"):
        open_translator(tmp_path, dtype="int3", device="cpu", limits=EngineLimits())
    with pytest.raises(InvalidInputError, match=r"models\.device"):
        open_translator(tmp_path, dtype="auto", device="cuda:63", limits=EngineLimits())
    with pytest.raises(ModelFilesError, match="does not load"):
        open_translator(tmp_path, dtype="auto", device="cpu", limits=EngineLimits())


def test_damaged_files_and_a_strange_tokenizer_are_refused(checkpoints: Checkpoints, tmp_path: Path) -> None:
    target = convert(prepared("nllb", checkpoints("nllb"), tmp_path / "original"), tmp_path / "converted")
    model, words = target / "model.bin", target / "shared_vocabulary.json"
    whole, tokens = model.read_bytes(), json.loads(words.read_text(encoding="utf-8"))
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFilesError, match=r"model\.bin"):
        read_converted(target, name="x")
    model.write_bytes(whole)
    words.write_text(json.dumps([*tokens[:-2], tokens[-1], tokens[-2]]), encoding="utf-8")
    with pytest.raises(ModelFilesError, match="different checkpoints"):
        read_converted(target, name="x")
