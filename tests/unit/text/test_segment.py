"""Sentences and pieces: nothing is lost, nothing is too long, and abbreviations do not end a sentence."""

from __future__ import annotations

from itertools import pairwise

import pytest
from glossd.text.segment import split_long, split_sentences
from hypothesis import given
from hypothesis import strategies as st

LINE = st.text(alphabet=st.sampled_from("ab AB.!?,;:\"'“”()[] 。！？，“”他说 3%\t\u3000é"), max_size=300)


def sentences(line: str, language: str = "en") -> list[str]:
    return [line[span.start : span.end].strip() for span in split_sentences(line, language)]


@given(LINE, st.sampled_from(["en", "zh", "fr", "ja", None, "xx"]))
def test_spans_follow_each_other_and_cover_the_line(line: str, language: str | None) -> None:
    spans = split_sentences(line, language)
    assert "".join(line[span.start : span.end] for span in spans) == line
    assert all(one.end == other.start for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "The U.S. Army said Gen. Smith met Mr. Kerry on Jan. 5. He left.",
            ["The U.S. Army said Gen. Smith met Mr. Kerry on Jan. 5.", "He left."],
        ),
        ("He left at 3.5 p.m. Tuesday. It rained.", ["He left at 3.5 p.m. Tuesday.", "It rained."]),
        ("Dr. No met Mrs. Bell. They ate.", ["Dr. No met Mrs. Bell.", "They ate."]),
        ("(He died in 1973.) See the note.", ["(He died in 1973.)", "See the note."]),
        ('"Really?" she asked. "Yes!"', ['"Really?" she asked.', '"Yes!"']),
        ("It cost $3.5 million. That is 12.5 percent.", ["It cost $3.5 million.", "That is 12.5 percent."]),
        ("Visit www.Example.com for more. Thanks.", ["Visit www.Example.com for more.", "Thanks."]),
        ("Stop. . . ! Go.", ["Stop. . . !", "Go."]),
    ],
)
def test_english_sentences_end_where_a_reader_would_end_them(line: str, expected: list[str]) -> None:
    assert sentences(line) == expected


def test_chinese_quotes_stay_with_their_sentence() -> None:
    line = "他说：“今天天气很好。”大家都同意。真的吗？"
    assert sentences(line, "zh") == ["他说：“今天天气很好。”", "大家都同意。", "真的吗？"]


def test_a_long_line_is_split_as_its_parts_would_be() -> None:
    sentence = "The mayor of the town said on Monday that the bridge would be closed for repairs until May. "
    assert len(sentences(sentence * 200)) == 200


def test_a_long_line_without_sentence_ends_stays_one_sentence() -> None:
    assert len(sentences("word " * 4_000 + "end.")) == 1


def words(text: str) -> int:
    return len(text.split())


@given(st.text(alphabet=st.sampled_from("abc ,.;:—，。 “”é👍"), max_size=400), st.integers(1, 40))
def test_pieces_of_a_long_text_join_to_it_and_fit(text: str, limit: int) -> None:
    pieces = split_long(text, count=len, limit=limit)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= limit for piece in pieces)


@given(st.lists(st.sampled_from(["word", "a", "long,", "end.", "它", "——"]), max_size=200), st.integers(1, 20))
def test_pieces_fit_when_words_are_counted(parts: list[str], limit: int) -> None:
    text = " ".join(parts)
    pieces = split_long(text, count=words, limit=limit)
    assert "".join(pieces) == text
    assert all(words(piece) <= limit for piece in pieces)


def test_a_long_sentence_is_cut_after_a_clause_mark() -> None:
    text = "when the rain came down on the town, the people ran into the hall; it had stood there since 1900"
    pieces = split_long(text, count=len, limit=80)
    assert pieces == [
        "when the rain came down on the town, the people ran into the hall; ",
        "it had stood there since 1900",
    ]


def test_a_long_chinese_sentence_is_cut_after_a_comma() -> None:
    assert split_long("雨下在镇上的时候，人们跑进了大厅，大厅建于一九零零年", count=len, limit=18) == [
        "雨下在镇上的时候，人们跑进了大厅，",
        "大厅建于一九零零年",
    ]


def test_an_endless_word_is_cut_between_characters_and_keeps_accents_with_their_letter() -> None:
    pieces = split_long("ae\u0301" * 50, count=len, limit=10)
    assert all(not piece.startswith("\u0301") for piece in pieces)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        split_long("text", count=len, limit=0)
