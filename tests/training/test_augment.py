"""Augmentation keeps both sides true to each other."""

from __future__ import annotations

import random
import re

import pytest

from tests.training.toys import PEOPLE, PLACES
from training.augment import Augmenter
from training.sources import Article, Pair
from training.synthetic import chinese_amount, invented_name, synthetic_pair

PAIR = Pair("John Kerry arrived in Moscow on May 7, 2013.", "约翰·克里2013年5月7日抵达莫斯科。")


def augmenter(seed: int) -> Augmenter:
    return Augmenter(PEOPLE + PLACES, random.Random(seed))


@pytest.mark.parametrize("seed", range(8))
def test_other_name_changes_both_sides_to_the_same_term(seed: int) -> None:
    varied = augmenter(seed).other_name(PAIR)
    for term in PEOPLE + PLACES:
        assert (term.source in varied.source) == (term.target in varied.target)


@pytest.mark.parametrize("seed", range(8))
def test_placeholders_stand_on_both_sides(seed: int) -> None:
    varied = augmenter(seed).placeholder(PAIR)
    marks = re.findall(r"⟦\d⟧", varied.source)
    assert marks
    assert sorted(marks) == sorted(re.findall(r"⟦\d⟧", varied.target))


@pytest.mark.parametrize("seed", range(8))
def test_numbers_stay_equal_as_multisets(seed: int) -> None:
    varied = augmenter(seed).other_number(PAIR)
    source, target = (re.findall(r"\d+", side) for side in (varied.source, varied.target))
    assert set(source) <= set(target)


def test_invented_names_are_copied() -> None:
    varied = augmenter(3).copied_name(PAIR)
    assert varied != PAIR
    assert re.search(r"[A-Z][a-zö]+", varied.target) is not None


def test_a_term_inside_another_word_is_left_alone() -> None:
    pair = Pair("Muscovites love Moscowite songs.", "莫斯科人喜欢歌曲。")
    assert augmenter(1).other_name(pair) == pair


def test_case_changes_the_source_only() -> None:
    varied = {augmenter(seed).other_case(PAIR) for seed in range(12)}
    assert {pair.target for pair in varied} == {PAIR.target}
    assert PAIR.source.upper() in {pair.source for pair in varied}


def test_joined_sentences_are_neighbours() -> None:
    article = Article("a", ((Pair("One.", "一。"), Pair("Two.", "二。"), Pair("Three.", "三。")),))
    joined = augmenter(2).joined([article], count=20)
    assert {pair.source for pair in joined} <= {"One. Two.", "Two. Three.", "One. Two. Three."}
    assert all(pair.target.count("。") == pair.source.count(".") for pair in joined)


@pytest.mark.parametrize(
    ("millions", "text"), [(3.5, "350万"), (120.0, "1.2亿"), (0.07, "7万"), (2500.0, "25亿"), (12.3, "1230万")]
)
def test_amounts_are_counted_the_chinese_way(millions: float, text: str) -> None:
    assert chinese_amount(millions) == text


def test_made_pairs_are_whole_on_both_sides() -> None:
    rng = random.Random(0)
    pairs = [synthetic_pair(rng, PEOPLE, PLACES) for _ in range(200)]
    assert all(pair.source.strip() and pair.target.strip() for pair in pairs)
    assert invented_name(rng, words=2).count(" ") == 1
