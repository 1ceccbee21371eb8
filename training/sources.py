"""The parallel sources: file, licence, attribution and how often each is read per epoch. Also reads and splits them."""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.normalize import normalize_source, normalize_target


@dataclass(frozen=True, slots=True)
class Source:
    """One file of sentence pairs. `share` is the expected number of readings of each pair in one epoch of the general
    mix, `news_share` the same in the closing phase, which is nearer to news.
    """

    name: str
    share: float
    news_share: float
    licence: str
    attribution: str


AUTHORED = "authored"
LEXICON = "lexicon"
NEWS_SENTENCES = "news_sentences"

SOURCES: tuple[Source, ...] = (
    Source(AUTHORED, 2, 1.5, "Apache-2.0 (with this project)", "news articles written for this project"),
    Source(LEXICON, 0.5, 0.2, "Apache-2.0 (with this project)", "names, terms and phrases written for this project"),
    Source(NEWS_SENTENCES, 2, 4, "Apache-2.0 (with this project)", "news sentences written for this project"),
    Source("news_commentary_10k", 1.5, 1.5, "distributed by WMT for research purposes; not an explicit open licence",
           "News Commentary, Project Syndicate via CASMACAT and WMT"),
    Source("mlqe_pe_wikipedia", 1.5, 1, "CC0-1.0; English side CC BY-SA", "MLQE-PE; Wikipedia contributors"),
    Source("xquad_wikipedia", 1.5, 1, "CC BY-SA 4.0", "XQuAD, Google DeepMind; Wikipedia contributors"),
    Source("un_sdg", 1, 1, "MIT", "Open SDG translations of the United Nations goals, targets and indicators"),
    Source("lctt_cc", 0.8, 0.6, "CC BY-SA 4.0; repository Apache-2.0",
           "opensource.com, Fedora Magazine and The Enterprisers Project; translated by the LCTT volunteers"),
    Source("opensource_guide", 1, 1, "CC BY 4.0", "GitHub Open Source Guides"),
    Source("mozilla_www", 1, 0.3, "MPL-2.0", "Mozilla www localization"),
    Source("tatoeba", 0.5, 0.3, "CC BY 2.0 FR", "tatoeba.org and its contributors"),
    Source("d2l", 0.4, 0, "Apache-2.0; book CC BY-SA 4.0", "Dive into Deep Learning"),
    Source("gnome_user_docs", 0.4, 0, "CC BY 3.0", "GNOME documentation project"),
    Source("kubernetes_docs", 0.4, 0, "CC BY 4.0; repository Apache-2.0", "The Kubernetes authors"),
    Source("tidb_operator_docs", 0.3, 0, "CC BY-SA 3.0", "PingCAP"),
    Source("paddle_docs", 0.3, 0, "Apache-2.0", "PaddlePaddle authors"),
    Source("angular_docs", 0.3, 0, "CC BY 4.0; code MIT", "Angular authors and the Chinese translation team"),
    Source("tensorflow_docs", 0.2, 0, "Apache-2.0; text CC BY 4.0", "TensorFlow authors"),
    Source("python_docs", 0.1, 0, "translations CC0-1.0; English PSF-2.0", "Python Software Foundation; translators"),
    Source("taiwan_law", 0.03, 0, "official documents, not subject to copyright",
           "Laws and Regulations Database, Ministry of Justice (Open Government Data License)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """One training example: English and its Chinese, both normalized."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Term:
    """One lexicon row; `kind` is its type, for example "person" or "city"."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class Article:
    """An authored article as paragraphs of sentence pairs, the title first."""

    identifier: str
    paragraphs: tuple[tuple[Pair, ...], ...]

    def pairs(self) -> Iterator[Pair]:
        """All sentence pairs in reading order."""
        for paragraph in self.paragraphs:
            yield from paragraph


def make_pair(source: str, target: str) -> Pair:
    """Normalize both sides."""
    return Pair(normalize_source(source), normalize_target(target))


def is_development(key: str, one_in: int = 10) -> bool:
    """Whether an item is kept for development, from a hash of its key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % one_in == 0


def read_tsv(path: Path) -> list[Pair]:
    """Read english TAB chinese lines, plain or xz; lines with a damaged character are left out."""
    opener = lzma.open if path.suffix == ".xz" else open
    pairs = []
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("\t")
            whole = len(fields) >= 2 and fields[0].strip() and fields[1].strip()
            if whole and "\ufffd" not in line:
                pairs.append(make_pair(fields[0], fields[1]))
    return pairs


def read_articles(path: Path) -> list[Article]:
    """Read authored articles: title, paragraphs and the reference summary as a last paragraph."""
    articles = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            paragraphs: list[tuple[Pair, ...]] = [(make_pair(*record["title"]),)]
            paragraphs += [tuple(make_pair(*pair) for pair in paragraph) for paragraph in record["body"]]
            if record.get("summary"):
                paragraphs.append((make_pair(*record["summary"]),))
            articles.append(Article(record["id"], tuple(paragraphs)))
    return articles


def read_lexicon(path: Path) -> list[Term]:
    """Read english TAB chinese TAB type lines; rows with an open slot are left out."""
    with open(path, encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Term(normalize_source(row[0]), normalize_target(row[1]), row[2])
            for row in rows
            if len(row) == 3 and "…" not in row[1] and "..." not in row[0]
        ]
