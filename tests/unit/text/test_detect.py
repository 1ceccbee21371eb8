"""Language detection: script first, statistics for Latin script, and "und" where there is nothing to go by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from glossd.text.detect import LanguageDetector

from .conftest import Pairs


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector(["en", "zh"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The council met on Monday and talked about the bridge.", "en"),
        ("Le président français a annoncé hier une nouvelle loi.", "fr"),
        ("Der Bundestag hat gestern ein neues Gesetz beschlossen.", "de"),
        ("El presidente anunció ayer una nueva ley.", "es"),
        ("Il presidente ha annunciato ieri una nuova legge.", "it"),
        ("O presidente anunciou ontem uma nova lei.", "pt"),
        ("De minister heeft gisteren een nieuwe wet aangekondigd.", "nl"),
        ("Premier ogłosił wczoraj nową ustawę.", "pl"),
        ("Başbakan dün yeni bir yasa açıkladı.", "tr"),
        ("Thủ tướng đã công bố luật mới hôm qua.", "vi"),
        ("Hello world", "en"),
        ("Привет, как дела? Это новая школа.", "ru"),
        ("Привіт, як справи? Це нова школа в Україні.", "uk"),
        ("こんにちは世界", "ja"),
        ("東京の首相官邸で会見した", "ja"),
        ("안녕하세요 세계", "ko"),
        ("مرحبا بالعالم", "ar"),
        ("नमस्ते दुनिया", "hi"),
        ("这是一个测试，国会发布了新的规则。", "zh-Hans"),
        ("這是一個測試，國會發布了新的規則。", "zh-Hant"),
        ("GDP增长3.5%，Apple公司iPhone", "zh-Hans"),
    ],
)
def test_the_language_is_named(detector: LanguageDetector, text: str, code: str) -> None:
    assert detector.detect(text).language_code == code


@pytest.mark.parametrize("text", ["", "   ", "12 34.5 %", "?!…", "Ελλάδα σήμερα", "🙂🙂"])
def test_no_letters_or_an_unknown_script_is_undetermined(detector: LanguageDetector, text: str) -> None:
    found = detector.detect(text)
    assert (found.language_code, found.confidence) == ("und", 0.0)


def test_confidence_is_high_for_a_paragraph_and_low_for_a_word(detector: LanguageDetector) -> None:
    assert (
        detector.detect("The council met on Monday and talked about the bridge for three long hours.").confidence > 0.9
    )
    assert detector.detect("OK").confidence < 0.5


def test_a_mixture_of_two_scripts_is_less_sure(detector: LanguageDetector) -> None:
    mixed = detector.detect("The council met on Monday. 市议会周一开会讨论了大桥问题。" * 3)
    assert 0.3 < mixed.confidence < 0.95


def test_authored_sentences_are_told_apart(detector: LanguageDetector, sentence_pairs: Pairs) -> None:
    found = [
        (detector.detect(one).language_code, detector.detect(other).language_code)
        for one, other in sentence_pairs.sentences
    ]
    assert sum(one == "en" for one, _ in found) >= 0.97 * len(found)
    assert all(other == "zh-Hans" for _, other in found)


def test_only_a_sample_of_a_long_text_is_read(detector: LanguageDetector) -> None:
    assert detector.detect("这是中文。" * 500 + "x" * 3_000_000).language_code == "zh-Hans"


def test_threads_share_one_detector() -> None:
    fresh = LanguageDetector(["en"])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fresh.detect, ["The council met on Monday and talked for hours."] * 32))
    assert {one.language_code for one in found} == {"en"}
