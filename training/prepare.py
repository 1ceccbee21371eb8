"""`python -m training.prepare`: from parallel sources to piece models, development sets and epochs of token ids."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.align import Aligner, estimate
from training.augment import Augmenter
from training.sources import (
    AUTHORED,
    LEXICON,
    NEWS_SENTENCES,
    SOURCES,
    Article,
    Pair,
    Term,
    is_development,
    read_articles,
    read_lexicon,
    read_tsv,
)
from training.store import Epoch, write_epoch
from training.vocabulary import Vocabulary, build_vocabulary, load_vocabulary, train_piece_model

MAX_PIECES = 110
_OWN_SENTENCES = Path(__file__).parent / "data" / f"{NEWS_SENTENCES}.tsv"


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Where data comes from and goes to, and how large the piece models are."""

    corpus: Path
    authored: Path
    work: Path
    source_size: int = 8000
    target_size: int = 9000
    general_epochs: int = 6
    news_epochs: int = 3
    seed: int = 1
    vocabulary: Path | None = None
    sentences: Path | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Everything read and split: training pairs by source, training articles, terms, development pairs by set."""

    pairs: dict[str, list[Pair]]
    articles: list[Article]
    terms: list[Term]
    development: dict[str, list[Pair]]


def read_corpus(settings: PrepareSettings) -> Corpus:
    """Read every source that is present and set the development articles and sentences apart."""
    articles = read_articles(settings.authored / "articles.jsonl")
    terms = read_lexicon(settings.authored / "lexicon.tsv")
    held = [article for article in articles if is_development(article.identifier)]
    kept = [article for article in articles if not is_development(article.identifier)]
    pairs: dict[str, list[Pair]] = {
        AUTHORED: [pair for article in kept for pair in article.pairs()],
        LEXICON: [Pair(term.source, term.target) for term in terms],
        NEWS_SENTENCES: read_tsv(settings.sentences) if settings.sentences else [],
    }
    development = {AUTHORED: [pair for article in held for pair in article.pairs()]}
    for source in SOURCES:
        path = settings.corpus / f"{source.name}.tsv.xz"
        if source.name not in pairs and path.exists():
            pairs[source.name] = read_tsv(path)
    commentary = pairs.get("news_commentary_10k", [])
    development["news_commentary"] = [pair for pair in commentary if is_development(pair.source, 40)]
    pairs["news_commentary_10k"] = [pair for pair in commentary if not is_development(pair.source, 40)]
    return Corpus(pairs, kept, terms, development)


def piece_training_texts(corpus: Corpus, rng: random.Random, limit: int = 30_000) -> list[Pair]:
    """The texts the piece models are trained on: news and names in full and repeated, at most `limit` of the rest."""
    texts: list[Pair] = []
    for name, pairs in corpus.pairs.items():
        if name in (AUTHORED, NEWS_SENTENCES, "news_commentary_10k"):
            texts += pairs * 3
        elif name == "lctt_cc":
            texts += rng.sample(pairs, min(2 * limit, len(pairs)))
        elif name in ("python_docs", "taiwan_law", "tensorflow_docs", "angular_docs"):
            texts += rng.sample(pairs, min(limit // 6, len(pairs)))
        else:
            texts += rng.sample(pairs, min(limit, len(pairs)))
    rng.shuffle(texts)
    return texts


def train_vocabulary(corpus: Corpus, settings: PrepareSettings, directory: Path) -> Vocabulary:
    """Train both piece models and write the joint vocabulary."""
    directory.mkdir(parents=True, exist_ok=True)
    texts = piece_training_texts(corpus, random.Random(settings.seed))
    train_piece_model(
        [pair.source for pair in texts], directory / "source.spm", size=settings.source_size, normalization="nmt_nfkc"
    )
    train_piece_model(
        [pair.target for pair in texts],
        directory / "target.spm",
        size=settings.target_size,
        normalization="identity",
        dummy_prefix=False,
    )
    return build_vocabulary(directory)


def copy_vocabulary(model: Path, directory: Path) -> None:
    """Take over the piece models of an exported model, so that training can go on from it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("source.spm", "target.spm", "vocab.json"):
        shutil.copyfile(model / name, directory / name)


def draw_epoch(corpus: Corpus, rng: random.Random, *, news: bool) -> list[Pair]:
    """Draw one epoch's pairs: each source by its share, then augmentation."""
    drawn: list[Pair] = []
    augmenter = Augmenter(corpus.terms, rng)
    for source in SOURCES:
        pairs = corpus.pairs.get(source.name, [])
        share = source.news_share if news else source.share
        chosen = pairs * int(share) + rng.sample(pairs, round(len(pairs) * (share - int(share))))
        newslike = source.name in (AUTHORED, NEWS_SENTENCES, "news_commentary_10k")
        drawn += augmenter.vary(chosen, rate=0.5 if newslike else 0.15)
    drawn += augmenter.joined(corpus.articles, count=len(corpus.articles) * (8 if news else 6))
    drawn += augmenter.synthetic(count=max(20, len(drawn) // 25))
    rng.shuffle(drawn)
    return drawn


def encode_pairs(pairs: list[Pair], vocabulary: Vocabulary, aligner: Aligner) -> Epoch:
    """Tokenize and align; pairs that are too long or badly out of proportion are dropped."""
    sources = vocabulary.encode_source([pair.source for pair in pairs])
    targets = vocabulary.encode_target([pair.target for pair in pairs])
    kept = [
        (source, target)
        for source, target in zip(sources, targets, strict=True)
        if 2 <= len(source) <= MAX_PIECES and 2 <= len(target) <= MAX_PIECES
        and len(source) < 4 * len(target) + 8 and len(target) < 4 * len(source) + 8
    ]  # fmt: skip
    sources, targets = [source for source, _ in kept], [target for _, target in kept]
    return Epoch.pack(sources, targets, aligner.align(sources, targets))


def prepare(settings: PrepareSettings) -> None:
    """Do whatever part of the preparation is not there yet; epochs appear one by one, each complete when it appears."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f}s] {text}", flush=True)

    corpus = read_corpus(settings)
    say(f"read {sum(map(len, corpus.pairs.values())):,} pairs of {len(corpus.pairs)} sources")
    directory = settings.work / "vocabulary"
    if settings.vocabulary is not None:
        copy_vocabulary(settings.vocabulary, directory)
    complete = (directory / "vocab.json").exists()
    vocabulary = load_vocabulary(directory) if complete else train_vocabulary(corpus, settings, directory)
    say(f"vocabulary {vocabulary.size:,}, target {vocabulary.target_size:,}")
    _write_development(corpus, settings.work / "development")
    tables = settings.work / "alignment.npz"
    if not tables.exists():
        sample = draw_epoch(corpus, random.Random(settings.seed), news=False)
        estimate(vocabulary, [(pair.source, pair.target) for pair in sample[:160_000]]).save(tables)
        say("alignment tables estimated")
    aligner = Aligner.load(tables)
    for number in range(settings.general_epochs + settings.news_epochs):
        news = number >= settings.general_epochs
        name = f"news-{number - settings.general_epochs:02d}" if news else f"general-{number:02d}"
        path = settings.work / "epochs" / f"{name}.npz"
        if not path.exists():
            pairs = draw_epoch(corpus, random.Random(settings.seed * 1000 + number), news=news)
            epoch = encode_pairs(pairs, vocabulary, aligner)
            write_epoch(path, epoch)
            aligned = float(np.mean(epoch.alignment != 255))
            say(f"{name}: {len(epoch):,} pairs, {len(epoch.target):,} target pieces, {aligned:.0%} aligned")


def _write_development(corpus: Corpus, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, pairs in corpus.development.items():
        lines = "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
        (directory / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Read flags and prepare."""
    parser = argparse.ArgumentParser(prog="python -m training.prepare", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"), help="folder of NAME.tsv.xz")
    parser.add_argument("--authored", type=Path, default=Path("../shared/authored"), help="articles and lexicon")
    parser.add_argument("--sentences", type=Path, default=_OWN_SENTENCES, help="news sentences of this project")
    parser.add_argument("--work", type=Path, default=Path(".train"), help="where everything is written")
    parser.add_argument("--source-size", type=int, default=8000, help="pieces of the source model")
    parser.add_argument("--target-size", type=int, default=9000, help="pieces of the target model, bytes included")
    parser.add_argument("--general-epochs", type=int, default=6)
    parser.add_argument("--news-epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocabulary", type=Path, help="exported model whose piece models are taken over")
    prepare(PrepareSettings(**vars(parser.parse_args(arguments))))


if __name__ == "__main__":
    main()
