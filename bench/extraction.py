"""Measures the extraction of main content by line on the labelled pages: the table in ``docs/extraction.md``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from glossd.types import MimeType

from tests.pages import Counts, LabelledPage, count, extract, kept_lines, labelled_pages

PAGE = Path(__file__).resolve().parents[1] / "docs/extraction.md"
_MARKS = ("<!-- measured -->", "<!-- end -->")


def main() -> None:
    """Measures, prints, and puts the table into the page between its marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--faults", action="store_true", help="print each line that was kept or lost wrongly")
    options = parser.parse_args()
    pages = labelled_pages()
    if options.faults:
        print("\n".join(fault for page in pages for fault in faults(page)))
    lines = list(table(pages))
    print("\n".join(lines))
    head, _, rest = options.page.read_text(encoding="utf-8").partition(_MARKS[0])
    tail = rest.partition(_MARKS[1])[2]
    options.page.write_text(f"{head}{_MARKS[0]}\n{chr(10).join(lines)}\n{_MARKS[1]}{tail}", encoding="utf-8")


def table(pages: list[LabelledPage]) -> Iterator[str]:
    """A Markdown table: a row for each layout, then for each form and language, then for all."""
    yield "| layout | language | form | pages | body lines | other lines | precision | recall |"
    yield "|---|---|---|---|---|---|---|---|"
    groups: dict[tuple[str, str, str], list[LabelledPage]] = {}
    for page in pages:
        form = "HTML" if page.mime_type is MimeType.HTML else "text"
        groups.setdefault((page.layout, page.language_code, form), []).append(page)
        groups.setdefault(("**all**", page.language_code, form), []).append(page)
    totals = {key: group for key, group in groups.items() if key[0] == "**all**"}
    for key, group in [*((key, group) for key, group in groups.items() if key not in totals), *totals.items()]:
        yield _row(*key, group)
    for name, fresh in (("**written for tuning**", False), ("**written after**", True)):
        yield _row(name, "both", "both", [page for page in pages if page.fresh is fresh])
    yield _row("**all**", "both", "both", pages)


def faults(page: LabelledPage) -> Iterator[str]:
    """The lines on which labels and extraction differ."""
    document = extract(page)
    kept = kept_lines(page, document)
    for number, line in enumerate(page.lines):
        if line.keep is not None and line.keep is not (number in kept):
            yield f"{page.layout}: {'lost' if line.keep else 'kept'}: {line.text[:100]}"
    if document.warnings:
        yield f"{page.layout}: {[warning.code.value for warning in document.warnings]}"


def _row(layout: str, language: str, form: str, pages: list[LabelledPage]) -> str:
    counts = sum((count(page, extract(page)) for page in pages), Counts())
    labels = [line.keep for page in pages for line in page.lines]
    sizes = f"{len(pages)} | {labels.count(True)} | {labels.count(False)}"
    return f"| {layout} | {language} | {form} | {sizes} | {counts.precision:.3f} | {counts.recall:.3f} |"


if __name__ == "__main__":
    main()
