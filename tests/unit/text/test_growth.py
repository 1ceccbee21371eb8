"""Hostile texts cost time in proportion to their length: four times the text, at most some six times the time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest
from glossd.errors import InvalidInputError
from glossd.text.checks import check_translation
from glossd.text.clean import clean
from glossd.text.detect import LanguageDetector
from glossd.text.document import parse, rebuild
from glossd.text.extractive import summarize
from glossd.text.normalize import normalize_source
from glossd.text.placeholders import compare, drop_doubles, drop_invented, numbers_in, restore
from glossd.text.segment import split_long, split_sentences
from glossd.text.sentence import take_apart
from glossd.text.target import finish_target, fit_end
from glossd.text.terms import Term, TermFinder
from glossd.text.words import count_words, terms
from glossd.types import DocumentInput, Extraction, MimeType, SummaryOptions

SMALL = 8_000
GROWTH = 4
BOUND = 10.0
"""Quadratic work would take 16 times as long; linear work takes 4, and a busy machine adds some."""
FREE_SECONDS = 0.03

ATTACKS = {
    "full stops": ". ",
    "dots": ".",
    "open quotes": "“",
    "guillemets": "« a. ",
    "open brackets": "(a. ",
    "closers": 'a."”’)',
    "newlines": "\n",
    "one word": "w",
    "one-word lines": "word\n",
    "short words": "a ",
    "abbreviations": "U.S. ",
    "pipes": "a | ",
    "fences": "```\n",
    "list marks": "- - ",
    "marks": "中,",
    "spaces": "a    \u3000",
    "han": "中",
    "digits": "1,1",
    "combining": "a\u0316\u0301",
    "emphasis": "**a",
    "headings": "Most Viewed\nThe council closed the old bridge over the river on Monday after a boat struck it.\n",
    "tags": "<b>a",
    "open tags": "<a href='",
    "captions": "photo: ",
    "dates": "2013-05-",
    "clocks": "08:00:",
    "rows": "1.2-3",
    "figures": "12,345 ",
    "half clocks": "十点",
    "links": "[a](b ",
    "addresses": "a.b@c-",
    "placeholders": "⟦0⟧ a",
    "entities": "&amp;a;",
    "nested tags": "<i><b>a</i> ",
}
FINDER = TermFinder([Term("a", "b"), Term("a a", "b"), Term("中中", "c"), Term("WORD", "d", ignore_case=True)])


TRIES = 4
"""A busy machine can make any one measurement slow, but not work that is linear each time."""


def seconds(work: Callable[[str], object], text: str) -> float:
    """Processor time, without garbage collection: that walks the heap of all the tests before, not this text."""
    gc.disable()
    try:
        start = time.thread_time()
        work(text)
        return time.thread_time() - start
    finally:
        gc.enable()


def grows_with_length(work: Callable[[str], object], small: str, large: str) -> bool:
    """Whether ``large``, GROWTH times as long, ever takes less than BOUND times what ``small`` takes."""
    return any(seconds(work, large) <= BOUND * seconds(work, small) + FREE_SECONDS for _ in range(TRIES))


def road(text: str) -> object:
    for mime_type in (MimeType.PLAIN, MimeType.MARKDOWN):
        try:
            document = parse(DocumentInput(text, mime_type, "en", Extraction.MAIN_CONTENT))
        except InvalidInputError:
            continue
        rebuild(document, [segment.text for segment in document.segments], language_code="zh")
        summarize(document, SummaryOptions(), language_code="en")
    return None


def page(text: str) -> object:
    try:
        return parse(DocumentInput(text, MimeType.HTML, "en"))
    except InvalidInputError:
        return None


def sentence(text: str) -> object:
    line = text.replace("\n", " ")
    split_sentences(line, "zh")
    normalize_source(line, "en")
    finish_target(line, "zh")
    return check_translation(line, line, source_language="en", target_language="zh")


def inside(text: str) -> object:
    line = text.replace("\n", " ")
    taken = take_apart(line, FINDER, markdown=True, figures=True)
    take_apart(line, FINDER, markdown=False)
    drop_doubles(drop_invented(line, line))
    compare(numbers_in(taken.masked)[:20], numbers_in(line))
    restore(taken.masked, [guard.target for guard in taken.guards], lambda words: finish_target(words, "zh"))
    return fit_end(line, line, "zh"), count_words(line), terms(line)


@pytest.mark.parametrize("work", [road, page, sentence, inside])
@pytest.mark.parametrize("attack", ATTACKS)
def test_time_grows_with_length(attack: str, work: Callable[[str], object]) -> None:
    unit = ATTACKS[attack]
    small = unit * (SMALL // len(unit))
    assert grows_with_length(work, small, small * GROWTH)


def test_cleaning_a_tower_of_marks_grows_with_length() -> None:
    tower = "\u0316\u0301" * SMALL
    assert grows_with_length(lambda text: clean(text, field="text"), "a" + tower, "a" + tower * GROWTH)


@pytest.mark.parametrize("unit", ["w", "a, ", "a ", "。", "a. “"])
def test_splitting_a_long_text_reads_it_a_bounded_number_of_times(unit: str) -> None:
    read = 0

    def count(text: str) -> int:
        nonlocal read
        read += len(text)
        return len(text)

    text = unit * (200_000 // len(unit))
    assert "".join(split_long(text, count=count, limit=500)) == text
    assert read <= 30 * len(text)


def test_a_word_of_a_million_letters_and_a_hundred_thousand_lines_go_through() -> None:
    assert len(parse(DocumentInput("w" * 1_000_000, language_code="en")).segments) == 1
    document = parse(DocumentInput("word\n" * 100_000, language_code="en"))
    assert len(document.segments) == 100_000


def test_detection_takes_the_same_time_for_any_length() -> None:
    detector = LanguageDetector(["en"])
    detector.preload()
    words = "word " * 30_000
    assert grows_with_length(detector.detect, words, words * 30)
