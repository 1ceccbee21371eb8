"""Summaries by choosing sentences: lengths hold, order holds, and a caption in front does not fool it."""

from __future__ import annotations

import pytest
from glossd.errors import InvalidInputError
from glossd.text.document import Document, parse
from glossd.text.extractive import summarize
from glossd.text.features import leans
from glossd.text.words import count_words
from glossd.types import DocumentInput, SummaryOptions, WarningCode
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Authored
from .rouge import rouge

CAPTION = (
    "People gather outside the main hall during a break in the talks, in a photo taken on Tuesday. [Photo/Agencies]"
)
CAPTION_ZH = "图为会议间隙，人们聚集在主会场外交谈。[图/视觉中国]"


def document_of(article: Authored, code: str = "en") -> Document:
    return parse(DocumentInput("\n".join([article.title, *article.paragraphs]), language_code=code))


def led_by_caption(article: Authored, code: str) -> str:
    credit, caption = ("(China Daily/Agencies)", CAPTION) if code == "en" else ("来源：新华社", CAPTION_ZH)
    return "\n".join([article.title, article.dateline, credit, caption, *article.paragraphs])


def mean_rouge(summaries: list[str], articles: list[Authored]) -> list[float]:
    scores = [rouge(summary, article.summary) for summary, article in zip(summaries, articles, strict=True)]
    return [sum(column) / len(scores) for column in zip(*scores, strict=True)]


def lead(text: str, code: str, number: int) -> str:
    segments = parse(DocumentInput(text, language_code=code)).segments[1:]
    return ("" if code == "zh" else " ").join(segment.text for segment in segments[:number])


@pytest.mark.parametrize("code", ["en", "zh"])
@pytest.mark.parametrize("number", [2, 3])
def test_it_beats_the_first_sentences_where_a_date_line_and_a_caption_lead(
    code: str, number: int, english: list[Authored], chinese: list[Authored]
) -> None:
    articles = english if code == "en" else chinese
    texts = [led_by_caption(article, code) for article in articles]
    documents = [parse(DocumentInput(text, language_code=code)) for text in texts]
    options = SummaryOptions(sentences=number)
    ours = mean_rouge([summarize(one, options, language_code=code).text for one in documents], articles)
    first = mean_rouge([lead(text, code, number) for text in texts], articles)
    assert all(one > other for one, other in zip(ours, first, strict=True))


def test_it_beats_the_first_two_sentences_on_plain_articles(authored: list[Authored]) -> None:
    ours = [summarize(document_of(one), SummaryOptions(), language_code="en").text for one in authored]
    first = [lead("\n".join([one.title, *one.paragraphs]), "en", 2) for one in authored]
    assert all(
        mine >= other for mine, other in zip(mean_rouge(ours, authored), mean_rouge(first, authored), strict=True)
    )


def test_captions_dates_titles_and_residue_are_never_chosen(english: list[Authored]) -> None:
    for article in english:
        document = parse(
            DocumentInput(led_by_caption(article, "en") + "\nMost Viewed\nA link\nOther link\n", language_code="en")
        )
        text = summarize(document, SummaryOptions(ratio=0.9), language_code="en").text
        for line in (article.title, article.dateline, CAPTION, "A link"):
            assert line not in text


@pytest.mark.parametrize("number", [1, 2, 5])
def test_the_number_of_sentences_is_exact_and_in_reading_order(number: int, english: list[Authored]) -> None:
    document = document_of(english[0])
    summary = summarize(document, SummaryOptions(sentences=number), language_code="en")
    assert len(summary.segments) == number
    assert list(summary.segments) == sorted(summary.segments)
    assert summary.text == " ".join(document.segments[index].text for index in summary.segments)
    assert not summary.warnings


@pytest.mark.parametrize("words", [40, 60, 100, 150])
def test_the_words_are_within_fifteen_per_cent(words: int, english: list[Authored], chinese: list[Authored]) -> None:
    for article, code in [*((one, "en") for one in english), *((one, "zh") for one in chinese)]:
        made = count_words(summarize(document_of(article, code), SummaryOptions(words=words), language_code=code).text)
        assert 0.85 * words - 1 <= made <= 1.15 * words + 1


def test_a_ratio_is_a_share_of_the_words(english: list[Authored]) -> None:
    document = document_of(english[1])
    total = sum(count_words(segment.text) for part, segments in document.body_parts() for segment in segments)
    made = count_words(summarize(document, SummaryOptions(ratio=0.4), language_code="en").text)
    assert 0.33 * total <= made <= 0.47 * total


def test_the_default_is_at_most_three_sentences_and_sixty_words(english: list[Authored]) -> None:
    for article in english:
        summary = summarize(document_of(article), SummaryOptions(), language_code="en")
        assert len(summary.segments) == 1 or (len(summary.segments) <= 3 and count_words(summary.text) <= 60)


def test_a_summary_as_long_as_the_text_says_so() -> None:
    document = parse(DocumentInput("One thing happened here. Then another did.", language_code="en"))
    summary = summarize(document, SummaryOptions(sentences=9), language_code="en")
    assert summary.text == "One thing happened here. Then another did."
    assert [warning.code for warning in summary.warnings] == [WarningCode.SUMMARY_NOT_SHORTER]


def test_the_same_sentence_is_not_chosen_twice() -> None:
    news = "The old bridge over the river was closed on Monday after a boat had struck it."
    other = "Traffic is being sent through the village of Holm, where shopkeepers expect a busy month."
    document = parse(DocumentInput(f"{news}\n{news}\n{news}\n{other}\n{news}", language_code="en"))
    assert other in summarize(document, SummaryOptions(sentences=2), language_code="en").text


def test_questions_and_sentences_that_hang_in_the_air_come_last() -> None:
    text = (
        "What will happen to the old bridge over the river now?\n"
        "He said so again on Tuesday to a group of people who had come to see him.\n"
        "The town council closed the old bridge over the river on Monday after a boat struck it."
    )
    document = parse(DocumentInput(text, language_code="en"))
    assert summarize(document, SummaryOptions(sentences=1), language_code="en").segments == (2,)


NEWS = "Maria Lund, the mayor of Holm, opened the new bridge over the river on Monday after ten years of building."
FACT = "The bridge cost 40 million crowns and carries a railway, a road and a path for cyclists."
NEWS_ZH = "霍尔姆市长玛丽亚·伦德周一为历时十年建成的跨河新桥揭幕。"
FACT_ZH = "这座桥耗资4000万克朗，铁路、公路和自行车道并行。"


@pytest.mark.parametrize(
    "hanging",
    [
        "He said the bridge over the river had cost 40 million crowns and that Holm would pay for the new bridge.",
        "But the bridge over the river at Holm opened ten years late and cost 40 million crowns.",
        '"We opened the new bridge over the river at Holm after ten years," she said on Monday.',
        '"The new bridge over the river at Holm cost 40 million crowns."',
        "Why did the new bridge over the river at Holm cost 40 million crowns and take ten years?",
    ],
)
@pytest.mark.parametrize("options", [SummaryOptions(), SummaryOptions(sentences=1), SummaryOptions(words=20)])
def test_a_sentence_that_needs_another_never_opens_a_summary(hanging: str, options: SummaryOptions) -> None:
    title = "New bridge over the river at Holm cost 40 million crowns"
    document = parse(DocumentInput(f"{title}\n{NEWS}\n{hanging} {FACT}\n{FACT}", language_code="en"))
    assert not summarize(document, options, language_code="en").text.startswith(hanging)


@pytest.mark.parametrize(
    "hanging", ["他说，霍尔姆的跨河新桥耗资4000万克朗。", "然而，霍尔姆的跨河新桥晚了十年，耗资4000万克朗。"]
)
def test_a_chinese_sentence_that_needs_another_never_opens_a_summary(hanging: str) -> None:
    text = f"霍尔姆跨河新桥耗资4000万克朗\n{NEWS_ZH}\n{hanging}\n{FACT_ZH}{FACT_ZH}"
    document = parse(DocumentInput(text, language_code="zh"))
    for options in (SummaryOptions(), SummaryOptions(sentences=1)):
        assert not summarize(document, options, language_code="zh").text.startswith(hanging)


def test_no_summary_of_an_authored_article_leans_on_what_is_left_out(
    english: list[Authored], chinese: list[Authored]
) -> None:
    for article, code in [*((one, "en") for one in english), *((one, "zh") for one in chinese)]:
        document = document_of(article, code)
        for options in (SummaryOptions(), SummaryOptions(sentences=2), SummaryOptions(sentences=3)):
            chosen = summarize(document, options, language_code=code).segments
            for index in chosen:
                assert index - 1 in chosen or not leans(document.segments[index].text)


def test_a_sentence_that_points_back_may_follow_the_one_it_points_to() -> None:
    document = parse(DocumentInput(f"{NEWS} She said it would last.\n{FACT}", language_code="en"))
    assert summarize(document, SummaryOptions(sentences=3), language_code="en").segments == (0, 1, 2)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (SummaryOptions(words=0), "summary.words"),
        (SummaryOptions(sentences=-3), "summary.sentences"),
        (SummaryOptions(ratio=1.5), "summary.ratio"),
        (SummaryOptions(ratio=float("nan")), "summary.ratio"),
        (SummaryOptions(words=10, ratio=0.5), "summary.ratio"),
    ],
)
def test_absurd_lengths_are_refused_by_field(options: SummaryOptions, field: str) -> None:
    document = parse(DocumentInput("One thing happened. Then another did.", language_code="en"))
    with pytest.raises(InvalidInputError) as caught:
        summarize(document, options, language_code="en")
    assert caught.value.field == field


@given(
    st.lists(
        st.sampled_from(["It rained.", "你好。", "a", "12 b", "Why?", "\n", "- x", '"Go."', "# H"]),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(
        [SummaryOptions(), SummaryOptions(words=7), SummaryOptions(sentences=4), SummaryOptions(ratio=0.01)]
    ),
)
def test_any_document_has_a_summary_of_its_own_sentences(pieces: list[str], options: SummaryOptions) -> None:
    try:
        document = parse(DocumentInput(" ".join(pieces), language_code="en"))
    except InvalidInputError:
        return
    summary = summarize(document, options, language_code="en")
    assert summary.segments
    assert all(document.segments[index].text in summary.text for index in summary.segments)
