"""Checks on translations: broken ones are named, good ones are left alone."""

from __future__ import annotations

import pytest
from glossd.text.checks import check_translation
from glossd.text.numbers import digit_numbers, numeral_values, word_values
from glossd.types import WarningCode

from .conftest import Pairs

OMISSION = WarningCode.OMISSION_SUSPECTED
REPETITION = WarningCode.REPETITION_SUSPECTED
MISMATCH = WarningCode.LANGUAGE_MISMATCH


def check(source: str, target: str, *, reverse: bool = False) -> tuple[WarningCode, ...]:
    languages = ("zh", "en") if reverse else ("en", "zh")
    return check_translation(source, target, source_language=languages[0], target_language=languages[1])


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("The council met on Monday.", "", OMISSION),
        ("The council met on Monday.", "。", OMISSION),
        ("The council met on Monday and talked about the bridge for three hours.", "市议会。", OMISSION),
        ("It sold 1,250 tickets last year.", "去年它卖了门票。", OMISSION),
        ("It cost 350 million dollars.", "它花费了3.5万美元。", OMISSION),
        ("He was born in 1973.", "他生于1937年。", OMISSION),
        ("The council met on Monday.", "市议会周一开会开会开会开会开会开会开会开会。", REPETITION),
        ("The council met on Monday.", "市议会周一开会，市议会周一开会，市议会周一开会，市议会周一开会，", REPETITION),
        ("The council met on Monday.", "哈" * 30, REPETITION),
        (
            "The council met.",
            "市议会周一在市政厅开会讨论旧桥的问题并决定明年五月之前不再开放供车辆和行人通行，对此居民表示不满。",
            REPETITION,
        ),
        (
            "The council met on Monday and talked about the old bridge.",
            "The council met on Monday and talked about the old bridge.",
            MISMATCH,
        ),
        (
            "The council met on Monday and talked about the old bridge.",
            "Совет собрался в понедельник и говорил о мосте.",
            MISMATCH,
        ),
    ],
)
def test_a_broken_translation_is_named(source: str, target: str, code: WarningCode) -> None:
    assert code in check(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("It sold 1,250,000 tickets.", "它卖出了125万张票。"),
        ("It cost 350 million dollars.", "它花费了3.5亿美元。"),
        ("It cost $1.2bn.", "它花费了12亿美元。"),
        ("About 20 people came.", "大约二十人来了。"),
        ("In the 1990s he moved.", "上世纪90年代，他搬走了。"),
        ("The 20th century was long.", "二十世纪很漫长。"),
        ("They met at 6:30 p.m. on May 8.", "他们5月8日晚6时30分见面。"),
        ("They met at 8 p.m.", "他们20时见面。"),
        ("Kerry", "Kerry"),
        ("Node.js 22", "Node.js 22"),
        ("Ha ha ha ha ha ha, he laughed.", "哈哈哈哈哈哈哈，他笑了。"),
        ("...", ""),
    ],
)
def test_a_good_translation_is_left_alone(source: str, target: str) -> None:
    assert check(source, target) == ()


def test_fewer_than_three_in_a_hundred_good_pairs_are_named(sentence_pairs: Pairs) -> None:
    pairs = sentence_pairs.sentences
    forward = sum(bool(check(one, other)) for one, other in pairs)
    backward = sum(bool(check(other, one, reverse=True)) for one, other in pairs)
    assert forward < 0.03 * len(pairs)
    assert backward < 0.03 * len(pairs)


def test_most_lost_numbers_are_noticed(sentence_pairs: Pairs) -> None:
    with_numbers = [
        pair for pair in sentence_pairs.sentences if any(value >= 13 for _, value in digit_numbers(pair[0]))
    ]
    broken = [(one, "".join(c for c in other if not c.isdigit())) for one, other in with_numbers]
    assert len(broken) > 20
    assert sum(OMISSION in check(one, other) for one, other in broken) > 0.9 * len(broken)


@pytest.mark.parametrize(
    ("numeral", "value"),
    [
        ("二十", 20),
        ("一百零五", 105),
        ("两千三百万", 23_000_000),
        ("十三亿", 1_300_000_000),
        ("二〇一七", 2017),
        ("十", 10),
    ],
)
def test_chinese_numerals_have_their_value(numeral: str, value: float) -> None:
    assert value in numeral_values(f"约{numeral}人")


@pytest.mark.parametrize(
    ("words", "value"),
    [("two hundred and thirty thousand", 230_000), ("Thirty-five states", 35), ("a million", 1e6), ("two dozen", 24)],
)
def test_english_number_words_have_their_value(words: str, value: float) -> None:
    assert value in word_values(f"about {words} of them")
