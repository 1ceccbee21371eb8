"""Source and target normalization."""

from __future__ import annotations

import pytest

from training.normalize import normalize_source, normalize_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Kerry’s”", '"Kerry\'s"'),
        ("2012–13 and −5", "2012-13 and -5"),
        ("wait…", "wait..."),
        ("a\u00a0b\u2009c", "a b c"),
        ("  two   spaces\tand a tab ", "two spaces and a tab"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("Yes , no ; so : why ?", "Yes, no; so: why?"),
        ("cafe\u0301", "café"),
        ("em — dash stays", "em — dash stays"),
        ("⟦0⟧ met ⟦1⟧.", "⟦0⟧ met ⟦1⟧."),
    ],
)
def test_source_marks_become_plain(text: str, expected: str) -> None:
    assert normalize_source(text) == expected


def test_source_normalization_is_idempotent() -> None:
    text = "“A”…  ‘b’ –\u00a0c , d"
    assert normalize_source(normalize_source(text)) == normalize_source(text)


def test_target_loses_spaces_beside_chinese_but_not_inside_latin_text() -> None:
    assert normalize_target("他 说 ， New York 很 大 。") == "他说，New York很大。"


def test_target_keeps_full_width_marks() -> None:
    assert normalize_target("真的？好：是，") == "真的？好：是，"
