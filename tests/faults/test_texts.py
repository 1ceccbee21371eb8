"""What is said of a text: its language when it is not what was asked for, a translation that went wrong, and that
neighbours change nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from glossd.v1 import article_service_pb2 as articles
from glossd.v1 import common_pb2 as common
from glossd.v1.article_service_pb2_grpc import ArticleServiceStub

from tests.faults.calls import channel_to, failed_outcome, text_of, translate
from tests.faults.process import GLOSSD, ServerProcess
from tests.faults.results import EFFORT, Effort, Results
from tests.tokenizer_files import parallel_sentences

ENGLISH = "The council met on Monday and decided to build a new bridge over the river."
CHINESE = "市议会星期一开会，决定在河上修建一座新桥。"
FRENCH = "Le conseil municipal s'est réuni lundi et a décidé de construire un nouveau pont sur la rivière."
GERMAN = "Der Stadtrat hat am Montag beschlossen, eine neue Brücke über den Fluss zu bauen."
CODE = "def build(bridge):\n    return [step(x) for x in bridge if x > 0]\n"
# Text, the language it is said to be in, the language asked for.
WRONG = {
    "Chinese, said to be English": (CHINESE, "en", "zh"),
    "French, said to be English": (FRENCH, "en", "zh"),
    "Chinese, detected": (CHINESE, "", "zh"),
    "French, detected": (FRENCH, "", "zh"),
    "German, detected": (GERMAN, "", "zh"),
    "German, said to be German": (GERMAN, "de", "zh"),
    "English to English": (ENGLISH, "en", "en"),
    "English to French": (ENGLISH, "en", "fr"),
    "digits only": ("12345 67890", "", "zh"),
    "English to no language": (ENGLISH, "en", "xx-klingon"),
}
RIGHT = {"English": (ENGLISH, "", "zh"), "English, said so": (ENGLISH, "en", "zh"), "a program": (CODE, "", "zh")}


@pytest.fixture(scope="module")
def embedded() -> Iterator[ServerProcess]:
    running = ServerProcess("--set", "engine.cache_entries=0", program=GLOSSD)
    yield running
    running.close()


async def said(channel: grpc.aio.Channel, text: str, language: str, target: str) -> tuple[str, set[str]]:
    """The code of the one document, and its warnings."""
    document = common.Document(text=text, language_code=language)
    request = articles.TranslateRequest(documents=[document], target_language_code=target)
    try:
        answer = await ArticleServiceStub(channel).Translate(request, timeout=60)
    except grpc.aio.AioRpcError as error:
        return failed_outcome(error, 0).code, set()
    (result,) = answer.results
    if result.HasField("error"):
        return "INVALID_ARGUMENT" if result.error.code == 3 else str(result.error.code), set()
    names = {common.WarningCode.Name(warning.code).removeprefix("WARNING_CODE_") for warning in result.text.warnings}
    return "OK", names


@pytest.mark.fault(23)
async def test_a_wrong_language_is_refused_or_said(server: ServerProcess, results: Results) -> None:
    seen, silent = [], []
    async with channel_to(server.endpoint) as channel:
        for name, (text, language, target) in (WRONG | RIGHT).items():
            code, warnings = await said(channel, text, language, target)
            seen.append(f"{name}: {code}{' with ' + ' and '.join(sorted(warnings)) if warnings else ''}")
            if code not in ("OK", "INVALID_ARGUMENT") or (name in WRONG and code == "OK" and not warnings):
                silent.append(seen[-1])
    results.record(23, tried=len(seen), failed=len(silent), figure="; ".join(seen))
    assert silent == []


@pytest.mark.fault(24)
@pytest.mark.parametrize("output", ["loop", "empty", "short", "latin"] if EFFORT.long else ["loop", "short"])
async def test_a_bad_translation_is_said(output: str, effort: Effort, results: Results) -> None:
    pace = {"PACED_STEP_SECONDS": "0", "PACED_OUTPUT": output}
    server, source, codes = (
        ServerProcess("--set", "models.canary=false", environment=pace),
        random.Random(24),
        Counter[str](),
    )
    count = effort.count(5, 100)
    try:
        async with channel_to(server.endpoint) as channel:
            found = [await said(channel, text_of(source, 1, 12), "en", "zh") for _ in range(count)]
    finally:
        server.close()
    for _, warnings in found:
        codes.update(warnings)
    silent = sum(not warnings for _, warnings in found)
    names = {"loop": "one word for ever", "empty": "nothing", "short": "two words of twelve", "latin": "no Chinese"}
    said_so = ", ".join(f"{name} {number}" for name, number in codes.most_common())
    results.record(24, tried=count, failed=silent, figure=f"{names[output]}: of {count}, {said_so}")
    assert {code for code, _ in found} == {"OK"}
    assert silent == 0


@pytest.mark.fault(25)
async def test_neighbours_change_no_translation(embedded: ServerProcess, effort: Effort, results: Results) -> None:
    count, sizes = effort.count(5, 60), (2, 5, 16, 64) if effort.long else (5,)
    sentences = list(dict.fromkeys(english for english, _ in parallel_sentences()))
    texts = [f"{sentences[number % len(sentences)]} {sentences[number // len(sentences)]}" for number in range(count)]
    long_ones = [" ".join(sentences[number : number + 8]) for number in range(2)]
    changed, tried = 0, 0
    async with channel_to(embedded.endpoint) as channel:
        alone = [(await translate(channel, text)).text for text in texts]
        for at_once in sizes:
            crowd = list(zip(texts, alone, strict=True))
            random.Random(at_once).shuffle(crowd)
            for first in range(0, len(crowd), at_once):
                part = crowd[first : first + at_once]
                together = await asyncio.gather(
                    *(translate(channel, text) for text, _ in part),
                    *(translate(channel, text) for text in (long_ones if at_once == 5 else [])),
                )
                outcomes = zip(part, together[: len(part)], strict=True)
                changed += sum(outcome.text != expected for (_, expected), outcome in outcomes)
                tried += len(part)
    groups = ", ".join(f"{size} and two long ones" if size == 5 else str(size) for size in sizes)
    figure = f"{count} texts by the embedded model alone and in groups of {groups}: {changed} of {tried} changed"
    results.record(25, tried=tried, failed=changed, figure=figure)
    assert all(alone)
    assert changed == 0
