"""How often emphasis around a name stands around that name's translation, by re-finding words alone and by attention.

Sentences come from authored articles that no training run has read. Counted are names of the lexicon whose translation
the model happened to write once, so that the right place is known. ``python -m bench.emphasis --authored DIRECTORY``
prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

from glossd.config import Settings
from glossd.tasks.api import build_services
from glossd.tasks.hub import Hub
from glossd.tasks.loading import CheckpointLoader, known_models
from glossd.tasks.served import KnownModel, ModelTask, ServedModel
from glossd.text.terms import Term, TermFinder
from glossd.types import DocumentInput, MimeType, TranslateTask

from training.sources import is_development, read_articles, read_lexicon

LONGEST_WORDS = 40
_MARKED = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence, the name in it that is emphasised, and the name's translation."""

    source: str
    name: str
    target: str

    @property
    def markdown(self) -> str:
        """The sentence as it is sent."""
        return self.source.replace(self.name, f"**{self.name}**")


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table."""

    way: str
    names: int
    placed: int
    touching: int
    exact: int


def draw_cases(authored: Path, count: int) -> list[Case]:
    """One name of the lexicon in each sentence, a fixed draw."""
    finder = TermFinder(
        [Term(term.source, term.target) for term in read_lexicon(authored / "lexicon.tsv") if len(term.source) > 2]
    )
    rng = random.Random(5)
    cases = []
    for article in read_articles(authored / "articles.jsonl"):
        for pair in article.pairs() if is_development(article.identifier) else ():
            found = [(pair.source[span.start : span.end], term) for span, term in finder.find(pair.source)]
            found = [(name, term) for name, term in found if pair.source.count(name) == 1 and "*" not in pair.source]
            if found and len(pair.source.split()) <= LONGEST_WORDS:
                name, term = rng.choice(found)
                cases.append(Case(pair.source, name, term.target))
    return rng.sample(cases, min(count, len(cases)))


async def translate(cases: list[Case], *, attention: bool) -> list[str]:
    """Every sentence as a Markdown document of its own."""
    settings = Settings()
    loader = CheckpointLoader(settings.models, settings.engine)

    async def load(known: KnownModel) -> ServedModel:
        served = await loader(known)
        return served if attention else replace(served, aligner=None)

    services = build_services(settings, hub=Hub(known_models(settings.models), load))
    await services.start(ModelTask.TRANSLATION)
    try:
        tasks = [TranslateTask(DocumentInput(case.markdown, MimeType.MARKDOWN, "en"), "zh") for case in cases]
        return [result.text for result in await asyncio.gather(*map(services.translator.translate, tasks))]
    finally:
        await services.close()


def score(way: str, cases: list[Case], texts: list[str]) -> Score:
    """Names whose translation stands in the text once: marked at all, touching it, exactly it."""
    names = placed = touching = exact = 0
    for case, text in zip(cases, texts, strict=True):
        bare = text.replace("**", "")
        if bare.count(case.target) != 1:
            continue
        names += 1
        marked = _MARKED.search(text)
        if marked is None:
            continue
        start = bare.index(case.target)
        placed += 1
        exact += marked.group(1) == case.target
        touching += marked.start() < start + len(case.target) and start < marked.start() + len(marked.group(1))
    return Score(way, names, placed, touching, exact)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authored", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=300)
    arguments = parser.parse_args()
    cases = draw_cases(arguments.authored, arguments.sentences)
    print("| marks placed | names | anywhere | touching the name | exactly around it |\n|---|---:|---:|---:|---:|")
    for way, attention in (("by re-finding alone", False), ("by re-finding, else by attention", True)):
        row = score(way, cases, asyncio.run(translate(cases, attention=attention)))
        shares = " | ".join(f"{count / row.names:.0%}" for count in (row.placed, row.touching, row.exact))
        print(f"| {way} | {row.names} | {shares} |")


if __name__ == "__main__":
    main()
