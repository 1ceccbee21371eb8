"""Languages that checkpoints read and write, from manifests, tokenizer settings, vocabularies and names."""

from __future__ import annotations

import pytest
from glossd.languages import all_languages, get_language
from glossd.models.directions import (
    Directions,
    column_directions,
    find_by_any_name,
    manifest_directions,
    marian_directions,
    marian_target_token,
    prompted_directions,
)

EVERY = tuple(language.code for language in all_languages())


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("en", ("en",)),
        ("eng", ("en",)),
        ("zh", ("zh-Hans",)),
        ("zho", ("zh-Hans",)),
        ("cmn_Hant", ("zh-Hant",)),
        ("zh_CN", ("zh-Hans",)),
        ("fra", ("fr",)),
        ("ara", ("ar",)),
        ("ROMANCE", ("fr", "es", "it", "pt", "ro")),
        ("zle", ("ru", "uk")),
        ("mul", EVERY),
        ("xyz", ()),
        ("", ()),
    ],
)
def test_languages_are_found_by_the_names_that_checkpoints_use(name: str, codes: tuple[str, ...]) -> None:
    assert tuple(language.code for language in find_by_any_name(name)) == codes


@pytest.mark.parametrize(
    ("settings", "vocabulary", "name", "expected"),
    [
        ({"source_lang": "en", "target_lang": "zh"}, {}, "x", Directions(("en",), ("zh-Hans",))),
        ({"source_lang": "eng", "target_lang": "zho"}, {}, "x", Directions(("en",), ("zh-Hans",))),
        ({}, {}, "Helsinki-NLP/opus-mt-en-de", Directions(("en",), ("de",))),
        ({}, {}, "/models/opus-mt-tc-big-en-tr", Directions(("en",), ("tr",))),
        (
            {"source_lang": "eng", "target_lang": "zho"},
            {">>cmn_Hans<<": 7, ">>cmn_Hant<<": 8, ">>yue_Hans<<": 9},
            "Helsinki-NLP/opus-mt-en-zh",
            Directions(("en",), ("zh-Hans", "zh-Hant")),
        ),
        ({}, {">>fra<<": 7, ">>es<<": 8}, "opus-mt-en-ROMANCE", Directions(("en",), ("fr", "es"))),
        ({}, {}, "opus-mt-mul-en", Directions(tuple(code for code in EVERY if code != "en"), ("en",))),
    ],
)
def test_a_marian_checkpoint_serves_what_it_says(
    settings: dict[str, str], vocabulary: dict[str, int], name: str, expected: Directions
) -> None:
    assert marian_directions(settings, vocabulary, name) == expected


def test_a_marian_target_token_is_the_most_exact_there_is() -> None:
    simplified, traditional = get_language("zh", field=""), get_language("zh-TW", field="")
    assert marian_target_token(simplified, {">>cmn<<": 1, ">>cmn_Hans<<": 2}) == ">>cmn_Hans<<"
    assert marian_target_token(simplified, {">>zh<<": 1}) == ">>zh<<"
    assert marian_target_token(traditional, {">>cmn<<": 1, ">>zh<<": 2}) == ""
    assert marian_target_token(get_language("ar", field=""), {">>ara<<": 1}) == ">>ara<<"


def test_a_manifest_speaks_for_itself() -> None:
    lists = {"source_languages": ["en"], "target_languages": ["zh-Hans", "de"]}
    assert manifest_directions(lists) == Directions(("en",), ("zh-Hans", "de"))
    assert manifest_directions({"source_language": "en", "target_language": "zho"}) == Directions(("en",), ("zh-Hans",))
    assert manifest_directions({"source_languages": ["en"]}) is None
    assert manifest_directions({}) is None


def test_a_multilingual_checkpoint_serves_the_languages_of_its_tokens() -> None:
    known = {"en_XX": 4, "zh_CN": 5, "de_DE": 6, "other": 7}
    every = ("en", "zh-Hans", "de")
    assert column_directions("mbart", known, "mbart-large-50-many-to-many-mmt", None) == Directions(every, every)
    assert column_directions("mbart", known, "mbart-50-one-to-many", None) == Directions(("en",), ("zh-Hans", "de"))
    assert column_directions("mbart", known, "mbart-50-many-to-one", None) == Directions(("zh-Hans", "de"), ("en",))
    assert column_directions("mbart", known, "/a/directory", 4) == Directions(("zh-Hans", "de"), ("en",))


def test_a_t5_serves_what_its_prompts_name() -> None:
    tasks = dict.fromkeys(("summarization", "translation_en_to_de", "translation_en_to_fr"))
    assert prompted_directions(tasks, multilingual=False) == Directions(("en",), ("de", "fr"))
    assert prompted_directions({}, multilingual=False) == Directions(("en",), ("en",))
    assert prompted_directions({}, multilingual=True) == Directions(EVERY, EVERY)
