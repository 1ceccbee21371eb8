"""Packing texts into windows."""

from __future__ import annotations

import pytest
from glossd.text.chunk import pack, pack_parts
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 120))
def test_windows_cover_all_texts_in_order_and_fit(sizes: list[int], limit: int) -> None:
    texts = ["x" * size for size in sizes]
    windows = pack(texts, count=len, limit=limit)
    assert [index for window in windows for index in window] == list(range(len(texts)))
    assert all(len(window) == 1 or sum(sizes[index] for index in window) <= limit for window in windows)


def test_windows_are_even() -> None:
    assert pack(["x" * 10] * 12, count=len, limit=100) == [range(0, 6), range(6, 12)]


def test_each_text_is_counted_once() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text)

    pack(["a", "bb", "ccc"], count=count, limit=3)
    assert counted == ["a", "bb", "ccc"]


def test_nothing_packs_into_nothing_and_a_limit_below_one_is_refused() -> None:
    assert pack([], count=len, limit=5) == []
    with pytest.raises(ValueError, match="limit is 0"):
        pack(["a"], count=len, limit=0)


@given(st.lists(st.lists(st.integers(1, 50), max_size=6), max_size=30), st.integers(1, 120))
def test_a_window_ends_inside_a_part_only_where_the_part_exceeds_the_limit(sizes: list[list[int]], limit: int) -> None:
    parts = [[f"{part} {text} ".ljust(size, "x") for text, size in enumerate(own)] for part, own in enumerate(sizes)]
    windows = pack_parts(parts, count=len, limit=limit)
    assert [text for window in windows for text in window] == [text for part in parts for text in part]
    assert all(len(window) == 1 or sum(map(len, window)) <= limit for window in windows)
    for part in parts:
        if sum(map(len, part)) <= limit:
            assert not part or sum(part[0] in window or part[-1] in window for window in windows) == 1
