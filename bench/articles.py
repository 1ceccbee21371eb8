"""Whole articles for the bench, and the tasks layer over them in a process of its own: no gRPC, the same settings.

``python -m bench.articles NAME=VALUE ...`` loads the embedded model with those settings, says so, then translates what
each line on standard input names: ``{"articles": [0, 1]}`` all at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (ROOT.parent / "shared/authored/articles.jsonl", ROOT / "tests/data/text/articles.jsonl")


def read_articles(limit: int) -> list[str]:
    """English articles as plain text: those beside the checkout where they are, else the tests' own."""
    texts = []
    for entry in islice(_entries(), limit):
        paragraphs = (" ".join(english for english, _ in paragraph) for paragraph in entry["body"])
        texts.append("\n\n".join([entry["title"][0], entry["dateline"], *paragraphs]))
    return texts


def read_sentences(limit: int) -> list[str]:
    """English sentences of the same articles, one after another, again from the first where they are too few."""
    bodies = ((paragraph for paragraph in entry["body"]) for entry in cycle(list(islice(_entries(), limit))))
    sentences = (english for body in bodies for paragraph in body for english, _ in paragraph)
    return list(islice(sentences, limit))


def _entries() -> Iterator[dict[str, Any]]:
    source = next(path for path in SOURCES if path.exists())
    with source.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


async def answer(assignments: Sequence[str], answers: Any) -> None:
    """Serve standard input; every answer is one JSON line."""
    from glossd.config import load_settings
    from glossd.tasks.api import build_services
    from glossd.types import DocumentInput, TranslateTask

    articles = read_articles(100_000)
    services = build_services(load_settings(assignments=assignments).settings)
    await services.start()
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in iter(sys.stdin.readline, ""):
        numbers = json.loads(line)["articles"]
        tasks = [TranslateTask(DocumentInput(articles[number]), "zh") for number in numbers]
        started = time.perf_counter()
        texts = await asyncio.gather(*(services.translator.translate(task) for task in tasks))
        seconds = time.perf_counter() - started
        tokens = sum(text.usage.output_tokens for text in texts)
        print(json.dumps({"seconds": seconds, "output_tokens": tokens}), file=answers, flush=True)
    await services.close()


def main() -> None:
    """Command line; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(answer(sys.argv[1:], answers))


if __name__ == "__main__":
    main()
