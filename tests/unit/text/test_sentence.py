"""Sentences taken apart: what is guarded, what is emphasised, and how placeholders come and go."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from glossd.text.guard import GuardKind, find_guards
from glossd.text.placeholders import PLACEHOLDERS, compare, drop_doubles, restore
from glossd.text.segment import split_clauses
from glossd.text.sentence import take_apart
from glossd.text.target import finish_target, fit_end
from glossd.text.terms import Term, TermFinder
from hypothesis import given
from hypothesis import strategies as st

NO_TERMS = TermFinder(())
TERMS = TermFinder([Term("w" * length, "x", ignore_case=length % 2 == 0) for length in range(1, 100)])


def guarded(text: str, *, markdown: bool = True, terms: tuple[Term, ...] = ()) -> list[tuple[GuardKind, str]]:
    found = find_guards(text, TermFinder(terms), markdown=markdown)
    return [(guard.kind, text[guard.span.start : guard.span.end]) for guard in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://a.org/b.", ["https://a.org/b"]),
        ("(https://a.org/b)", ["https://a.org/b"]),
        ("https://en.a.org/wiki/Han_(people), then", ["https://en.a.org/wiki/Han_(people)"]),
        ("见https://a.org/b。然后", ["https://a.org/b"]),
        ("Mail x.y+z@a-b.org, please.", ["x.y+z@a-b.org"]),
        ("On www.a.org today", ["www.a.org"]),
        ("Use ``a`b`` and `c`.", ["`c`"]),
        ("A lone ` mark", []),
        ("an @handle and a:b", []),
    ],
)
def test_addresses_and_code_are_found_without_the_marks_beside_them(text: str, expected: list[str]) -> None:
    assert [found for _, found in guarded(text, markdown=False)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[a guide](b.md "T") here', [(GuardKind.LINK, '[a guide](b.md "T")')]),
        ("[a](b_(c).md)", [(GuardKind.LINK, "[a](b_(c).md)")]),
        ("[a][ref] and [^1]", [(GuardKind.LINK, "[a][ref]"), (GuardKind.MARKUP, "[^1]")]),
        ("![alt](i.png) <br/> x", [(GuardKind.MARKUP, "![alt](i.png)"), (GuardKind.MARKUP, "<br/>")]),
        ("[![b](i.svg)](a.md) ok", [(GuardKind.MARKUP, "[![b](i.svg)](a.md)")]),
        ("<https://a.org>", [(GuardKind.MARKUP, "<https://a.org>")]),
        ("[not a link] (x)", []),
        (r"\[a](b)", []),
        ("`[a](b)`", [(GuardKind.CODE, "`[a](b)`")]),
    ],
)
def test_markup_is_found_in_markdown(text: str, expected: list[tuple[GuardKind, str]]) -> None:
    assert guarded(text) == expected


def test_markup_means_nothing_in_plain_text() -> None:
    assert guarded("[a](b) <b>", markdown=False) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the ship's crew", ["ship"]),
        ("shipping, ships, flagship", []),
        ("SHIP", []),
        ("the European Union and the EU", ["European Union", "EU"]),
        ("EU-led, (EU)", ["EU", "EU"]),
        ("McDonald’s opened", ["McDonald’s"]),
        ("GLOSSD and Glossd", ["GLOSSD", "Glossd"]),
        ("在联合国总部", ["联合国总部"]),
    ],
)
def test_terms_are_whole_words_and_the_longest_one_wins(text: str, found: list[str]) -> None:
    terms = [
        Term(source, "x") for source in ("ship", "Union", "European Union", "EU", "McDonald's", "联合国", "联合国总部")
    ]
    finder = TermFinder([*terms, Term("glossd", "x", ignore_case=True)])
    assert [text[span.start : span.end] for span, _ in finder.find(text)] == found


@pytest.mark.parametrize(
    ("text", "plain", "masked"),
    [
        ("It is **very** good.", "It is very good.", "It is very good."),
        ("It is ***so*** _good_ and ~~bad~~.", "It is so good and bad.", "It is so good and bad."),
        ("Read [the **guide**](g.md) now.", "Read the guide now.", "Read ⟦0⟧ now."),
        ("这是**重点**内容。", "这是重点内容。", "这是重点内容。"),
        ("**my_var is\nhere** now", "my_var is\nhere now", "my_var is\nhere now"),
        ("a * b * c and x_y_z", "a * b * c and x_y_z", "a * b * c and x_y_z"),
        ("**It began here.", "It began here.", "It began here."),
        ("https://a.org/_x_/**y", "https://a.org/_x_/**y", "⟦0⟧"),
        (r"\*not\*", r"\*not\*", r"\*not\*"),
    ],
)
def test_a_sentence_has_a_plain_and_a_masked_form(text: str, plain: str, masked: str) -> None:
    sentence = take_apart(text, NO_TERMS, markdown=True)
    assert (sentence.plain, sentence.masked) == (plain, masked)


@given(
    st.lists(st.sampled_from(["**", "*", "_", "`", "[a]", "(b)", "https://c.d ", "⟦1⟧", "word ", "港", "\n"])).map(
        "".join
    )
)
def test_guards_never_overlap_and_placeholders_put_everything_back(text: str) -> None:
    sentence = take_apart(text, TermFinder([Term("word", "词")]), markdown=True)
    guards = (*sentence.guards, *sentence.loose)
    assert all(one.span.end <= other.span.start for one, other in pairwise(guards))
    assert len(sentence.guards) <= len(PLACEHOLDERS)
    if not (sentence.marks or sentence.strays or sentence.left or sentence.right or sentence.loose):
        pieces = iter(text[guard.span.start : guard.span.end] for guard in sentence.guards)
        assert re.sub(r"⟦\d⟧", lambda match: next(pieces), sentence.masked) == text


def test_counts_tell_what_was_lost_doubled_and_invented() -> None:
    counts = compare((0, 1, 2), (2, 0, 2, 7))
    assert (counts.lost, counts.doubled, counts.invented, counts.wrong) == ((1,), (2,), (7,), 3)
    assert compare((0, 1), (1, 0)).wrong == 0
    assert drop_doubles("⟦1⟧a⟦0⟧b⟦1⟧") == "⟦1⟧a⟦0⟧b"


def test_marks_beside_a_placeholder_fit_what_it_stands_for_and_nothing_inside_changes() -> None:
    def finish(text: str) -> str:
        return finish_target(text, "zh")

    assert restore("请看 ⟦0⟧ ,谢谢.", ["港务局"], finish).text == "请看港务局，谢谢。"
    assert restore("更新⟦0⟧⟦1⟧.", ["2013-05-08", "08:00"], finish).text == "更新2013-05-08 08:00。"
    assert restore("运行⟦0⟧.", ["`a, b; c`"], finish).text == "运行`a, b; c`。"
    assert restore("看⟦0⟧和⟦9⟧。", ["https://a.org/b,c?d!"], finish).text == "看https://a.org/b,c?d!和。"


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("港口。", "the port", "港口"),
        ("港口。", "the port,", "港口，"),
        ("他来了。", "He came.", "他来了。"),
        ("好！", "good", "好！"),
        ("", "x", ""),
    ],
)
def test_a_part_of_a_sentence_ends_as_its_source_does(text: str, source: str, expected: str) -> None:
    assert fit_end(text, source, "zh") == expected


@given(st.text(alphabet="ab ,.;:，。1—", max_size=200), st.integers(1, 12))
def test_clauses_give_the_text_back_and_are_long_enough(text: str, least: int) -> None:
    pieces = split_clauses(text, count=len, least=least)
    assert "".join(pieces) == text
    assert all(len(piece) >= least for piece in pieces) or len(pieces) == 1
    assert split_clauses("It cost 1,000 dollars", count=len, least=1) == ["It cost 1,000 dollars"]


ATTACKS = [
    "[",
    "[a](",
    "**a",
    "*a ",
    "`",
    "`a",
    "<b",
    "a@",
    "a@b.",
    "![",
    "](",
    "_",
    "http://(",
    "www.",
    "⟦",
    "w ",
    "~~a~~ ",
]


@pytest.mark.parametrize("unit", ATTACKS)
@pytest.mark.parametrize("work", [lambda text: take_apart(text, TERMS, markdown=True), lambda text: TERMS.find(text)])
def test_time_grows_with_length(unit: str, work: Callable[[str], object]) -> None:
    def seconds(text: str) -> float:
        start = time.thread_time()
        work(text)
        return time.thread_time() - start

    small = unit * (8_000 // len(unit))
    assert any(seconds(small * 4) <= 10 * seconds(small) + 0.03 for _ in range(3))
