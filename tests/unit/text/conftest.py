"""Data that the text tests share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "data" / "text"
SHARED = Path(__file__).resolve().parents[3] / "../shared"


@dataclass(frozen=True, slots=True)
class Authored:
    """An article in one language: headline, date line, paragraphs and a reference summary."""

    title: str
    dateline: str
    paragraphs: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sentence pairs, English first."""

    sentences: tuple[tuple[str, str], ...]


def _rows(path: Path) -> list[dict[str, list]]:  # type: ignore[type-arg]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _articles(rows: list[dict[str, list]], side: int) -> list[Authored]:  # type: ignore[type-arg]
    glue = "" if side else " "
    return [
        Authored(
            row["title"][side],
            "2013年5月8日 08:00" if side else "".join(row["dateline"]),
            tuple(glue.join(pair[side] for pair in paragraph) for paragraph in row["body"]),
            row["summary"][side],
        )
        for row in rows
    ]


@pytest.fixture(scope="session")
def english() -> list[Authored]:
    """Twelve authored English articles."""
    return _articles(_rows(DATA / "articles.jsonl"), 0)


@pytest.fixture(scope="session")
def chinese() -> list[Authored]:
    """The same twelve in Chinese."""
    return _articles(_rows(DATA / "articles.jsonl"), 1)


@pytest.fixture(scope="session")
def sentence_pairs() -> Pairs:
    """All sentence pairs of the twelve articles."""
    rows = _rows(DATA / "articles.jsonl")
    return Pairs(tuple((one, other) for row in rows for paragraph in row["body"] for one, other in paragraph))


@pytest.fixture(scope="session")
def authored() -> list[Authored]:
    """Every fifth of the authored articles beside the checkout, in English."""
    path = SHARED / "authored" / "articles.jsonl"
    if not path.is_file():
        pytest.skip("the authored articles are not beside this checkout")
    return _articles(_rows(path)[::5], 0)


@pytest.fixture(scope="session")
def seed_article() -> str:
    """The scraped article beside the checkout."""
    path = SHARED / "articles" / "000_cce7f1ca9dc3f8ab.txt"
    if not path.is_file():
        pytest.skip("the shared article is not beside this checkout")
    return path.read_text(encoding="utf-8")
