"""Guarded spans on their road through a model: placeholders come back, or what went wrong is put right or said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from glossd.tasks.plan import Direction, placeholder_ids
from glossd.tasks.reading import Reader
from glossd.tasks.served import ServedModel
from glossd.tasks.translate import Translator
from glossd.types import (
    DecodeOptions,
    DocumentInput,
    GlossaryEntry,
    MimeType,
    RequestOptions,
    TextResult,
    TranslateTask,
    WarningCode,
)

from tests.toys import END, FIRST, ToyDetector, ToyGenerator, ToyTokenizer, to_chinese, toy_hub, toy_info, toy_model

BASE = 0x110000 + FIRST
DIRECTION = Direction("en", "zh-Hans")
GLOSSARY = (GlossaryEntry("harbour board", "港务局"), GlossaryEntry("ship", "货轮", ignore_case=True))
SENTENCE = "The harbour board said the ship would wait until Monday."


class PlaceholderTokenizer(ToyTokenizer):
    """As the toy, and ⟦0⟧ to ⟦9⟧ are one token each."""

    def encode(self, text: str, *, source_language: str, target_language: str) -> tuple[int, ...]:
        pieces = re.findall(r"⟦\d⟧|.", text, flags=re.DOTALL)
        return (*(BASE + int(piece[1]) if len(piece) == 3 else ord(piece) + FIRST for piece in pieces), END)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(f"⟦{token - BASE}⟧" if token >= BASE else chr(token - FIRST) for token in ids if token >= FIRST)


class PlaceholderGenerator(ToyGenerator):
    """As the toy, with placeholders; words around them become Chinese, then ``spoil`` has its way."""

    def __init__(self, spoil: Callable[[str], str] = lambda text: text) -> None:
        super().__init__(lambda text: spoil(to_chinese(text)))
        self._tokenizer = PlaceholderTokenizer()

    @property
    def texts(self) -> list[str]:
        """What was sent, in order."""
        return [self._tokenizer.decode(request.source_ids) for request in self.requests]


def model_of(generator: ToyGenerator, *, placeholders: bool = True) -> ServedModel:
    model = toy_model(generator=generator)
    if not placeholders:
        return model
    info = replace(toy_info(), vocabulary=BASE + 10)
    return replace(model, info=info, tokenizer=PlaceholderTokenizer())


async def translated(
    text: str,
    generator: ToyGenerator,
    *,
    placeholders: bool = True,
    mime_type: MimeType = MimeType.PLAIN,
    decode: DecodeOptions | None = None,
    glossary: tuple[GlossaryEntry, ...] = GLOSSARY,
    keep: tuple[str, ...] = (),
) -> TextResult:
    translator = Translator(toy_hub(model_of(generator, placeholders=placeholders)), Reader(ToyDetector()))
    options = RequestOptions(glossary=glossary, do_not_translate=keep)
    document = DocumentInput(text, mime_type, "en")
    return await translator.translate(TranslateTask(document, "zh", decode=decode or DecodeOptions(), options=options))


def codes(result: TextResult) -> list[WarningCode]:
    return [warning.code for warning in result.warnings]


def test_a_vocabulary_is_asked_for_its_placeholders_not_the_model_for_its_name() -> None:
    assert placeholder_ids(model_of(ToyGenerator()), DIRECTION) == tuple(range(BASE, BASE + 10))
    assert placeholder_ids(model_of(ToyGenerator(), placeholders=False), DIRECTION) == ()


async def test_terms_go_as_placeholders_and_come_back_as_asked_for() -> None:
    generator = PlaceholderGenerator()
    result = await translated(SENTENCE, generator)
    assert generator.texts == ["The ⟦0⟧ said the ⟦1⟧ would wait until Monday."]
    assert "港务局" in result.text
    assert "货轮" in result.text
    assert codes(result) == []
    assert (result.usage.terms_found, result.usage.terms_kept) == (2, 2)
    (request,) = generator.requests
    assert request.params.once == (BASE, BASE + 1)
    assert request.params.suppressed == tuple(range(BASE + 2, BASE + 10))


async def test_addresses_and_code_come_through_letter_for_letter() -> None:
    generator = PlaceholderGenerator()
    result = await translated(
        "Write to a.b@example.org or run `make x, y` at https://example.org/a_(b)?c=1.", generator
    )
    assert generator.texts == ["Write to ⟦0⟧ or run ⟦1⟧ at ⟦2⟧."]
    for kept in ("a.b@example.org", "`make x, y`", "https://example.org/a_(b)?c=1"):
        assert kept in result.text
    assert result.text.endswith("。")
    assert codes(result) == []


def breaking_clocks(text: str) -> str:
    return text.replace("08:00", ":000").replace("1,234,567", "123")


async def test_a_figure_that_breaks_is_guarded_in_a_second_try() -> None:
    generator = PlaceholderGenerator(breaking_clocks)
    result = await translated("The port opens at 08:00 for 1,234,567 people.", generator)
    assert generator.texts == [
        "The port opens at 08:00 for 1,234,567 people.",
        "The port opens at ⟦0⟧ for ⟦1⟧ people.",
    ]
    assert "08:00" in result.text
    assert "1,234,567" in result.text
    assert codes(result) == []
    assert result.usage.terms_found == 0


async def test_two_figures_side_by_side_stay_apart() -> None:
    generator = PlaceholderGenerator(lambda text: breaking_clocks(text).replace("⟦0⟧ ⟦1⟧", "⟦0⟧⟦1⟧"))
    result = await translated("Updated at 2013-05-08 08:00", generator)
    assert generator.texts[-1] == "Updated at ⟦0⟧ ⟦1⟧"
    assert "2013-05-08 08:00" in result.text
    assert codes(result) == []


async def test_a_figure_whose_placeholder_is_lost_is_still_a_lost_number() -> None:
    generator = PlaceholderGenerator(lambda text: re.sub(r"⟦\d⟧", "", breaking_clocks(text)))
    result = await translated("The port opens at 08:00 for all.", generator)
    assert codes(result) == [WarningCode.OMISSION_SUSPECTED]


async def test_a_placeholder_in_the_source_itself_is_kept() -> None:
    result = await translated("Put ⟦7⟧ there.", PlaceholderGenerator())
    assert "⟦7⟧" in result.text
    assert codes(result) == []


def dropping(text: str) -> str:
    return text.replace("⟦1⟧", "")


def doubling(text: str) -> str:
    return text.replace("⟦0⟧", "⟦0⟧⟦0⟧")


def inventing(text: str) -> str:
    return text + "⟦9⟧"


async def test_a_model_that_drops_a_placeholder_is_given_the_sentence_around_its_terms() -> None:
    generator = PlaceholderGenerator(dropping)
    result = await translated(SENTENCE, generator)
    assert [len(request.params.once) for request in generator.requests] == [2, 2, 0, 0, 0, 0]
    assert generator.requests[1].params.num_beams == 4
    assert generator.texts[2] == SENTENCE
    assert generator.texts[3:] == ["The", "said the", "would wait until Monday."]
    assert result.text.index("港务局") < result.text.index("货轮")
    assert codes(result) == []


async def test_a_doubled_placeholder_never_shows_twice() -> None:
    result = await translated(SENTENCE, PlaceholderGenerator(doubling))
    assert result.text.count("港务局") == 1
    assert codes(result) == []


async def test_an_invented_placeholder_is_never_shown() -> None:
    result = await translated(SENTENCE, PlaceholderGenerator(inventing))
    assert "⟦" not in result.text
    assert "港务局" in result.text
    plain = await translated("It would wait.", PlaceholderGenerator(inventing))
    assert "⟦" not in plain.text


async def test_a_model_without_placeholders_gets_the_words_and_then_the_pieces_between() -> None:
    generator = ToyGenerator()
    result = await translated(SENTENCE, generator, placeholders=False)
    sent = [ToyTokenizer().decode(request.source_ids) for request in generator.requests]
    assert sent == [SENTENCE, SENTENCE, "The", "said the", "would wait until Monday."]
    assert "港务局" in result.text
    assert codes(result) == []


async def test_a_term_that_nothing_helps_with_is_named() -> None:
    class Deaf(PlaceholderGenerator):
        def submit(self, request):  # type: ignore[no-untyped-def]
            if len(self.requests) == 3:
                self.failure = OverloadedError("full", retry_after_seconds=1.0)
            return super().submit(request)

    from glossd.errors import OverloadedError

    result = await translated(SENTENCE, Deaf(lambda text: re.sub("⟦.⟧", "", text)))
    assert codes(result) == [WarningCode.TERM_MISSED] * 2
    assert "harbour board" in result.warnings[0].message
    assert (result.usage.terms_found, result.usage.terms_kept) == (2, 0)


async def test_a_caller_s_decoding_settings_are_kept_while_terms_are_put_right() -> None:
    generator = PlaceholderGenerator(dropping)
    result = await translated(SENTENCE, generator, decode=DecodeOptions(num_beams=2))
    assert {request.params.num_beams for request in generator.requests} == {2}
    assert "货轮" in result.text


async def test_the_longest_term_wins_and_case_counts_unless_it_is_told_not_to() -> None:
    glossary = (
        GlossaryEntry("port", "港口"),
        GlossaryEntry("port authority", "港务局"),
        GlossaryEntry("Mayor", "市长", ignore_case=True),
    )
    generator = PlaceholderGenerator()
    result = await translated("The port authority and the MAYOR left the Port report.", generator, glossary=glossary)
    assert generator.texts == ["The ⟦0⟧ and the ⟦1⟧ left the Port report."]
    assert "港务局" in result.text
    assert "市长" in result.text


async def test_more_terms_than_placeholders_are_checked_one_by_one() -> None:
    words = [f"alpha{letter}" for letter in "abcdefghijkl"]
    generator = PlaceholderGenerator()
    result = await translated(f"We saw {', '.join(words)}.", generator, keep=tuple(words), glossary=())
    assert "⟦9⟧" in generator.texts[0]
    assert all(word in result.text for word in words[:10])
    assert codes(result).count(WarningCode.TERM_MISSED) == 2


async def test_a_line_of_nothing_but_terms_needs_no_model() -> None:
    generator = PlaceholderGenerator()
    result = await translated("It is here.\n\nharbour board\n", generator)
    assert generator.texts == ["It is here."]
    assert result.text.endswith("\n\n港务局\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Read the [user guide](https://example.org/guide) first.", r"\[..{1,8}\]\(https://example\.org/guide\)"),
        ("See [`make`](https://example.org/m) and go.", r"\[`make`\]\(https://example\.org/m\)"),
        ("Look at ![the plan](plan.png) now.", r"!\[the plan\]\(plan\.png\)"),
        ("It is **very important** here.", r"\*\*[^*A-Za-z]+\*\*"),
        ("It is _very important_ here.", r"(?<!\*)\*[^*A-Za-z]+\*(?!\*)"),
        ("It is <kbd>here</kbd> now.", r"<kbd>.+</kbd>"),
        ("- [User guide](guide.md)", r"^- \[[^A-Za-z]+\]\(guide\.md\)$"),
    ],
)
@pytest.mark.parametrize("placeholders", [True, False])
async def test_markup_inside_of_a_sentence_survives(text: str, expected: str, placeholders: bool) -> None:
    generator = PlaceholderGenerator() if placeholders else ToyGenerator()
    result = await translated(text, generator, placeholders=placeholders, mime_type=MimeType.MARKDOWN)
    assert re.search(expected, result.text), result.text
    assert WarningCode.MARKUP_DROPPED not in codes(result)


async def test_emphasis_that_cannot_be_placed_is_dropped_and_named() -> None:
    generator = PlaceholderGenerator(lambda text: "他们很快就走了。" if len(text) > 6 else text)
    result = await translated("They **quickly** left the old house.", generator, mime_type=MimeType.MARKDOWN)
    assert "*" not in result.text
    (warning,) = [each for each in result.warnings if each.code is WarningCode.MARKUP_DROPPED]
    assert "**quickly**" in warning.message
    assert warning.source is not None


@pytest.mark.parametrize("link", ["[`protos/v1`](protos/v1)", "[docs/corpus.md](docs/corpus.md)", "[`make`](x)"])
async def test_a_link_that_names_a_file_or_code_is_one_guarded_span(link: str) -> None:
    generator = PlaceholderGenerator()
    result = await translated(f"Read {link} first.", generator, mime_type=MimeType.MARKDOWN)
    assert generator.texts == ["Read ⟦0⟧ first."]
    assert link in result.text


async def test_emphasis_never_goes_into_a_word_or_into_code() -> None:
    generator = PlaceholderGenerator(lambda text: text if len(text) < 9 else "见⟦0⟧和香港纸。")
    result = await translated(
        "See that `glossd` is a *gloss* on it here.", generator, mime_type=MimeType.MARKDOWN, glossary=()
    )
    assert "*" not in result.text
    assert "`glossd`" in result.text


async def test_bold_over_two_sentences_keeps_its_two_ends() -> None:
    text = "**It is here. It was there.** More came."
    result = await translated(text, PlaceholderGenerator(), mime_type=MimeType.MARKDOWN)
    assert re.fullmatch(r"\*\*[^*]+。[^*]+。\*\*[^*]+。", result.text), result.text
