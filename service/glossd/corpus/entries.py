"""One thing found in an input, before it is numbered: an article, or what is wrong with it. Strings only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from glossd.corpus.records import Failure, Place
from glossd.languages import find_language
from glossd.types import DocumentInput, Extraction, MimeType

BAD_RECORD = "BAD_RECORD"
TOO_LONG = "TOO_LONG"
EMPTY = "EMPTY"
BAD_UTF8 = "BAD_UTF8"
UNREADABLE = "UNREADABLE"
DEFAULT_ID_FIELD = "id"


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a record hold what. ``id`` "" takes ``id`` where a record has it, else its file and line.

    ``title`` stands before the text, with a blank line between; ``language`` and ``mime_type`` are the record's own.
    """

    text: str = "text"
    id: str = ""
    title: str = ""
    language: str = ""
    mime_type: str = ""

    def names(self) -> tuple[str, ...]:
        """Every field that is read."""
        wanted = (self.text, self.id or DEFAULT_ID_FIELD, self.title, self.language, self.mime_type)
        return tuple(dict.fromkeys(name for name in wanted if name))


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How records become documents. What is None is told by the record or the file, else found out.

    ``largest_bytes`` is the most that one record may have in the input, decompressed.
    """

    fields: Fields = field(default_factory=Fields)
    language_code: str | None = None
    mime_type: MimeType | None = None
    extraction: Extraction = Extraction.MAIN_CONTENT
    largest_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found at a place: a document with its id, or a failure (then ``id`` may be "")."""

    place: Place
    id: str
    content: DocumentInput | Failure


def too_long(place: Place, size: int, settings: ReadSettings) -> Entry:
    """An entry for something that exceeds the limit."""
    message = f"{size:,} bytes; the limit for a record is {settings.largest_bytes:,}"
    return Entry(place, "", Failure(TOO_LONG, message))


def bad_utf8(place: Place, error: UnicodeDecodeError) -> Entry:
    """An entry for bytes that are not UTF-8."""
    message = f"byte {error.start:,} of {len(error.object):,} is not UTF-8"
    return Entry(place, "", Failure(BAD_UTF8, message))


def text_entry(text: str, place: Place, mime_type: MimeType, settings: ReadSettings) -> Entry:
    """A whole file as one article; its name is its id."""
    document = DocumentInput(text, settings.mime_type or mime_type, settings.language_code, settings.extraction)
    return _entry(place, place.file, document)


def record_entry(values: Mapping[str, object], place: Place, settings: ReadSettings) -> Entry:
    """A record with fields as one article."""
    fields = settings.fields
    id_ = ""
    try:
        id_ = _id(values, place, fields)
        text = _string(values, fields.text, required=True)
        title = _string(values, fields.title)
        if len(text) + len(title) > settings.largest_bytes:
            return too_long(place, len(text) + len(title), settings)
        document = DocumentInput(
            text=f"{title}\n\n{text}" if title else text,
            mime_type=_mime_type(values, settings),
            language_code=_language(values, settings),
            extraction=settings.extraction,
        )
    except ValueError as error:
        return Entry(place, id_, Failure(BAD_RECORD, str(error)))
    return _entry(place, id_, document)


def _entry(place: Place, id_: str, document: DocumentInput) -> Entry:
    if not document.text.strip():
        return Entry(place, id_, Failure(EMPTY, "the text is empty"))
    try:
        f"{id_}{document.text}".encode()
    except UnicodeEncodeError as error:
        message = f"half of a surrogate pair at character {error.start:,}"
        return Entry(place, "", Failure(BAD_UTF8, message))
    return Entry(place, id_, document)


def _id(values: Mapping[str, object], place: Place, fields: Fields) -> str:
    value = values.get(fields.id or DEFAULT_ID_FIELD)
    if value is None or value == "":
        if fields.id:
            raise ValueError(f"no field {fields.id!r}" if fields.id not in values else f"field {fields.id!r} is empty")
        return f"{place.file}:{place.line}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"field {fields.id or DEFAULT_ID_FIELD!r} is {_kind(value)}, not text or a whole number")
    return str(value)


def _string(values: Mapping[str, object], name: str, *, required: bool = False) -> str:
    value = values.get(name) if name else ""
    if value is None and not required:
        return ""
    if value is None:
        raise ValueError(f"no field {name!r}" if name not in values else f"field {name!r} is null")
    if not isinstance(value, str):
        raise ValueError(f"field {name!r} is {_kind(value)}, not text")
    return value


def _language(values: Mapping[str, object], settings: ReadSettings) -> str | None:
    given = _string(values, settings.fields.language)
    if not given:
        return settings.language_code
    language = find_language(given)
    if language is None:
        raise ValueError(f"field {settings.fields.language!r}: unknown language {given[:20]!r}")
    return language.code


def _mime_type(values: Mapping[str, object], settings: ReadSettings) -> MimeType:
    given = _string(values, settings.fields.mime_type)
    if not given:
        return settings.mime_type or MimeType.PLAIN
    try:
        return MimeType(given)
    except ValueError:
        known = ", ".join(kind.value for kind in MimeType)
        raise ValueError(f"field {settings.fields.mime_type!r}: {given[:40]!r} is not one of {known}") from None


def _kind(value: object) -> str:
    """The kind of a value in the words of JSON."""
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}
    return kinds.get(type(value), f"a {type(value).__name__}")
