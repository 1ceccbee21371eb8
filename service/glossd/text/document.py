"""A document as parts and segments: :func:`parse` takes a text apart, :func:`rebuild` puts other texts into its places.

Strings and offsets only; what a line is worth is decided in ``extract``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from glossd.errors import InvalidInputError
from glossd.languages import find_language
from glossd.text.clean import clean
from glossd.text.extract import Label, Labels, label_lines
from glossd.text.lines import Line, LineForm, has_letter, read_lines
from glossd.text.markup import Page, read_page
from glossd.text.segment import split_sentences
from glossd.text.target import is_unspaced, joins_without_space
from glossd.text.template import InlineTag, Template
from glossd.types import DocumentInput, Extraction, MimeType, Span, Warning, WarningCode


class PartKind(Enum):
    """What a part is. CODE (code, addresses, markup) has no segments; RESIDUE is what a page puts around an article."""

    TITLE = "title"
    DATE = "date"
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    CAPTION = "caption"
    CODE = "code"
    RESIDUE = "residue"


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence. ``text`` is ``document.source[source.start:source.end]`` without white space around it.

    In a page that is answered as one, ``markup`` is the same as the page has it, with its ``tags`` and entities.
    """

    index: int
    text: str
    source: Span
    part: int
    markup: str = ""
    tags: tuple[InlineTag, ...] = ()

    @property
    def written(self) -> str:
        """The sentence as it stands in the form that its document has."""
        return self.markup or self.text


@dataclass(frozen=True, slots=True)
class Part:
    """One line (in Markdown: one paragraph) of the source that holds something; ``segments`` are indices into the
    document's segments.
    """

    kind: PartKind
    span: Span
    segments: range


@dataclass(frozen=True, slots=True)
class Document:
    """A cleaned text taken apart. Offsets are code points of ``source``.

    ``kept`` are the ranges of line numbers (from 0, end exclusive) that parts come from. ``title`` and ``date`` are ""
    where none was found. ``origins`` leads from ``source`` (from the page, with a ``template``) to the caller's text,
    where cleaning changed that.
    """

    source: str
    mime_type: MimeType
    language_code: str | None
    parts: tuple[Part, ...]
    segments: tuple[Segment, ...]
    kept: tuple[Span, ...]
    title: str
    date: str
    warnings: tuple[Warning, ...]
    origins: Sequence[int] | None = None
    template: Template | None = None

    def original(self, span: Span) -> Span:
        """A range of ``source`` as a range of the caller's text (of ``source`` for the main content of a page)."""
        if self.template is not None and span.end > span.start:
            span = self.template.span(span)
        if self.origins is None:
            return span
        return Span(
            self.origins[span.start], self.origins[span.end] if span.end > span.start else self.origins[span.start]
        )

    def segments_of(self, part: Part) -> tuple[Segment, ...]:
        """The segments of a part in order."""
        return self.segments[part.segments.start : part.segments.stop]

    def body_parts(self) -> Iterator[tuple[Part, tuple[Segment, ...]]]:
        """Headings, paragraphs, list items and captions that have segments, each with its segments, in order."""
        outside = (PartKind.TITLE, PartKind.DATE, PartKind.CODE, PartKind.RESIDUE)
        for part in self.parts:
            if part.kind not in outside and part.segments:
                yield part, self.segments_of(part)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A document's text with other words in it.

    ``targets[i]`` is where the target of segment ``i`` stands in ``text`` and ``separators[i]`` what stands between the
    one before and it (before the first: the leading text), so that separators and targets in turn, then ``tail``,
    give ``text``.
    """

    text: str
    targets: tuple[Span, ...]
    separators: tuple[str, ...]
    tail: str


def parse(document: DocumentInput, *, language_code: str | None = None, field: str = "document") -> Document:
    """Takes a document apart: cleans it, reads its lines, labels them, and splits each line into sentences.

    HTML becomes plain text first; the whole of a page keeps its template. ``language_code`` stands in where the
    document names no language; without either, sentences are split by the English rules. With MAIN_CONTENT only
    headline, date line and body become parts; when no body can be told apart, everything is kept, with an
    ``EXTRACTION_UNCERTAIN`` warning.

    Raises ``InvalidInputError`` for ``field + ".text"`` when the text is empty, blank, not Unicode or has no letter.
    """
    code = document.language_code or language_code
    page = _read_source(document, f"{field}.text")
    source, warnings = page.text, list(page.warnings)
    lines = read_lines(source, markdown=document.mime_type is MimeType.MARKDOWN)
    trusted = page.extraction is not document.extraction
    labels = label_lines(source, lines, title=page.title, date=page.date, trusted=trusted)
    if page.extraction is Extraction.FULL and not trusted:
        labels = labels.keeping_everything()
    else:
        if document.mime_type is MimeType.MARKDOWN:
            labels = labels.keeping_unlinked(source, lines)
        if labels.uncertain:
            warnings.append(Warning(WarningCode.EXTRACTION_UNCERTAIN, labels.uncertain))
    parts, segments = _parts_and_segments(source, lines, labels, code)
    if page.template is not None:
        segments = tuple(_in_page(segment, page.template) for segment in segments)
    pairs = zip(lines, labels.keeps, strict=True)
    if not segments:
        raise InvalidInputError(f"{field}.text", "there are no letters in it, so nothing to work on")
    kept = _ranges([Span(line.number, line.number + line.count) for line, keep in pairs if keep])
    return Document(
        source,
        document.mime_type,
        code,
        parts,
        segments,
        kept,
        labels.title,
        labels.date,
        tuple(warnings),
        page.origins,
        page.template,
    )


def rebuild(document: Document, targets: Sequence[str], *, language_code: str) -> Rebuilt:
    """Puts one target per segment into the document's places; everything between segments stays as it was.

    With the segments as they are ``written`` and the document's own language this gives ``document.source`` (with a
    template: the page) exactly, where every line was kept. Between two sentences of one part the space goes away when
    ``language_code`` is written without spaces, and a space comes in when only the source is. With MAIN_CONTENT the
    text has the kept parts alone, with the line breaks that stood before each.

    Raises ``ValueError`` when the number of targets is not the number of segments.
    """
    if len(targets) != len(document.segments):
        raise ValueError(f"{len(targets)} targets for {len(document.segments)} segments")
    gaps = _gaps(document)
    same = document.language_code is not None and _same_language(document.language_code, language_code)
    unspaced = is_unspaced(language_code)
    pieces: list[str] = []
    spans: list[Span] = []
    separators: list[str] = []
    length = 0
    for segment, target, gap in zip(document.segments, targets, gaps, strict=False):
        inner = segment.index > 0 and document.segments[segment.index - 1].part == segment.part
        if inner and not same:
            gap = _inner_gap(gap, targets[segment.index - 1], target, unspaced=unspaced)
        separators.append(gap)
        spans.append(Span(length + len(gap), length + len(gap) + len(target)))
        pieces += (gap, target)
        length = spans[-1].end
    pieces.append(gaps[-1])
    return Rebuilt("".join(pieces), tuple(spans), tuple(separators), gaps[-1])


def _read_source(document: DocumentInput, field: str) -> Page:
    """The document's text cleaned, and for HTML extracted and cleaned again, for entities can hide anything."""
    cleaned = clean(document.text, field=field)
    _check_not_blank(cleaned.text, field)
    if document.mime_type is not MimeType.HTML:
        return Page(cleaned.text, "", "", document.extraction, cleaned.warnings, cleaned.origins)
    page = read_page(cleaned.text, document.extraction)
    text = clean(page.text, field=field)
    _check_not_blank(text.text, field)
    warnings = (*cleaned.warnings, *page.warnings, *text.warnings)
    template = page.template
    if template is None:
        return replace(page, text=text.text, warnings=warnings)
    if text.origins is not None:
        template = template.edited(text.text, text.origins)
    return replace(page, text=text.text, warnings=warnings, origins=cleaned.origins, template=template)


def _check_not_blank(text: str, field: str) -> None:
    if not text:
        raise InvalidInputError(field, "it is empty")
    if not text.strip():
        raise InvalidInputError(field, f"it has only white space ({len(text):,} characters)")


def _same_language(one: str, other: str) -> bool:
    first, second = find_language(one), find_language(other)
    return first is second if first and second else one == other


_KINDS = {
    Label.TITLE: PartKind.TITLE,
    Label.DATE: PartKind.DATE,
    Label.HEADING: PartKind.HEADING,
    Label.BODY: PartKind.PARAGRAPH,
    Label.CAPTION: PartKind.CAPTION,
    Label.RESIDUE: PartKind.RESIDUE,
}


def _kind(line: Line, label: Label) -> PartKind:
    if line.form is LineForm.CODE:
        return PartKind.CODE
    if line.form is LineForm.BARE:
        return PartKind.RESIDUE
    if line.form is LineForm.LIST_ITEM and label is Label.BODY:
        return PartKind.LIST_ITEM
    return _KINDS[label]


def _parts_and_segments(
    source: str, lines: tuple[Line, ...], labels: Labels, code: str | None
) -> tuple[tuple[Part, ...], tuple[Segment, ...]]:
    parts: list[Part] = []
    segments: list[Segment] = []
    for line, label, keep in zip(lines, labels.labels, labels.keeps, strict=True):
        if not keep or line.form is LineForm.BLANK:
            continue
        first = len(segments)
        for body in line.bodies:
            for sentence in _sentences(source, body, code):
                text = source[sentence.start : sentence.end]
                segments.append(Segment(len(segments), text, sentence, len(parts)))
        parts.append(Part(_kind(line, label), line.span, range(first, len(segments))))
    return tuple(parts), tuple(segments)


_SPACES_FOR_BREAKS = {ord("\n"): " ", ord("\r"): " "}


def _sentences(source: str, body: Span, code: str | None) -> Iterator[Span]:
    """The sentences of a body that hold a letter, without the white space around them."""
    text = source[body.start : body.end]
    for span in split_sentences(text.translate(_SPACES_FOR_BREAKS), code):
        sentence = text[span.start : span.end]
        if has_letter(sentence):
            start = body.start + span.start + len(sentence) - len(sentence.lstrip())
            yield Span(start, start + len(sentence.strip()))


def _in_page(segment: Segment, template: Template) -> Segment:
    place = template.span(segment.source)
    return replace(segment, markup=template.html[place.start : place.end], tags=template.tags_in(segment.source))


def _gaps(document: Document) -> list[str]:
    """What stands before each segment and after the last one, without the lines that were left out."""
    if document.template is not None:
        return _gaps_of_page(document, document.template)
    source = document.source
    gaps: list[str] = []
    pending = ""
    position = 0
    for part in document.parts:
        pending += _between(source, position, part.span.start)
        position = part.span.start
        for segment in document.segments_of(part):
            gaps.append(pending + source[position : segment.source.start])
            pending, position = "", segment.source.end
        pending += source[position : part.span.end]
        position = part.span.end
    rest = source[position:]
    gaps.append(pending + (rest if not rest.strip() else ""))
    return gaps


def _gaps_of_page(document: Document, template: Template) -> list[str]:
    places = [template.span(segment.source) for segment in document.segments]
    starts = [*(place.start for place in places), len(template.html)]
    ends = [0, *(place.end for place in places)]
    return [template.html[end:start] for end, start in zip(ends, starts, strict=True)]


def _between(source: str, start: int, end: int) -> str:
    """The text between two parts; where lines were left out, only the blank that stands before the second."""
    gap = source[start:end]
    blank = gap[len(gap.rstrip()) :]
    if len(blank) == len(gap):
        return gap
    return blank if start else ""


def _inner_gap(gap: str, before: str, after: str, *, unspaced: bool) -> str:
    if unspaced:
        return "" if gap.isspace() and joins_without_space(before, after) else gap
    return " " if not gap and before and after and not before[-1].isspace() else gap


def _ranges(ranges: list[Span]) -> tuple[Span, ...]:
    """Ranges in order, those that touch made one."""
    spans: list[Span] = []
    for each in ranges:
        if spans and spans[-1].end == each.start:
            spans[-1] = Span(spans[-1].start, each.end)
        else:
            spans.append(each)
    return tuple(spans)
