"""The one language table: BCP-47 codes, scripts, and what each model family calls them. Strings only."""

from __future__ import annotations

from dataclasses import dataclass

from glossd.errors import UnsupportedLanguageError


@dataclass(frozen=True, slots=True)
class Language:
    """One language. ``code`` is BCP-47; the family columns are empty where the family does not know the language."""

    code: str
    name: str
    script: str
    iso: str
    mbart: str = ""
    m2m: str = ""
    nllb: str = ""


_TABLE: tuple[Language, ...] = (
    Language("en", "English", "Latn", "en", "en_XX", "en", "eng_Latn"),
    Language("zh-Hans", "Chinese", "Hans", "zh", "zh_CN", "zh", "zho_Hans"),
    Language("zh-Hant", "Chinese (Traditional)", "Hant", "zh", "", "", "zho_Hant"),
    Language("de", "German", "Latn", "de", "de_DE", "de", "deu_Latn"),
    Language("fr", "French", "Latn", "fr", "fr_XX", "fr", "fra_Latn"),
    Language("es", "Spanish", "Latn", "es", "es_XX", "es", "spa_Latn"),
    Language("it", "Italian", "Latn", "it", "it_IT", "it", "ita_Latn"),
    Language("pt", "Portuguese", "Latn", "pt", "pt_XX", "pt", "por_Latn"),
    Language("nl", "Dutch", "Latn", "nl", "nl_XX", "nl", "nld_Latn"),
    Language("pl", "Polish", "Latn", "pl", "pl_PL", "pl", "pol_Latn"),
    Language("ro", "Romanian", "Latn", "ro", "ro_RO", "ro", "ron_Latn"),
    Language("tr", "Turkish", "Latn", "tr", "tr_TR", "tr", "tur_Latn"),
    Language("vi", "Vietnamese", "Latn", "vi", "vi_VN", "vi", "vie_Latn"),
    Language("id", "Indonesian", "Latn", "id", "id_ID", "id", "ind_Latn"),
    Language("ru", "Russian", "Cyrl", "ru", "ru_RU", "ru", "rus_Cyrl"),
    Language("uk", "Ukrainian", "Cyrl", "uk", "uk_UA", "uk", "ukr_Cyrl"),
    Language("ar", "Arabic", "Arab", "ar", "ar_AR", "ar", "arb_Arab"),
    Language("hi", "Hindi", "Deva", "hi", "hi_IN", "hi", "hin_Deva"),
    Language("ja", "Japanese", "Jpan", "ja", "ja_XX", "ja", "jpn_Jpan"),
    Language("ko", "Korean", "Kore", "ko", "ko_KR", "ko", "kor_Hang"),
)

_ALIASES: dict[str, str] = {
    **dict.fromkeys(["zh", "zh-cn", "zh-sg"], "zh-hans"),
    **dict.fromkeys(["zh-tw", "zh-hk", "zh-mo"], "zh-hant"),
}
_BY_CODE: dict[str, Language] = {language.code.lower(): language for language in _TABLE}


def all_languages() -> tuple[Language, ...]:
    """Every language in the table, in its order."""
    return _TABLE


def find_language(code: str) -> Language | None:
    """The language of a BCP-47 code, case-insensitive, ``_`` as ``-``; a region is dropped ("en-GB" is English)."""
    tag = code.strip().replace("_", "-").lower()
    tag = _ALIASES.get(tag, tag)
    if tag in _BY_CODE:
        return _BY_CODE[tag]
    head, _, rest = tag.partition("-")
    if rest.startswith(("hans", "hant")):
        return _BY_CODE.get(f"{head}-{rest[:4]}")
    return _BY_CODE.get(_ALIASES.get(head, head))


def get_language(code: str, *, field: str) -> Language:
    """As :func:`find_language`, but raises ``UnsupportedLanguageError`` that names ``field``."""
    language = find_language(code)
    if language is None:
        known = ", ".join(entry.code for entry in _TABLE)
        raise UnsupportedLanguageError(field, f"unknown language {code[:40]!r}; known are {known}")
    return language
