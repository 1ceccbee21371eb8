"""Documents of many kinds of lines and of two languages: what is to be translated is, everything else stays."""

from __future__ import annotations

import re

import pytest
from glossd.tasks.passing import parts_in_target
from glossd.tasks.plan import Direction
from glossd.tasks.reading import Reader
from glossd.tasks.summarize import Summarizer
from glossd.tasks.translate import Translator
from glossd.text.document import parse
from glossd.types import (
    DetectedLanguage,
    DocumentInput,
    FinishReason,
    MimeType,
    SummarizeTask,
    SummaryMethod,
    SummaryOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.toys import ToyDetector, ToyGenerator, toy_hub, toy_model

MIXED = "The bridge is open.\n\n大桥星期一重新开放，市长出席了仪式。\n\nThe mayor came.\n\n他说：“欢迎。”\n"
README = """\
# The tool\r
\r
The tool is *fast* and reads [the manual](docs/manual.md) from\r
the disk. 👍🏽 It is a café\u0301 tool.\r
\r
- Run `tool --help` first.\r
- See https://example.org/a?b=c.\r
\r
| The name | The kind |\r
|---|---|\r
| a one | a two |\r
\r
```sh\r
tool --the-code\r
```\r
\r
The end.\r
"""


async def translated(text: str, *, mime_type: MimeType = MimeType.PLAIN, language: str | None = "en") -> TextResult:
    translator = Translator(toy_hub(), Reader(ToyDetector()))
    return await translator.translate(TranslateTask(DocumentInput(text, mime_type, language), "zh"))


async def test_a_paragraph_in_the_target_language_is_handed_through_and_said_once() -> None:
    generator = ToyGenerator()
    translator = Translator(toy_hub(toy_model(generator=generator)), Reader(ToyDetector()))
    result = await translator.translate(TranslateTask(DocumentInput(MIXED, language_code="en"), "zh"))
    lines = result.text.split("\n\n")
    assert lines[1] == "大桥星期一重新开放，市长出席了仪式。"
    assert lines[3] == "他说：“欢迎。”\n"
    assert len(generator.requests) == 2
    reasons = [segment.finish_reason for segment in result.segments]
    assert reasons.count(FinishReason.PASSTHROUGH) == len(reasons) - 2
    (warning,) = [each for each in result.warnings if each.code is WarningCode.PASSED_THROUGH]
    assert warning.message.startswith("2 parts are in zh-Hans")
    assert result.finish_reason is FinishReason.COMPLETE


async def test_chinese_words_inside_of_an_english_sentence_do_not_pass_it_through() -> None:
    result = await translated("The word 大桥 is a word that means a large bridge.")
    assert result.finish_reason is FinishReason.COMPLETE
    assert WarningCode.PASSED_THROUGH not in [warning.code for warning in result.warnings]


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("Die Brücke über den Fluss wurde am Montag nach vielen Jahren wieder geöffnet.", ("de", 0.99), {0}),
        ("Die Brücke über den Fluss wurde am Montag nach vielen Jahren wieder geöffnet.", ("de", 0.7), set()),
        ("Die Brücke über den Fluss wurde am Montag nach vielen Jahren wieder geöffnet.", ("und", 0.0), set()),
        ("Guten Tag!", ("de", 0.99), set()),
    ],
)
def test_between_languages_of_one_script_a_part_must_be_long_and_sure(
    text: str, found: tuple[str, float], expected: set[int]
) -> None:
    document = parse(DocumentInput(text, language_code="en"))
    assert parts_in_target(document, Direction("en", "de"), lambda sample: DetectedLanguage(*found)) == expected


def test_english_paragraphs_of_a_chinese_document_are_in_english_already() -> None:
    document = parse(DocumentInput("大桥开放了。\n\nThe bridge is open.\n\n他用iPhone。", language_code="zh"))
    assert parts_in_target(document, Direction("zh-Hans", "en"), ToyDetector().detect) == {1}


async def test_every_kind_of_line_of_a_readme_keeps_its_form() -> None:
    result = await translated(README, mime_type=MimeType.MARKDOWN)
    lines = result.text.split("\r\n")
    assert lines[0].startswith("# ")
    assert re.search(r"\*[^*]+\*.*\[[^\]]+\]\(docs/manual\.md\)", lines[2])
    assert "👍🏽" in lines[2]
    assert "`tool --help`" in result.text
    assert "- " in result.text
    assert "https://example.org/a?b=c" in result.text
    assert "|---|---|\r\n" in result.text
    assert "```sh\r\ntool --the-code\r\n```\r\n" in result.text
    assert result.text.count("\r\n") == README.count("\r\n") - 1  # one paragraph was wrapped over two lines
    for segment in result.segments:
        assert result.text[segment.target.start : segment.target.end] == segment.text


async def test_spans_count_code_points_of_the_text_that_was_sent() -> None:
    text = "\ufeffThe 👩‍👩‍👧 is here.\r\n\r\nThe cafe\u0301 is the one.\r\n"
    result = await translated(text)
    assert [text[segment.source.start : segment.source.end] for segment in result.segments] == [
        "The 👩‍👩‍👧 is here.",
        "The cafe\u0301 is the one.",
    ]
    assert "👩‍👩‍👧" in result.text


async def test_a_summary_of_markdown_is_plain_prose() -> None:
    text = (
        "The **mayor** opened\n[the bridge](a.md) on Monday. It is a day of joy. The rest is a detail of no weight.\n"
    )
    summarizer = Summarizer(toy_hub(), Reader(ToyDetector()))
    wanted = SummaryOptions(SummaryMethod.EXTRACTIVE, sentences=3)
    result = await summarizer.summarize(SummarizeTask(DocumentInput(text, MimeType.MARKDOWN, "en"), wanted))
    assert result.text.startswith("The mayor opened the bridge on Monday.")
    for segment in result.segments:
        assert result.text[segment.target.start : segment.target.end] == segment.text
