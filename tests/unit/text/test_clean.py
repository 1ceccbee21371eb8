"""Cleaning: what goes, what stays, and what is said about it."""

from __future__ import annotations

import pytest
from glossd.errors import InvalidInputError
from glossd.text.clean import clean
from glossd.types import WarningCode
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("a\x00b\x07c\x7f", "abc"),
        ("\x1b[31mred\x1b[0m text", "red text"),
        ("safe\u202eevil\u2066x\u2069", "safeevilx"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("it\x92s a \x93quote\x94 \x96 here", "it’s a “quote” – here"),
        ("tags\U000e0041\U000e0042 here", "tags here"),
    ],
)
def test_controls_and_invisible_characters_go_away_with_a_warning(dirty: str, expected: str) -> None:
    cleaned = clean(dirty, field="document.text")
    assert cleaned.text == expected
    assert [warning.code for warning in cleaned.warnings] == [WarningCode.CHARACTERS_REPLACED]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffHello", "Hello"),
        ("one\r\ntwo\n", "one\r\ntwo\n"),
        ("old\rmac", "old\nmac"),
        ("page\x0cbreak\u2028line", "page\nbreak\nline"),
        ("e\u0301te\u0301", "été"),
        ("tab\tstays 👩\u200d👩\u200d👧 नमस्\u200dते", "tab\tstays 👩\u200d👩\u200d👧 नमस्\u200dते"),
    ],
)
def test_line_breaks_and_normal_form_change_without_a_warning(text: str, expected: str) -> None:
    cleaned = clean(text, field="document.text")
    assert (cleaned.text, cleaned.warnings) == (expected, ())


def test_a_lone_surrogate_is_refused_with_its_place_and_the_field() -> None:
    with pytest.raises(InvalidInputError, match=r"code point 2 \(U\+D83D\)") as caught:
        clean("ab\ud83d", field="document.text")
    assert caught.value.field == "document.text"


def test_replacement_characters_stay_but_are_reported() -> None:
    cleaned = clean("caf\ufffd", field="text")
    assert cleaned.text == "caf\ufffd"
    assert "wrong encoding" in cleaned.warnings[0].message


def test_a_tower_of_combining_marks_is_cut_to_thirty() -> None:
    cleaned = clean("a" + "\u0316\u0301" * 5_000, field="text")
    assert len(cleaned.text) <= 31
    assert cleaned.warnings


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = clean(text, field="text").text
    assert clean(once, field="text").text == once
