"""Marks go around what attention says their words became: whole words, no punctuation, always well nested."""

from __future__ import annotations

import re

from glossd.text.alignment import Placed, aligned_run, carried, units, with_marks
from glossd.text.placeholders import restore
from glossd.types import Span
from hypothesis import given
from hypothesis import strategies as st


def test_the_run_is_where_the_marked_tokens_were_looked_at() -> None:
    weights = [(0.8, 0.1, 0.1, 0.0), (0.1, 0.2, 0.7, 0.0), (0.1, 0.8, 0.1, 0.0), (0.0, 0.1, 0.1, 0.8)]
    assert aligned_run(weights, range(1, 3), range(3)) == range(1, 4)
    assert aligned_run(weights, range(1), range(3)) == range(1)
    assert not aligned_run(weights, range(0), range(3))


def test_attention_to_the_end_token_counts_for_nothing() -> None:
    weights = [(0.1, 0.3, 0.6), (0.01, 0.01, 0.98)]
    assert aligned_run(weights, range(1, 2), range(2)) == range(2)


def test_a_range_is_carried_over_punctuation_that_changed() -> None:
    before, after = 'He said "go now" .', "He said “go now”。"
    span = Span(before.index("go") - 1, before.index("now") + 2)
    moved = carried(span, units(before), units(after))
    assert moved is not None
    assert after[moved.start : moved.end] == "go now"


def test_a_range_without_words_or_of_another_text_is_nowhere() -> None:
    assert carried(Span(0, 1), units("， a"), units("， a")) is None
    assert carried(Span(0, 1), units("a b"), units("a b c")) is None


def test_units_lead_through_placeholders_to_what_stands_in_their_place() -> None:
    raw = "见v⟦0⟧和⟦1⟧."
    restored = restore(raw, ["https://example.org", "港务局"], lambda text: text.replace(".", "。"))
    assert restored.text == "见vhttps://example.org和港务局。"
    moved = carried(Span(raw.index("⟦1⟧"), raw.index("⟦1⟧") + 3), units(raw), restored.units)
    assert moved is not None
    assert restored.text[moved.start : moved.end] == "港务局"


def test_marks_nest_as_they_lie() -> None:
    marks = [Placed(Span(1, 4), "<b>", "</b>"), Placed(Span(1, 2), "<i>", "</i>"), Placed(Span(2, 4), "<u>", "</u>")]
    assert with_marks("abcdef", marks) == "a<b><i>b</i><u>cd</u></b>ef"


def test_a_mark_with_one_side_stands_outside_of_a_pair_and_in_its_order() -> None:
    marks = [Placed(Span(0, 3), "", "</p>"), Placed(Span(2, 5), "<b>", "</b>"), Placed(Span(3, 6), "<q>", "")]
    assert with_marks("abcdef", marks) == "ab<b>cde</b></p><q>f"


SPANS = st.tuples(st.integers(0, 9), st.integers(1, 10)).map(lambda pair: Span(min(pair), max(pair[0] + 1, pair[1])))


@given(st.lists(SPANS, max_size=6), st.lists(st.tuples(SPANS, st.booleans()), max_size=3))
def test_marks_are_always_well_nested_and_the_text_is_the_same(
    pairs: list[Span], single: list[tuple[Span, bool]]
) -> None:
    text = "abcdefghijk"
    marks = [Placed(span, f"<{number}>", f"</{number}>") for number, span in enumerate(pairs)]
    marked = with_marks(text, [*marks, *(Placed(span, "<o>" * left, "</c>" * (not left)) for span, left in single)])
    assert re.sub("<[^>]*>", "", marked) == text
    stack: list[str] = []
    for tag in re.findall("<([^>]*)>", marked):
        if tag in ("o", "/c"):
            assert not stack
        elif tag.startswith("/"):
            assert stack.pop() == tag[1:]
        else:
            stack.append(tag)
    assert not stack
