"""What a corpus run makes of every record, and with which settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum

from glossd.corpus.records import Record
from glossd.digests import DigestTask
from glossd.errors import InvalidInputError
from glossd.types import DecodeOptions, Priority, RequestOptions, SummaryOptions


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which texts to make and how. Model names are those that an engine knows; "" for its default.

    Two runs with equal recipes, models and inputs give equal rows.
    """

    target_language_code: str
    summary: bool = True
    translated_summary: bool = True
    translated_body: bool = True
    segments: bool = False
    summary_options: SummaryOptions = field(default_factory=SummaryOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    summary_model: str = ""
    translation_model: str = ""

    def check(self) -> None:
        """Raise ``InvalidInputError`` where there is nothing to make."""
        if not (self.summary or self.translated_summary or self.translated_body):
            raise InvalidInputError("recipe", "nothing to make: no summary, no translated summary, no translated body")

    @property
    def translates(self) -> bool:
        """Whether any of the texts is a translation."""
        return self.translated_summary or self.translated_body

    def task(self, record: Record) -> DigestTask:
        """The digest of a record that has all the texts asked for, and maybe others."""
        return DigestTask(
            document=record.document,
            target_language_code=self.target_language_code,
            summary=self.summary_options,
            summary_model=self.summary_model,
            translation_model=self.translation_model,
            translate_body=self.translated_body,
            decode=self.decode,
            options=RequestOptions(priority=Priority.BULK),
        )

    def as_json(self) -> dict[str, object]:
        """For the journal and the report: two recipes are the same if these are."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value.value if isinstance(value, Enum) else value
