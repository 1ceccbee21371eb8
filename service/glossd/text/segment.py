"""Cuts a line into sentences and a long text into pieces that fit a model. Lossless; knows no documents, no models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from glossd.languages import find_language
from glossd.types import Span

_BLOCK_CHARACTERS = 4_000
"""Lines are given to the splitter in blocks of this size: it takes quadratic time on unclosed quotes."""

_WORD = re.compile(r"[^\W_]")
_TERMINAL = re.compile("[.!?\u2026。！？｡؟۔।॥]")
_SENTENCE_END = re.compile("[.!?\u2026。！？｡؟۔।॥][\"'”’»）)」』\\]]*\\s*\\Z")
_TITLE_END = re.compile(
    r"(?:^|[\s(\"'“‘])(?:Mr|Mrs|Ms|Dr|Prof|Gen|Col|Lt|Sgt|Capt|Cmdr|Adm|Sen|Rep|Gov|Rev|Hon|Messrs|St|vs|cf|Fig|Figs)\.\s*\Z"
)
_CLOCK_END = re.compile(r"[ap]\.m\.\s*\Z", re.IGNORECASE)
_CLOCK_NEXT = re.compile(
    r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:Jan|Febr)uary|March|April|May|June|July|August"
    r"|(?:Septem|Octo|Novem|Decem)ber|(?:[ECMP][SD]?T|GMT|UTC|BST|CET)\b"
)
_ADDRESS_END = re.compile(r"(?:^|\s)(?:www|https?://\S{1,200}|\S{1,80}@\S{1,80}|[\w-]{1,40}(?:\.[\w-]{1,40}){1,6})\.\Z")
_NAME_DOT_END = re.compile(r"(?:^|\s)[A-Z][a-z]{1,10}\.\Z")
_ASIDE = re.compile(r"\([^()]{1,1000}[.!?][\"'”’]?\)\s+(?=[\"'“‘(]?[A-Z])")

_CLAUSE_ENDS = (
    re.compile(r"[.!?;:\u2026][\"'”’)\]]*\s+|[。！？；：…]+[”’」』）》]*"),
    re.compile(r",[\"'”’)\]]*\s+|\s[–—-]+\s+|[，、]+[”’」』）》]*|—+"),
    re.compile(r"\s+"),
)

_CLAUSE_MARK = re.compile(r"[.!?;:,\u2026][\"'”’)\]]{0,3}\s+|\s[–—-]+\s+|[，；：。！？…]+[”’」』）》]*|—+")


def split_sentences(line: str, language_code: str | None) -> list[Span]:
    """The sentences of one line (no line feeds inside) as spans that follow each other and cover the whole line.

    The space after a sentence belongs to its span. A piece without a letter or digit joins the one before it (the next
    one for the first). Takes time linear in the length of the line, whatever is in it.
    """
    if not line:
        return []
    if _TERMINAL.search(line) is None:
        return [Span(0, len(line))]
    language = find_language(language_code) if language_code else None
    iso = language.iso if language else "en"
    pieces: list[str] = []
    joints: set[int] = set()
    for block in _blocks(line):
        if pieces and _SENTENCE_END.search(pieces[-1][-40:]) is None:
            joints.add(len(pieces))
        pieces += _split_asides(_library_pieces(block, iso))
    return _spans(_merge_false_ends(pieces, joints))


def split_long(text: str, *, count: Callable[[str], int], limit: int) -> list[str]:
    """Pieces of ``text``, each with ``count(piece) <= limit``, whose concatenation is exactly ``text``.

    Cut after a sentence or clause mark where there is one, else at a space, else (one endless word) between code
    points. ``count`` is called on strings of about the size of a piece, a bounded number of times for each piece. A
    single code point that alone exceeds the limit stays a piece of its own. Raises ``ValueError`` for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; at least 1 is needed")
    pieces: list[str] = []
    start = 0
    guess = limit * 4
    while start < len(text):
        longest = _longest_prefix(text, start, count=count, limit=limit, guess=guess)
        end = longest if longest == len(text) else _cut(text, start, longest, count=count, limit=limit)
        pieces.append(text[start:end])
        guess = max(end - start, 1)
        start = end
    return pieces


def split_clauses(text: str, *, count: Callable[[str], int], least: int) -> list[str]:
    """Pieces of ``text`` that end at clause marks, each with ``count(piece) >= least``; they concatenate to ``text``.

    One piece where there is no mark to cut at. ``count`` is called once for each mark.
    """
    pieces: list[str] = []
    start = 0
    for mark in _CLAUSE_MARK.finditer(text):
        if count(text[start : mark.end()]) >= least:
            pieces.append(text[start : mark.end()])
            start = mark.end()
    rest = text[start:]
    if pieces and count(rest) < least:
        pieces[-1] += rest
    elif rest:
        pieces.append(rest)
    return pieces


def _blocks(line: str) -> Iterator[str]:
    """The line in blocks of bounded length, cut after a space where there is one."""
    start = 0
    while len(line) - start > _BLOCK_CHARACTERS:
        end = start + _BLOCK_CHARACTERS
        window = line[start:end]
        cut = max((match.end() for match in _CLAUSE_ENDS[0].finditer(window, len(window) // 2)), default=0)
        cut = cut or window.rfind(" ", len(window) // 2) + 1 or len(window)
        yield line[start : start + cut]
        start += cut
    yield line[start:]


def _library_pieces(block: str, iso: str) -> list[str]:
    import sentencex  # the compiled library is loaded with the first text, not with the package

    pieces: list[str] = sentencex.segment(iso, block)
    return pieces if "".join(pieces) == block else [block]


def _split_asides(pieces: list[str]) -> list[str]:
    """Cuts after a whole sentence in parentheses, which the library joins to the sentence that follows."""
    result: list[str] = []
    for piece in pieces:
        aside = _ASIDE.match(piece) if piece.startswith("(") else None
        if aside is not None:
            result += [piece[: aside.end()], piece[aside.end() :]]
        else:
            result.append(piece)
    return result


def _merge_false_ends(pieces: list[str], joints: set[int]) -> list[list[str]]:
    """Groups of pieces that are one sentence; ``joints`` are the pieces that only continue a block."""
    groups: list[list[str]] = []
    wordless_head: list[str] = []
    for index, piece in enumerate(pieces):
        if groups and index in joints:
            groups[-1].append(piece)
        elif _WORD.search(piece) is None:
            (groups[-1] if groups else wordless_head).append(piece)
        elif groups and _is_false_end(groups[-1][-1], piece):
            groups[-1].append(piece)
        else:
            groups.append([*wordless_head, piece])
            wordless_head = []
    return groups or [wordless_head]


def _is_false_end(before: str, after: str) -> bool:
    """True where a full stop between two pieces belongs to an abbreviation, a time of day or an address."""
    tail = before[-400:]
    if not tail.rstrip().endswith("."):
        return False
    if _TITLE_END.search(tail):
        return True
    if _CLOCK_END.search(tail):
        return _CLOCK_NEXT.match(after) is not None
    if tail[-1] != "." or after[:1].isspace():
        return False
    return bool(_ADDRESS_END.search(tail)) or bool(
        _NAME_DOT_END.search(tail) and re.match(r"(?:com|net|org|js|Js|NET)\b", after)
    )


def _spans(groups: list[list[str]]) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for group in groups:
        end = start + sum(map(len, group))
        spans.append(Span(start, end))
        start = end
    return spans


def _longest_prefix(text: str, start: int, *, count: Callable[[str], int], limit: int, guess: int) -> int:
    """The largest ``end`` found by doubling and bisecting with ``count(text[start:end]) <= limit``; more than start."""
    low, high = start + 1, min(len(text), start + max(guess, 2))
    while count(text[start:high]) <= limit:
        low = high
        if high == len(text):
            return high
        high = min(len(text), start + 2 * (high - start))
    while high - low > max(1, (high - start) // 64):
        middle = (low + high) // 2
        if count(text[start:middle]) <= limit:
            low = middle
        else:
            high = middle
    return low


def _cut(text: str, start: int, end: int, *, count: Callable[[str], int], limit: int) -> int:
    """The best place to cut before ``end``: a strong clause mark, a weak one, a space; in the second half if it can."""
    window = text[start:end]
    for mark in _CLAUSE_ENDS:
        places = [match.end() for match in mark.finditer(window) if match.end() * 2 >= len(window)]
        for place in reversed(places[-3:]):
            if count(window[:place]) <= limit:
                return start + place
    place = window.rfind(" ") + 1
    if place and count(window[:place]) <= limit:
        return start + place
    place = _whole_characters(text, start, end)
    return place if count(text[start:place]) <= limit else end


def _whole_characters(text: str, start: int, end: int) -> int:
    """Moves a cut in an endless word back so that combining marks and joiners stay with their letter."""
    for back in range(min(8, end - start - 1)):
        character = text[end - back]
        if not ("\u0300" <= character <= "\u036f" or character in "\u200d\ufe0f" or text[end - back - 1] == "\u200d"):
            return end - back
    return end
