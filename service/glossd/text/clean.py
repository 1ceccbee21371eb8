"""Makes a caller's text safe to work on: control characters, invisible marks and Unicode form. Nothing else changes.

What :func:`clean` does, in this order:

1. a lone surrogate (half a UTF-16 pair) raises ``InvalidInputError``; a byte order mark at the start goes away;
2. terminal escape sequences (``ESC [ ... letter``) are removed;
3. NUL, the other C0 controls except tab, line feed and carriage return, and DEL are removed;
4. C1 controls become what the same byte means in Windows-1252 (curly quotes, dashes, ellipsis), or are removed;
5. vertical tab, form feed, U+2028, U+2029 and a carriage return without a line feed become a line feed
   (a line feed with a carriage return before it stays as it is);
6. bidirectional controls, zero-width spaces and word joiners, soft hyphens, inner byte order marks, tags, object
   placeholders and non-characters are removed; joiners (U+200C, U+200D) stay unless two or more follow each other;
7. a run of more than 30 combining marks is cut to 30 (Unicode's stream-safe limit);
8. the text is put in normal form C.

Steps 2, 3, 4, 6 and 7 are reported by one ``CHARACTERS_REPLACED`` warning. Offsets inside of a document count code
points of the cleaned text; ``origins`` leads back to the caller's.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from glossd.errors import InvalidInputError
from glossd.text.origins import Traced
from glossd.types import Warning, WarningCode

_MAX_COMBINING_MARKS = 30
_LAST_COMBINING_CHARACTER = 0x1E94B

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE_SEQUENCE = re.compile("\x1b\\[[0-9;?]{0,32}[@-~]")
_LINE_BREAK = re.compile("\r(?!\n)|[\x0b\x0c\u2028\u2029]")
_REMOVED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffc\ufffe\uffff\U000e0000-\U000e007f]|[\u200c\u200d]{2,}"
)
_C1_CONTROL = re.compile("[\x80-\x9f]")


@dataclass(frozen=True, slots=True)
class CleanText:
    """A cleaned text and what had to be changed to get it.

    ``origins[i]`` is where character ``i`` of it stands in the caller's text, and the last one the length of that; None
    where nothing was changed.
    """

    text: str
    warnings: tuple[Warning, ...] = ()
    origins: Sequence[int] | None = None


def clean(text: str, *, field: str) -> CleanText:
    """The text with the changes listed in the module's docstring.

    Cleaning a cleaned text changes nothing. Raises ``InvalidInputError`` that names ``field`` for a lone surrogate.
    """
    surrogate = _SURROGATE.search(text)
    if surrogate is not None:
        where = f"code point {surrogate.start()} (U+{ord(surrogate.group()):04X})"
        raise InvalidInputError(field, f"{where} is a lone surrogate; the text is not valid Unicode")
    raw = text
    text = text.removeprefix("\ufeff")
    text, escapes = _ESCAPE_SEQUENCE.subn("", text)
    text, controls = _C1_CONTROL.subn(_from_windows_1252, text)
    text = _LINE_BREAK.sub("\n", text)
    text, removed = _REMOVED.subn("", text)
    stacks = 0
    if not text.isascii():
        text, stacks = _combining_stack().subn(lambda match: match.group()[:_MAX_COMBINING_MARKS], text)
        text = unicodedata.normalize("NFC", text)
    warnings = _warnings(escapes + controls + removed + stacks, text.count("\ufffd"))
    return CleanText(text, warnings, None if text == raw else trace_origins(raw))


def trace_origins(raw: str) -> Sequence[int]:
    """The steps of :func:`clean` once more, with the place that each character came from."""
    traced = Traced.of(raw)
    if raw.startswith("\ufeff"):
        traced = traced.replaced(re.compile("\\A\ufeff"), lambda match: "")
    traced = traced.replaced(_ESCAPE_SEQUENCE, lambda match: "")
    traced = traced.replaced(_C1_CONTROL, _from_windows_1252)
    traced = traced.replaced(_LINE_BREAK, lambda match: "\n")
    traced = traced.replaced(_REMOVED, lambda match: "")
    if not traced.text.isascii():
        traced = traced.replaced(_combining_stack(), lambda match: match.group()[:_MAX_COMBINING_MARKS]).composed()
    return array("q", [*traced.origins, len(raw)])  # a list of a million would take five times the memory


def _warnings(replaced: int, undecodable: int) -> tuple[Warning, ...]:
    warnings = []
    if replaced:
        message = f"{replaced} control, invisible or stacked character runs were removed or replaced"
        warnings.append(Warning(WarningCode.CHARACTERS_REPLACED, message))
    if undecodable:
        message = f"{undecodable} replacement characters (U+FFFD) in the text: it was decoded with a wrong encoding"
        warnings.append(Warning(WarningCode.CHARACTERS_REPLACED, message))
    return tuple(warnings)


def _from_windows_1252(match: re.Match[str]) -> str:
    return match.group().encode("latin-1").decode("cp1252", errors="ignore")


@functools.cache
def _combining_stack() -> re.Pattern[str]:
    """Runs of combining marks too long for canonical ordering, which takes quadratic time on them."""
    marks = [chr(code) for code in range(0x300, _LAST_COMBINING_CHARACTER) if unicodedata.combining(chr(code))]
    return re.compile(f"[{''.join(marks)}]{{{_MAX_COMBINING_MARKS + 1},}}")
