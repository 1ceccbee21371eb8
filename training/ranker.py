"""Fits the sentence ranker of the extractive summarizer on articles with reference summaries: ``ranker.json``.

Each weight says what a feature is worth in ROUGE: the first model is fitted by ridge regression to what each sentence
scores alone, the later one to what it adds to sentences chosen before it. A third of the articles, by the hash of the
id, is held out: neither weights nor the length of a default summary see it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from glossd.text.document import parse
from glossd.text.extractive import candidates_of, choose, sentences_of
from glossd.text.features import FEATURES, Floats, Measures, measure, pieces_of
from glossd.text.likely import PIECE_FEATURES
from glossd.text.ranking import CONTEXT, EXPECTED, Choice, Model, Ranker, expected, model_name
from glossd.text.target import is_unspaced
from glossd.types import DocumentInput, SummaryOptions

from training.rouge import Rouge, rouge, tokens

ARTICLES = Path(__file__).resolve().parents[2] / "shared/authored/articles.jsonl"
TABLE = Path(__file__).resolve().parents[1] / "service/glossd/text/ranker.json"

_HELD_SHARE = 3
_FOLDS = 4
_PENALTY = 30.0
_BEGINNINGS = 2
_LATER_CHOICES = 3
_NEWTON_STEPS = 12
_LEAST_GAINS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Article:
    """One article in one language, with its reference summary."""

    id: str
    language_code: str
    title: str
    dateline: str
    paragraphs: tuple[str, ...]
    summary: str
    topic: str

    @property
    def text(self) -> str:
        """The headline and the paragraphs, a line each."""
        return "\n".join([self.title, *self.paragraphs])

    @property
    def held_out(self) -> bool:
        """True for the third that nothing is fitted to or chosen by."""
        return bucket(self.id, _HELD_SHARE) == 0


@dataclass(frozen=True, slots=True)
class Example:
    """An article measured: its sentences as features and as tokens, and the reference's tokens."""

    article: Article
    titled: bool
    measures: Measures
    sentences: tuple[tuple[str, ...], ...]
    reference: tuple[str, ...]
    wanted: frozenset[str]

    @property
    def unspaced(self) -> bool:
        """True for a language without spaces between words."""
        return is_unspaced(self.article.language_code)

    def score(self, chosen: Sequence[int]) -> Rouge:
        """ROUGE of the chosen sentences in reading order."""
        return rouge([token for index in sorted(chosen) for token in self.sentences[index]], self.reference)


def bucket(key: str, size: int) -> int:
    """A number below ``size`` that depends on nothing but the key."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % size


def read_articles(path: Path) -> Iterator[Article]:
    """Every article twice: English, then Chinese."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            for side, (code, glue) in enumerate((("en", " "), ("zh", ""))):
                paragraphs = tuple(glue.join(pair[side] for pair in paragraph) for paragraph in row["body"])
                title, summary = row["title"][side], row["summary"][side]
                yield Article(row["id"], code, title, row["dateline"], paragraphs, summary, row["topic"])


def read_example(article: Article, *, titled: bool) -> Example:
    """Measures an article, with or without its headline."""
    text = article.text if titled else "\n".join(article.paragraphs)
    document = parse(DocumentInput(text, language_code=article.language_code))
    segments = sentences_of(document)
    measures = measure(candidates_of(segments), title=document.title if titled else "")
    return Example(
        article,
        titled,
        measures,
        tuple(tuple(tokens(segment.text)) for segment in segments),
        tuple(tokens(article.summary)),
        frozenset(pieces_of(article.summary)),
    )


def fit(examples: Sequence[Example]) -> Model:
    """The two sets of weights for one kind of document."""
    pieces = _logistic(
        np.concatenate([example.measures.pieces.rows for example in examples]),
        np.array([name in example.wanted for example in examples for name in example.measures.pieces.names]) * 1.0,
    )
    rows = np.concatenate([_rows(example, pieces) for example in examples])
    scores = [example.score([index]).mean for example in examples for index in range(len(example.sentences))]
    first = _ridge(rows, np.array(scores))
    model = Model(pieces, first, np.zeros(len(first) + len(CONTEXT)))
    for depth in (1, _LATER_CHOICES):
        pairs = [pair for example in examples for pair in _additions(example, model, depth)]
        later = _ridge(np.concatenate([rows for rows, _ in pairs]), np.concatenate([gains for _, gains in pairs]))
        model = Model(pieces, first, later)
    return model


def _additions(example: Example, model: Model, depth: int) -> Iterator[tuple[Floats, Floats]]:
    """Features and true gains of all sentences after each of the first few choices that the model would make."""
    beginnings = np.argsort(-Choice(example.measures, model).gains(), kind="stable")[:_BEGINNINGS]
    for beginning in beginnings:
        choice = Choice(example.measures, model)
        choice.take(int(beginning))
        for _ in range(depth):
            free = ~np.isin(choice.pool, choice.chosen)
            if not free.any():
                break
            before = example.score(choice.chosen).mean
            gains = [example.score([*choice.chosen, int(index)]).mean - before for index in choice.pool[free]]
            yield np.hstack([choice.rows[choice.pool], choice.context()])[free], np.array(gains)
            choice.take(int(choice.pool[int(np.argmax(choice.gains()))]))


def _rows(example: Example, pieces: Floats) -> Floats:
    return np.hstack([example.measures.rows, expected(example.measures, example.measures.pieces.likely(pieces))])


def _logistic(rows: Floats, values: Floats) -> Floats:
    """Weights and a constant of a logistic model, by Newton's method on scaled features."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread = np.where(spread > 1e-9, spread, np.inf)
    scaled = np.column_stack([(rows - mean) / spread, np.ones(len(rows))])
    weights = np.zeros(scaled.shape[1])
    for _ in range(_NEWTON_STEPS):
        chances = 1.0 / (1.0 + np.exp(-scaled @ weights))
        slope = scaled.T @ (chances - values) + weights
        bend = (scaled * (chances * (1.0 - chances))[:, None]).T @ scaled + np.eye(len(weights))
        weights -= np.linalg.solve(bend, slope)
    plain = weights[:-1] / spread
    return np.append(plain, weights[-1] - mean @ plain)


def _ridge(rows: Floats, values: Floats) -> Floats:
    """Weights and a constant, the features scaled for the penalty and scaled back after."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    scaled = (rows - mean) / np.where(spread > 1e-9, spread, np.inf)
    weights = np.linalg.solve(scaled.T @ scaled + _PENALTY * np.eye(rows.shape[1]), scaled.T @ (values - values.mean()))
    weights /= np.where(spread > 1e-9, spread, np.inf)
    return np.append(weights, values.mean() - mean @ weights)


def read_examples(articles: Sequence[Article]) -> list[Example]:
    """Every article twice: with its headline and without."""
    return [read_example(article, titled=titled) for article in articles for titled in (True, False)]


def fit_all(examples: Sequence[Example], least_gain: float) -> Ranker:
    """A model for each kind of document from the examples that are given."""
    kinds: dict[str, list[Example]] = {}
    for example in examples:
        name = model_name(unspaced=example.unspaced, titled=example.titled)
        kinds.setdefault(name, []).append(example)
    return Ranker({name: fit(examples) for name, examples in kinds.items()}, least_gain)


def tune_least_gain(examples: Sequence[Example]) -> float:
    """The gain below which a default summary ends, by cross-validation over whole articles."""
    totals = dict.fromkeys(_LEAST_GAINS, 0.0)
    folds = [bucket("fold " + example.article.id, _FOLDS) for example in examples]
    for fold in range(_FOLDS):
        ranker = fit_all([one for one, its in zip(examples, folds, strict=True) if its != fold], 0.0)
        outside = [one for one, its in zip(examples, folds, strict=True) if its == fold and one.titled]
        for least_gain, example in product(_LEAST_GAINS, outside):
            tried = Ranker(ranker.models, least_gain)
            chosen = choose(example.measures, SummaryOptions(), tried, unspaced=example.unspaced)
            totals[least_gain] += example.score(chosen).mean
    for least_gain, total in totals.items():
        print(f"least gain {least_gain:5.2f}: mean ROUGE {2 * total / len(examples):.2f} (cross-validated)")
    return max(totals, key=lambda least_gain: totals[least_gain])


def write_table(ranker: Ranker, path: Path) -> None:
    """The ranker as JSON, numbers rounded to four digits."""
    models = {
        name: {"pieces": _rounded(model.pieces), "first": _rounded(model.first), "later": _rounded(model.later)}
        for name, model in ranker.models.items()
    }
    head = {
        "least_gain": ranker.least_gain,
        "pieces": PIECE_FEATURES,
        "features": FEATURES,
        "expected": EXPECTED,
        "context": CONTEXT,
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    inner = [f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in models.items()]
    lines.append('  "models": {\n' + ",\n".join(inner) + "\n  }")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]


def main() -> None:
    """Fits on the articles that are not held out, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=Path, default=ARTICLES, help="articles with summaries, one JSON a line")
    parser.add_argument("--out", type=Path, default=TABLE, help="the table to write")
    options = parser.parse_args()
    articles = [article for article in read_articles(options.articles) if not article.held_out]
    examples = read_examples(articles)
    write_table(fit_all(examples, tune_least_gain(examples)), options.out)
    print(f"{options.out.stat().st_size:,} bytes from {len(articles) // 2} articles in two languages")


if __name__ == "__main__":
    main()
