"""How often required terms stand in a translation: not asked for, by glossary, as they are, and what that costs.

Sentences come from authored articles that no training run has read; their names and the names' translations from the
lexicon beside them. ``python -m bench.terms --authored DIRECTORY`` prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glossd.config import Settings
from glossd.tasks.api import Services, build_services
from glossd.tasks.served import ModelTask
from glossd.text.terms import Term, TermFinder
from glossd.types import (
    DocumentInput,
    GlossaryEntry,
    RequestOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from training.sources import is_development, read_articles, read_lexicon

KINDS = frozenset({"person", "surname", "city", "region", "organization", "company", "office", "media", "event"})
MOST_TERMS = 3
LONGEST_WORDS = 40


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence, its reference and the lexicon's terms in it whose translation stands in the reference."""

    source: str
    reference: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the table."""

    name: str
    terms: int
    kept: int
    missed_warnings: int
    other_warnings: int
    output_tokens: int
    chrf: float


def draw_cases(authored: Path, count: int) -> list[Case]:
    """Sentences with one to three names, a fixed draw."""
    lexicon = [term for term in read_lexicon(authored / "lexicon.tsv") if term.kind in KINDS and len(term.source) > 2]
    finder = TermFinder([Term(term.source, term.target) for term in lexicon])
    cases = []
    for article in read_articles(authored / "articles.jsonl"):
        for pair in article.pairs() if is_development(article.identifier) else ():
            found = dict.fromkeys(term for _, term in finder.find(pair.source) if term.target in pair.target)
            if 0 < len(found) <= MOST_TERMS and len(pair.source.split()) <= LONGEST_WORDS:
                cases.append(Case(pair.source, pair.target, tuple(found)))
    return random.Random(5).sample(cases, min(count, len(cases)))


def not_asked_for(case: Case) -> RequestOptions:
    """No terms in the request."""
    return RequestOptions()


def by_glossary(case: Case) -> RequestOptions:
    """The lexicon's translations in the request."""
    return RequestOptions(glossary=tuple(GlossaryEntry(term.source, term.target) for term in case.terms))


def as_they_are(case: Case) -> RequestOptions:
    """The terms are not to be translated."""
    return RequestOptions(do_not_translate=tuple(term.source for term in case.terms))


WAYS = {"not asked for": not_asked_for, "glossary": by_glossary, "do not translate": as_they_are}


async def translate(services: Services, cases: list[Case], ask: Callable[[Case], RequestOptions]) -> list[TextResult]:
    """Every sentence as a document of its own."""

    def task(case: Case) -> TranslateTask:
        options = ask(case)
        return TranslateTask(DocumentInput(case.source, language_code="en"), "zh", options=options)

    return await asyncio.gather(*(services.translator.translate(task(case)) for case in cases))


def wanted_in(case: Case, name: str) -> list[str]:
    """What must stand in the translation."""
    return [term.source if WAYS[name] is as_they_are else term.target for term in case.terms]


def score(name: str, cases: list[Case], results: list[TextResult]) -> Score:
    """Terms that stand in the translations, warnings, tokens decoded, and chrF over all sentences."""
    import sacrebleu  # of the extra "train"

    pairs = zip(cases, results, strict=True)
    texts = [result.text for result in results]
    codes = [warning.code for result in results for warning in result.warnings]
    missed = codes.count(WarningCode.TERM_MISSED)
    return Score(
        name=name,
        terms=sum(len(case.terms) for case in cases),
        kept=sum(wanted in result.text for case, result in pairs for wanted in wanted_in(case, name)),
        missed_warnings=missed,
        other_warnings=len(codes) - missed,
        output_tokens=sum(result.usage.output_tokens for result in results),
        chrf=sacrebleu.CHRF().corpus_score(texts, [[case.reference for case in cases]]).score,
    )


def show(scores: list[Score]) -> None:
    """A table in Markdown."""
    print("| terms | terms kept | accuracy | chrF | `TERM_MISSED` | other warnings | tokens decoded |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in scores:
        print(
            f"| {row.name} | {row.kept} of {row.terms} | {row.kept / row.terms:.1%} | {row.chrf:.1f} "
            f"| {row.missed_warnings} | {row.other_warnings} | {row.output_tokens:,} |"
        )


async def measure(cases: list[Case], model: str, verbose: bool) -> list[Score]:
    """Load the model and run all ways."""
    settings = Settings.model_validate({"models": {"translation": [model]}})
    services = build_services(settings)
    await services.start(ModelTask.TRANSLATION)
    scores = []
    for name, ask in WAYS.items():
        results = await translate(services, cases, ask)
        scores.append(score(name, cases, results))
        for case, result in zip(cases, results, strict=True) if verbose else ():
            print(f"{case.source}\n  {[term.target for term in case.terms]}\n  {result.text}")
            print("".join(f"  ! {warning.code.value}: {warning.message}\n" for warning in result.warnings))
    await services.close()
    return scores


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authored", type=Path, default=Path("../shared/authored"), help="articles and lexicon")
    parser.add_argument("--sentences", type=int, default=60)
    parser.add_argument("--model", default="embedded", help="directory, hub id or 'embedded'")
    parser.add_argument("--verbose", action="store_true", help="print every translation")
    chosen = parser.parse_args()
    cases = draw_cases(chosen.authored, chosen.sentences)
    show(asyncio.run(measure(cases, chosen.model, chosen.verbose)))


if __name__ == "__main__":
    main()
