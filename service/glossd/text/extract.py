"""Placeholder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from glossd.text.lines import Line, LineForm


class Label(Enum):
    """What a line is to the article."""

    TITLE = "title"
    DATE = "date"
    HEADING = "heading"
    BODY = "body"
    CAPTION = "caption"
    RESIDUE = "residue"


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels."""

    labels: tuple[Label, ...]
    keeps: tuple[bool, ...]
    title: str = ""
    date: str = ""
    uncertain: str = ""

    def keeping_everything(self) -> Labels:
        """All lines kept."""
        return replace(self, keeps=(True,) * len(self.keeps))


def label_lines(source: str, lines: tuple[Line, ...], *, title: str = "", date: str = "") -> Labels:
    """Labels."""
    return Labels(
        tuple(Label.HEADING if line.form is LineForm.HEADING else Label.BODY for line in lines),
        (True,) * len(lines),
        title,
        date,
    )
