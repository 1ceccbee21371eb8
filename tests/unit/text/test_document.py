"""Documents: parse and rebuild are inverse, marks and code stay, and bad input is refused by name."""

from __future__ import annotations

import pytest
from glossd.errors import InvalidInputError
from glossd.text.document import Document, PartKind, Rebuilt, parse, rebuild
from glossd.types import DocumentInput, Extraction, MimeType, WarningCode
from hypothesis import given
from hypothesis import strategies as st

PIECES = [
    *(
        "Hello world.",
        "It rained. ",
        "He left!",
        "- item one",
        "* item",
        "1. First",
        "2) Second",
        "# Title",
        "## Sub #",
    ),
    *("> quote", "```", "```py", "    code", "\tcode()", "| a | b |", "|---|---|", "https://example.org/a", "---", "|"),
    *(
        "你好。",
        "他说：“好。” ",
        "第二句！",
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "\u3000\u3000",
        "12.5%",
        "**bold**",
        "- [ ] task",
    ),
    *(
        "Gen. Lee met Dr. No at 5 p.m. Friday.",
        "Most Viewed",
        "<div>",
        "[a]: http://b.c",
        "![i](u)",
        "é",
        "👍",
        "\xa0",
        "()",
    ),
]
TEXT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=40).map("".join)
MARKDOWN = """---
title: x
---
# The title

Hello **world**. It is `code`.  Two spaces.

- item one. And two.
  * [ ] nested task
1. first

```py
print('x')
```

    indented = code

| name | kind |
|------|------|
| the first | a second |
https://example.org/path
> A quote. Of two.\r
"""


def joined(rebuilt: Rebuilt) -> str:
    pieces = [
        separator + rebuilt.text[span.start : span.end]
        for separator, span in zip(rebuilt.separators, rebuilt.targets, strict=True)
    ]
    return "".join(pieces) + rebuilt.tail


def parsed(text: str, mime_type: MimeType = MimeType.PLAIN, code: str | None = "en") -> Document | None:
    try:
        return parse(DocumentInput(text, mime_type, code))
    except InvalidInputError:
        return None


@given(TEXT, st.sampled_from([MimeType.PLAIN, MimeType.MARKDOWN]), st.sampled_from(["en", "zh", "ja", "de"]))
def test_rebuilding_with_the_own_sentences_gives_the_source_exactly(text: str, mime: MimeType, code: str) -> None:
    document = parsed(text, mime, code)
    if document is None:
        return
    rebuilt = rebuild(document, [segment.text for segment in document.segments], language_code=code)
    assert rebuilt.text == document.source
    assert joined(rebuilt) == rebuilt.text


@given(TEXT, st.sampled_from(list(Extraction)), st.sampled_from(["en", "zh"]))
def test_separators_and_targets_in_turn_give_the_rebuilt_text(text: str, extraction: Extraction, code: str) -> None:
    try:
        document = parse(DocumentInput(text, language_code="en", extraction=extraction))
    except InvalidInputError:
        return
    rebuilt = rebuild(document, [f"目标{segment.index}。" for segment in document.segments], language_code=code)
    assert joined(rebuilt) == rebuilt.text
    assert [rebuilt.text[span.start : span.end] for span in rebuilt.targets] == [
        f"目标{segment.index}。" for segment in document.segments
    ]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_is_refused_or_comes_back(text: str) -> None:
    document = parsed(text)
    if document is not None:
        own = [segment.text for segment in document.segments]
        assert rebuild(document, own, language_code="en").text == document.source
        for segment in document.segments:
            assert segment.text == document.source[segment.source.start : segment.source.end] == segment.text.strip()
            assert segment.index in document.parts[segment.part].segments


def test_marks_code_tables_and_addresses_stay_where_they_are() -> None:
    document = parse(DocumentInput(MARKDOWN, MimeType.MARKDOWN, "en"))
    rebuilt = rebuild(document, ["好。"] * len(document.segments), language_code="zh-Hans")
    assert rebuilt.text == MARKDOWN.replace("Hello **world**. It is `code`.  Two spaces.", "好。好。好。").replace(
        "item one. And two.", "好。好。"
    ).replace("nested task", "好。").replace("The title", "好。").replace(" first\n", " 好。\n").replace(
        "| name | kind |", "| 好。 | 好。 |"
    ).replace("the first | a second", "好。 | 好。").replace("A quote. Of two.", "好。好。")
    assert {part.kind for part in document.parts if not part.segments} == {PartKind.CODE, PartKind.RESIDUE}


def test_spaces_between_sentences_follow_the_target_language() -> None:
    english = parse(DocumentInput("One came. Two left.\n\nThree stayed.", language_code="en"))
    assert (
        rebuild(english, ["一来了。", "二走了。", "三留下。"], language_code="zh").text
        == "一来了。二走了。\n\n三留下。"
    )
    assert rebuild(english, ["OK", "Go", "No"], language_code="zh").text == "OK Go\n\nNo"
    chinese = parse(DocumentInput("一来了。二走了。", language_code="zh"))
    assert rebuild(chinese, ["One came.", "Two left."], language_code="en").text == "One came. Two left."


def test_the_number_of_targets_must_be_the_number_of_segments() -> None:
    document = parse(DocumentInput("One. Two.", language_code="en"))
    with pytest.raises(ValueError, match="1 targets for 2 segments"):
        rebuild(document, ["x"], language_code="zh")


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "...", "12 34\n56", "\x00", "\ufeff", "https://example.org", "ab\ud800"]
)
def test_a_document_with_nothing_to_work_on_is_refused_by_field(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(DocumentInput(text), field="documents[3]")
    assert caught.value.field == "documents[3].text"


def test_body_parts_leave_out_title_date_code_and_residue() -> None:
    body = "The bridge over the river was closed on Monday after a boat struck it. No one was hurt."
    text = f"# Head\n\n{body}\n\n```\nx = 1\n```\n"
    document = parse(DocumentInput(text, MimeType.MARKDOWN, "en"))
    assert [(part.kind, len(segments)) for part, segments in document.body_parts()] == [(PartKind.PARAGRAPH, 2)]
    assert document.title == "Head"


PAGE = """<html><head><title>Ferry back - Gazette</title></head><body><nav><ul><li><a href=/>Home</a></li></ul></nav>
<article><h1>Ferry back after two years</h1>
<p>The first ferry in two years left the harbour on Monday &amp; people cheered, for it had been a <b>long</b> wait.</p>
<p>Tickets cost more than before. The company says that the price reflects the cost of a much cleaner engine.</p>
</article><aside><h3>Most viewed</h3><ul><li><a href=1>Baker wins prize</a></li></ul></aside>
<script>x()</script></body></html>"""


def test_a_page_is_read_as_lines_with_its_marks() -> None:
    document = parse(DocumentInput(PAGE, MimeType.HTML, "en"))
    assert "- Home\n" in document.source
    assert "# Ferry back after two years\n" in document.source
    assert "Monday & people cheered, for it had been a long wait." in document.source
    assert "x()" not in document.source
    assert document.warnings == ()


def test_the_main_content_of_a_page_is_headline_and_body() -> None:
    document = parse(DocumentInput(PAGE, MimeType.HTML, "en", Extraction.MAIN_CONTENT))
    assert document.title == "Ferry back after two years"
    assert [part.kind for part in document.parts] == [PartKind.TITLE, PartKind.PARAGRAPH, PartKind.PARAGRAPH]
    assert "Baker" not in document.source
    assert WarningCode.MARKUP_DROPPED in [warning.code for warning in document.warnings]


def test_a_page_without_text_is_refused_and_one_without_tags_is_plain_text() -> None:
    with pytest.raises(InvalidInputError):
        parse(DocumentInput("<!-- nothing -->", MimeType.HTML))
    with pytest.raises(InvalidInputError):
        parse(DocumentInput("<html><script>a()</script></html>", MimeType.HTML))
    assert parse(DocumentInput("No tags here.", MimeType.HTML)).source == "No tags here."


def test_what_entities_hide_is_cleaned_too() -> None:
    document = parse(DocumentInput("<p>safe&#8238;evil &#27;[31mred&#x200b;</p>", MimeType.HTML, "en"))
    assert document.source == "safeevil red"
    assert WarningCode.CHARACTERS_REPLACED in [warning.code for warning in document.warnings]


def test_pages_nested_deeper_than_the_stack_are_read() -> None:
    document = parse(
        DocumentInput("<div>" * 5_000 + "Some text here." + "</div>" * 5_000 + "<p>End.</p>", MimeType.HTML)
    )
    assert document.segments


def test_the_main_content_of_markdown_keeps_its_lists_and_tables_and_drops_lists_of_links() -> None:
    text = (
        "# Rates rise\n\nThe bank raised its key rate on Tuesday, the third rise of the year, and said so.\n\n"
        "It said that prices would keep rising until the end of the year, as they had done since the spring.\n\n"
        "| a | b |\n|---|---|\n| one | two |\n\n- first point of it\n- second point of it\n\n"
        "- [Most viewed](https://example.org/a)\n- [Editors' picks](https://example.org/b)\n"
    )
    document = parse(DocumentInput(text, MimeType.MARKDOWN, extraction=Extraction.MAIN_CONTENT))
    kept = [segment.text for segment in document.segments]
    assert {"one", "two", "first point of it", "second point of it"} <= set(kept)
    assert not any("viewed" in segment or "picks" in segment for segment in kept)
