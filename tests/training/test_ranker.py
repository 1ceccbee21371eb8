"""The ranker and its recipe: the held out stays out, ROUGE counts as others do, a fit learns what is in the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from glossd.text.extractive import choose
from glossd.text.ranking import load_ranker
from glossd.types import SummaryOptions

from training.ranker import ARTICLES, Article, bucket, fit_all, read_articles, read_examples, write_table
from training.rouge import common, rouge, stem, tokens


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"),
        ("ponies", "poni"),
        ("agreed", "agre"),
        ("plastered", "plaster"),
        ("motoring", "motor"),
        ("hopping", "hop"),
        ("filing", "file"),
        ("happy", "happi"),
        ("relational", "relat"),
        ("electricity", "electr"),
        ("adjustment", "adjust"),
        ("controlling", "control"),
        ("rate", "rate"),
        ("sky", "sky"),
    ],
)
def test_stems_are_porters(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_chinese_is_compared_by_characters_and_english_by_stems() -> None:
    assert tokens("欧盟27国 agreed on Monday.") == ["欧", "盟", "27", "国", "agre", "on", "mondai"]


def test_rouge_of_a_known_pair() -> None:
    made, wanted = tokens("police killed the gunman"), tokens("police kill the gunman")
    assert rouge(made, wanted).mean == 100.0
    score = rouge(["the", "gunman", "kill", "police"], ["police", "kill", "the", "gunman"])
    assert (round(score.one), round(score.two), round(score.longest)) == (100, 33, 50)
    assert rouge([], ["a"]).mean == 0.0


def test_the_longest_common_subsequence_is_the_textbooks() -> None:
    assert common("abcbdab", "bdcaba") == 4
    assert common("", "a") == 0


def test_a_third_is_held_out_by_the_id_alone() -> None:
    held = [bucket(f"economy-{number}", 3) == 0 for number in range(3000)]
    assert 0.3 < float(np.mean(held)) < 0.37
    assert held == [bucket(f"economy-{number}", 3) == 0 for number in range(3000)]


def _made_article(number: int) -> Article:
    """The fourth sentence says what the headline says, and the reference too."""
    place = ("Holm", "Lund", "Vik", "Nord", "Syd", "Berg")[number % 6]
    filler = "Some people walked slowly along the harbour while it rained a little in the morning."
    news = f"The council of {place} closed bridge number {number} after a boat had struck it on Monday night."
    return Article(
        f"made-{number}", "en", f"Council of {place} closes bridge number {number}", "", (filler, filler, news, filler),
        f"The council of {place} closed bridge number {number} after a boat struck it.", "made",
    )  # fmt: skip


def test_a_fit_learns_to_choose_what_the_references_say() -> None:
    articles = [_made_article(number) for number in range(24)]
    chinese = [Article(f"zh-{one.id}", "zh", one.title, "", one.paragraphs, one.summary, "made") for one in articles]
    ranker = fit_all(read_examples([*articles, *chinese]), 0.5)
    example = next(one for one in read_examples([_made_article(99)]) if one.titled)
    assert choose(example.measures, SummaryOptions(sentences=1), ranker, unspaced=False) == [2]


def test_a_written_table_reads_as_the_shipped_one_does(tmp_path: Path) -> None:
    write_table(load_ranker(), tmp_path / "ranker.json")
    assert (
        json.loads((tmp_path / "ranker.json").read_text(encoding="utf-8"))["models"].keys()
        == load_ranker().models.keys()
    )
    assert (tmp_path / "ranker.json").stat().st_size < 10_000


def test_held_out_articles_are_summarized_as_well_as_the_page_says() -> None:
    if not ARTICLES.is_file():
        pytest.skip("the authored articles are not beside this checkout")
    held = [article for article in read_articles(ARTICLES) if article.held_out][:240]
    examples = [one for one in read_examples(held) if one.titled]
    for unspaced, floor in ((False, 16.5), (True, 21.0)):
        chosen = [one for one in examples if one.unspaced is unspaced]
        ours = [one.score(choose(one.measures, SummaryOptions(), load_ranker(), unspaced=unspaced)) for one in chosen]
        first = [one.score([0, 1]) for one in chosen]
        assert np.mean([score.mean for score in ours]) >= floor
        for name in ("one", "two", "longest"):
            assert np.mean([getattr(score, name) for score in ours]) > np.mean([getattr(one, name) for one in first])
