"""What a page of HTML says: its main content through trafilatura, or all of it with its template. No labels here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glossd.text.template import Template, read_template
from glossd.types import Extraction, Warning, WarningCode

_BLANK = re.compile(r"\s+")
_CAPTIONS = ("//figcaption", "//div[img][not(.//p or .//br)][string-length(normalize-space(.)) < 200]")
"""What stands with a picture in a box of its own and has no mark of a caption in its words."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says. ``extraction`` is what is still to be done on ``text``; ``title`` and ``date`` may be "".

    ``template`` is there where the whole page is to be answered as a page.
    """

    text: str
    title: str
    date: str
    extraction: Extraction
    warnings: tuple[Warning, ...] = ()
    origins: Sequence[int] | None = None
    template: Template | None = None


def read_page(source: str, extraction: Extraction) -> Page:
    """The page's text: headline, date and body for MAIN_CONTENT, every visible block for FULL.

    Where trafilatura finds no main content, the whole page's text is given and MAIN_CONTENT is left to the line scorer.
    Text without any tag comes back as it is.
    """
    if "<" not in source:
        return Page(source, "", "", extraction)
    if extraction is Extraction.FULL:
        template = read_template(source)
        return Page(template.text, "", "", extraction, template=template)
    dropped = Warning(WarningCode.MARKUP_DROPPED, "HTML became plain text; offsets count that text")
    found = _main_content(source)
    if found is not None:
        title, date, text = found
        head = [title] if title and title not in text.split("\n", 4)[:4] else []
        return Page("\n".join([*head, text]), title, date, Extraction.FULL, (dropped,))
    return Page(read_template(source).text, "", "", extraction, (dropped,))


def _main_content(source: str) -> tuple[str, str, str] | None:
    """Title, date and text as trafilatura sees them; None where it finds no main content."""
    import trafilatura  # slow to import, and only pages need it

    found: Any = trafilatura.bare_extraction(
        source, with_metadata=True, include_comments=False, include_tables=True, prune_xpath=list(_CAPTIONS)
    )
    if found is None or not (found.text or "").strip():
        return None
    return _one_line(found.title), _one_line(found.date), "\n".join(map(str.strip, found.text.strip().split("\n")))


def _one_line(text: str | None) -> str:
    return _BLANK.sub(" ", text or "").strip()
