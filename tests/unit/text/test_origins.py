"""From a cleaned text back to the caller's: every character has the place it came from."""

from __future__ import annotations

import time
import unicodedata

import pytest
from glossd.text.clean import clean
from glossd.text.document import parse
from glossd.types import DocumentInput, MimeType
from hypothesis import given
from hypothesis import strategies as st

PIECES = [
    "a",
    "e\u0301",
    "\u0301",
    "e\u0323\u0301",
    "\u200b",
    "\u200d\u200d",
    "\ufeff",
    "\r\n",
    "👍🏽",
    "中",
    "\x00",
    "\u1100\u1161\u11a8",
]
PIECES += ["\x1b[31m", "\u2028", "\x93", "é", "ﬁ", "\u0344", "\u212b", "a" + "\u0316" * 40]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_every_character_comes_from_where_it_stood(raw: str) -> None:
    cleaned = clean(raw, field="text")
    if cleaned.origins is None:
        assert cleaned.text == raw
        return
    origins = list(cleaned.origins)
    assert len(origins) == len(cleaned.text) + 1
    assert origins == sorted(origins)
    assert origins[-1] == len(raw)
    for character, origin in zip(cleaned.text, origins, strict=False):
        if not unicodedata.combining(character) and character not in "\n“":
            assert unicodedata.normalize("NFD", character)[0] == unicodedata.normalize("NFD", raw[origin])[0]


@pytest.mark.parametrize("mime_type", [MimeType.PLAIN, MimeType.MARKDOWN])
def test_a_segment_is_found_again_in_the_text_that_was_sent(mime_type: MimeType) -> None:
    raw = "\ufeffThe cafe\u0301 is\u200b open. 👍🏽 It is late.\r\n\r\nThe na\u0131\u0308ve\x00 one.\r\n"
    document = parse(DocumentInput(raw, mime_type, "en"))
    found = []
    for segment in document.segments:
        span = document.original(segment.source)
        assert clean(raw[span.start : span.end], field="text").text == segment.text
        found.append(raw[span.start : span.end])
    assert found == ["The cafe\u0301 is\u200b open.", "👍🏽 It is late.", "The na\u0131\u0308ve\x00 one."]


def test_a_clean_text_needs_no_map() -> None:
    document = parse(DocumentInput("The café is open.", language_code="en"))
    assert document.origins is None
    assert document.original(document.segments[0].source) == document.segments[0].source


@pytest.mark.parametrize("unit", ["e\u0301", "\u0301", "\u200b", "\u1100\u1161", "a\u0316\u0301\u0316"])
def test_time_grows_with_length(unit: str) -> None:
    def seconds(text: str) -> float:
        start = time.thread_time()
        clean(text, field="text")
        return time.thread_time() - start

    small = unit * (8_000 // len(unit))
    assert any(seconds(small * 4) <= 10 * seconds(small) + 0.03 for _ in range(3))
