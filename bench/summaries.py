"""Measures extractive summaries beside lead-k, TextRank and LexRank, on reference summaries: ``docs/summaries.md``.

Only the third of the articles that the ranker never saw is measured. Peers choose among the same sentences that the
document layer finds; where sumy is installed, its TextRank and LexRank are measured beside our own.
"""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from glossd.text.document import Document, parse
from glossd.text.extractive import candidates_of, sentences_of, summarize
from glossd.text.features import Floats, leans, lexrank, measure
from glossd.text.words import count_words, terms
from glossd.types import DocumentInput, SummaryOptions

from training.ranker import ARTICLES, Article, read_articles
from training.rouge import Rouge, rouge, tokens

PAGE = Path(__file__).resolve().parents[1] / "docs/summaries.md"
NEWS_TOPICS = ("briefs", "culture", "diplomacy", "disasters", "economy", "politics", "science", "society", "technology")

_MARKS = ("<!-- measured -->", "<!-- end -->")
_BETWEEN = " \u00b6 "
_GRAPH_SENTENCES = 2
_ROUNDS = 50
_LENGTHS = ("words", "ratio", "sentences")
_DAMPING = 0.85
_CAPTIONS = {
    "en": (
        "(Agencies)",
        "People gather outside the hall during a break, in a photo taken on Tuesday. [Photo/Agencies]",
    ),
    "zh": ("来源：新华社", "图为会议间隙，人们聚集在主会场外交谈。[图/视觉中国]"),
}

Choose = Callable[[Article, Document], str]


@dataclass(frozen=True, slots=True)
class Row:
    """One system's means over a set of articles."""

    name: str
    one: float
    two: float
    longest: float
    words: float

    def line(self) -> str:
        """The row of a Markdown table."""
        return f"| {self.name} | {self.one:.2f} | {self.two:.2f} | {self.longest:.2f} | {self.words:.0f} |"


def body_of(document: Document) -> list[str]:
    """Every sentence but the headline, as a system sees it that knows nothing of captions and date lines."""
    return [segment.text for segment in document.segments[1:]] or [segment.text for segment in document.segments]


def joined(article: Article, sentences: Sequence[str]) -> str:
    """The sentences as a text of the article's language."""
    return ("" if article.language_code == "zh" else " ").join(sentences)


def lead(number: int) -> Choose:
    """The first sentences."""
    return lambda article, document: joined(article, body_of(document)[:number])


def ours(options: SummaryOptions) -> Choose:
    """The summarizer of this package."""
    return lambda article, document: summarize(document, options, language_code=article.language_code).text


def by_graph(weigh: Callable[[Document], Floats]) -> Choose:
    """The two heaviest sentences in reading order."""

    def choose(article: Article, document: Document) -> str:
        body = body_of(document)
        best = sorted(np.argsort(-weigh(document), kind="stable")[:_GRAPH_SENTENCES])
        return joined(article, [body[index] for index in best])

    return choose


def lexrank_weights(document: Document) -> Floats:
    """Erkan and Radev (2004), continuous: cosines of TF-IDF as edges."""
    return lexrank(measure(candidates_of(document.segments[1:] or document.segments), title="").vectors)


def textrank_weights(document: Document) -> Floats:
    """Mihalcea and Tarau (2004): shared words over the sum of the logarithms of the lengths."""
    bags = [set(terms(sentence)) for sentence in body_of(document)]
    edges = np.zeros((len(bags), len(bags)))
    for row, one in enumerate(bags):
        for column, other in enumerate(bags[:row]):
            size = math.log(max(len(one), 1)) + math.log(max(len(other), 1))
            edges[row, column] = edges[column, row] = len(one & other) / size if size else 0.0
    totals = edges.sum(axis=1, keepdims=True)
    steps = np.divide(edges, totals, out=np.full_like(edges, 1.0 / len(bags)), where=totals > 0)
    weights = np.full(len(bags), 1.0 / len(bags))
    for _ in range(_ROUNDS):
        weights = (1.0 - _DAMPING) / len(bags) + _DAMPING * (steps.T @ weights)
    return weights


def sumy(module: str, name: str) -> Choose | None:
    """A summarizer of sumy with the same sentences as everybody; None where sumy is not installed."""
    try:
        summarizer: Any = getattr(importlib.import_module(f"sumy.summarizers.{module}"), name)()
        parser: Any = importlib.import_module("sumy.parsers.plaintext").PlaintextParser
    except ImportError:
        return None

    class Sentences:
        """Stands in for sumy's splitter: marked sentences, words as this package counts them."""

        def to_sentences(self, text: str) -> list[str]:
            return text.split(_BETWEEN)

        def to_words(self, text: str) -> list[str]:
            return terms(text)

    def choose(article: Article, document: Document) -> str:
        read = parser.from_string(_BETWEEN.join(body_of(document)), Sentences())
        return joined(article, [str(sentence) for sentence in summarizer(read.document, _GRAPH_SENTENCES)])

    return choose


def oracle(article: Article, document: Document) -> str:
    """Greedy: the sentence that raises ROUGE most, while one does. Reads the reference; a bound, not a system."""
    body, wanted = body_of(document), tokens(article.summary)
    made = [tokens(sentence) for sentence in body]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < len(body):

        def gain(index: int) -> float:
            return rouge([token for place in sorted([*chosen, index]) for token in made[place]], wanted).mean

        index = max((index for index in range(len(body)) if index not in chosen), key=gain)
        if gain(index) <= best:
            break
        best = gain(index)
        chosen.append(index)
    return joined(article, [body[index] for index in sorted(chosen)])


def systems() -> Iterator[tuple[str, Choose]]:
    """Every system that is measured, by the name in the table."""
    for number in (1, 2, 3):
        yield f"first {number} sentence{'s' * (number > 1)}", lead(number)
    yield "TextRank, 2 sentences", by_graph(textrank_weights)
    yield "LexRank, 2 sentences", by_graph(lexrank_weights)
    for module, name in (("text_rank", "TextRank"), ("lex_rank", "LexRank")):
        found = sumy(module, f"{name}Summarizer")
        if found is not None:
            yield f"{name} of sumy, 2 sentences", found
    for number in (1, 2, 3):
        yield f"glossd, {number} sentence{'s' * (number > 1)}", ours(SummaryOptions(sentences=number))
    yield "**glossd, default length**", ours(SummaryOptions())
    yield "greedy oracle (reads the reference)", oracle


def led(article: Article) -> str:
    """The article as a page gives it: a date line, a credit and a caption before the first paragraph."""
    credit, caption = _CAPTIONS[article.language_code]
    dateline = "2013年5月8日 08:00" if article.language_code == "zh" else "Updated: 2013-05-08 08:00"
    return "\n".join([article.title, dateline, credit, caption, *article.paragraphs])


def table(title: str, articles: Sequence[Article], text_of: Callable[[Article], str]) -> Iterator[str]:
    """A heading and a Markdown table of every system on these articles."""
    yield f"### {title} ({len(articles)} articles)"
    yield ""
    yield "| system | ROUGE-1 | ROUGE-2 | ROUGE-L | words |"
    yield "|---|---|---|---|---|"
    documents = [parse(DocumentInput(text_of(one), language_code=one.language_code)) for one in articles]
    for name, choose in systems():
        made = [choose(article, document) for article, document in zip(articles, documents, strict=True)]
        scores = [rouge(tokens(text), tokens(one.summary)) for text, one in zip(made, articles, strict=True)]
        yield _row(name, scores, made).line()
    yield ""


def _row(name: str, scores: Sequence[Rouge], made: Sequence[str]) -> Row:
    one, two, longest = np.mean([(score.one, score.two, score.longest) for score in scores], axis=0).tolist()
    return Row(name, one, two, longest, float(np.mean([count_words(text) for text in made])))


def promises(held: Sequence[Article]) -> Iterator[str]:
    """How often lengths hold, and how often a summary has a sentence that needs one left out."""
    yield f"### Lengths and standing alone ({len(held)} articles, both languages)"
    yield ""
    yield "| asked for | length within 15 % (sentences: exact) | every sentence stands alone or beside the one before |"
    yield "|---|---|---|"
    documents = [(parse(DocumentInput(one.text, language_code=one.language_code)), one) for one in held]
    asked = [SummaryOptions()]
    asked += [SummaryOptions(words=words) for words in (40, 60, 100, 150)]
    asked += [SummaryOptions(ratio=ratio) for ratio in (0.2, 0.4)]
    asked += [SummaryOptions(sentences=number) for number in (1, 2, 3, 5)]
    for options in asked:
        kept, alone = 0, 0
        for document, article in documents:
            made = summarize(document, options, language_code=article.language_code)
            kept += _keeps(document, made.text, len(made.segments), options)
            alone += all(
                index - 1 in made.segments or not leans(document.segments[index].text) for index in made.segments
            )
        name = next(
            (f"{name} = {value}" for name in _LENGTHS if (value := getattr(options, name)) is not None), "nothing"
        )
        length = "" if name == "nothing" else f"{kept / len(held):.1%}"
        yield f"| {name} | {length} | {alone / len(held):.1%} |"
    yield ""


def _keeps(document: Document, text: str, sentences: int, options: SummaryOptions) -> bool:
    if options.sentences is not None:
        return sentences == options.sentences
    whole = sum(count_words(segment.text) for segment in sentences_of(document))
    wanted = options.words or (options.ratio or 1.0) * whole
    return abs(count_words(text) - wanted) <= 0.15 * wanted


def main() -> None:
    """Measures, prints, and puts the tables into the page between its marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=Path, default=ARTICLES)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    held = [article for article in read_articles(options.articles) if article.held_out]
    lines: list[str] = []
    for language, code in (("English", "en"), ("Chinese", "zh")):
        articles = [article for article in held if article.language_code == code]
        news = [article for article in articles if article.topic in NEWS_TOPICS]
        lines += table(f"{language}, all genres", articles, lambda article: article.text)
        lines += table(f"{language}, news alone", news, lambda article: article.text)
        lines += table(f"{language}, led by a date line, a credit and a caption", articles, led)
    lines += promises(held)
    print("\n".join(lines))
    head, _, rest = options.page.read_text(encoding="utf-8").partition(_MARKS[0])
    tail = rest.partition(_MARKS[1])[2]
    options.page.write_text(f"{head}{_MARKS[0]}\n{chr(10).join(lines)}{_MARKS[1]}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
