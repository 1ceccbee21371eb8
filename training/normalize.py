"""Source and target text normalization shared by training and inference. Strings only; no tokenization."""

from __future__ import annotations

import re
import unicodedata

_SOURCE_TABLE = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u02bc": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2212": "-",
        "\u2026": "...",
        "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ",
        "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None, "\u00ad": None,
    }
)  # fmt: skip
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) +(?=[,;:!?](?:\s|$))")
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_MARK = "，。！？；：、（）《》“”‘’…"
_SPACE_NEAR_HAN = re.compile(rf"(?<=[{_HAN}{_MARK}]) +| +(?=[{_HAN}{_MARK}])")


def normalize_source(text: str) -> str:
    """Return English text as the model was trained to read it: NFC, straight quotes, "-" for short dashes, "..." for an
    ellipsis, plain single spaces, no invisible characters, and no space before , ; : ! ?.
    """
    text = unicodedata.normalize("NFC", text).translate(_SOURCE_TABLE)
    text = _SPACES.sub(" ", text).strip()
    return _SPACE_BEFORE_MARK.sub("", text)


def normalize_target(text: str) -> str:
    """Return Chinese text as the model learns to write it: NFC and no space beside a Chinese character or mark."""
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()
    return _SPACE_NEAR_HAN.sub("", text)
