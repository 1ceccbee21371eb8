"""Choosing by gain: what is kept up step by step is what counting anew gives, and time grows with length."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from glossd.text.document import parse
from glossd.text.extractive import candidates_of, sentences_of, summarize
from glossd.text.features import FEATURES, Measures, cosine, leans, measure
from glossd.text.ranking import CONTEXT, Choice, load_ranker
from glossd.types import DocumentInput, SummaryOptions

from .conftest import Authored

GROWTH = 4
BOUND = 8.0
"""Quadratic work would take 16 times as long."""
FREE_SECONDS = 0.05


def measured(article: Authored, code: str) -> Measures:
    document = parse(DocumentInput("\n".join([article.title, *article.paragraphs]), language_code=code))
    return measure(candidates_of(sentences_of(document)), title=document.title)


def long_text(sentences: int) -> str:
    chance = random.Random(3)
    words = [f"{one}{other}" for one in ("bridge", "council", "river", "plan", "price") for other in range(60)]
    lines = []
    for number in range(sentences):
        said = " ".join(chance.sample(words, 12))
        lines.append(f"Item {number} says that {said}." + ("\n" if number % 4 == 3 else ""))
    return " ".join(lines)


def seconds(text: str, options: SummaryOptions) -> float:
    document = parse(DocumentInput(text, language_code="en"))
    start = time.process_time()
    summarize(document, options, language_code="en")
    return time.process_time() - start


@pytest.mark.parametrize("code", ["en", "zh"])
def test_what_a_sentence_would_add_is_kept_up_as_others_are_chosen(
    code: str, english: list[Authored], chinese: list[Authored]
) -> None:
    for article in english if code == "en" else chinese:
        measures = measured(article, code)
        model = load_ranker().model_for(unspaced=code == "zh", titled=True)
        choice = Choice(measures, model)
        likely = measures.pieces.likely(model.pieces)
        for taken in (3, 0, 5):
            choice.take(taken)
            said = set().union(*(measures.vectors[index].keys() for index in choice.chosen))
            new = [measures.vectors[index].keys() - said for index in choice.pool]
            columns = dict(zip(CONTEXT, choice.context().T, strict=True))
            title = max(len(measures.title), 1)
            assert columns["title_new"] == pytest.approx([len(terms & measures.title) / title for terms in new])
            assert columns["title_open"] == pytest.approx(len(measures.title - said) / title)
            shares = [sum(measures.repeated.get(term, 0.0) for term in terms) for terms in new]
            assert columns["repeated_new"] == pytest.approx(shares)
            like = [
                max(cosine(measures.vectors[index], measures.vectors[one]) for one in choice.chosen)
                for index in choice.pool
            ]
            assert columns["likeness"] == pytest.approx(like)
            covered = set().union(*(measures.pieces.bags[index] for index in choice.chosen))
            left = [sum(likely[piece] for piece in measures.pieces.bags[index] - covered) for index in choice.pool]
            assert columns["likely_new"] * 5.0 == pytest.approx(left, abs=1e-9)


def test_a_chosen_sentence_has_nothing_more_to_add(english: list[Authored]) -> None:
    choice = Choice(measured(english[0], "en"), load_ranker().model_for(unspaced=False, titled=True))
    choice.take(2)
    assert choice.gains()[2] == -np.inf
    assert np.isfinite(np.delete(choice.gains(), 2)).all()


def test_features_are_finite_and_small_whatever_the_text(english: list[Authored], chinese: list[Authored]) -> None:
    for article in [*english, *chinese]:
        rows = measured(article, "en").rows
        assert rows.shape[1] == len(FEATURES)
        assert np.isfinite(rows).all()
        assert np.abs(rows).max() <= 10.0


@pytest.mark.parametrize(
    "sentence",
    [
        "He said that talks would go on.",
        "But the ministers left without a word.",
        '"We are ready," she added.',
        '"Even the dogs understood."',
        "What does it leave out?",
        "他表示，谈判将继续。",
        "然而，部长们一言不发地离开了。",
        "“我们准备好了。”",
        "这意味着什么？",
    ],
)
def test_sentences_that_need_another_are_known(sentence: str) -> None:
    assert leans(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Hebei province closed forty mills on Monday.",
        "So far 40 mills have closed.",
        'Kerry said on Tuesday that Moscow and Washington had "shared interests" in Syria.',
        "那不勒斯市政府周一关闭了40家工厂。",
        "外交部发言人表示，谈判将继续。",
        "其实早在2014年，河北省就关闭了40家工厂。",
    ],
)
def test_sentences_that_stand_alone_are_known(sentence: str) -> None:
    assert not leans(sentence)


@pytest.mark.parametrize(
    "options",
    [SummaryOptions(), SummaryOptions(sentences=40), SummaryOptions(words=800), SummaryOptions(ratio=0.3)],
)
def test_choosing_from_a_long_document_takes_time_in_proportion(options: SummaryOptions) -> None:
    once = seconds(long_text(600), options)
    assert seconds(long_text(600 * GROWTH), options) <= BOUND * once + FREE_SECONDS


def test_a_long_document_gets_the_length_it_was_asked_for() -> None:
    document = parse(DocumentInput(long_text(3000), language_code="en"))
    assert len(summarize(document, SummaryOptions(sentences=700), language_code="en").segments) == 700
