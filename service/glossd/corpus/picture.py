"""The report as a picture, with matplotlib: lengths of articles, how short summaries are, languages, speed, errors."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

from glossd.corpus.report import Report
from glossd.corpus.tally import RATIO_STEP

_COLOUR, _FAULT = "#33658a", "#a4243b"
_MOST_BARS = 12
SHORTEST_STRETCH = 0.1  # of the whole time


def draw(report: Report) -> bytes | None:
    """A PNG; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(12, 7), layout="constrained")
    lengths, compression, speed, tokens, languages, errors = figure.subplots(2, 3).flat
    tally = report.tally
    _bars(lengths, _by_number(tally.lengths), "Characters of an article, from", "articles")
    _compression(compression, tally.compression)
    _speed(speed, report, of_tokens=False)
    _speed(tokens, report, of_tokens=True)
    _bars(languages, tally.languages.most_common(_MOST_BARS), "Language", "articles")
    _bars(errors, tally.reasons.most_common(_MOST_BARS) or [("none", 0)], "Errors by reason", "records", colour=_FAULT)
    records = tally.rows + tally.errors
    figure.suptitle(f"{records:,} records: {tally.rows:,} rows, {tally.errors:,} errors, {report.seconds:,.0f} s")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _by_number(counts: Counter[str]) -> list[tuple[str, int]]:
    return [(f"{int(name):,}", count) for name, count in sorted(counts.items(), key=lambda item: int(item[0]))]


def _bars(axes: Any, counts: list[tuple[str, int]], title: str, unit: str, *, colour: str = _COLOUR) -> None:
    axes.bar([name for name, _ in counts], [count for _, count in counts], width=0.6, color=colour)
    axes.set_xlim(-1, len(counts))
    axes.set_ylim(0, 1.05 * max(1, *(count for _, count in counts)) if counts else 1)
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.tick_params(axis="x", labelrotation=45 if len(counts) > 4 else 0)


def _compression(axes: Any, counts: Counter[str]) -> None:
    lower = sorted(float(name) for name in counts)
    heights = [counts[f"{start:.2f}"] for start in lower]
    axes.bar([start + RATIO_STEP / 2 for start in lower], heights, width=RATIO_STEP * 0.9, color=_COLOUR)
    axes.set_xlim(0, 1)
    axes.set_title("Summary by article, in characters")
    axes.set_ylabel("articles")


def _speed(axes: Any, report: Report, *, of_tokens: bool) -> None:
    """Rates over stretches of time: shards end in bunches, and a stretch is long enough to have several."""
    times, rates, before, amount = list[float](), list[float](), 0.0, 0
    for moment in report.moments:
        amount += moment.output_tokens if of_tokens else moment.records
        if moment.until - before >= report.seconds * SHORTEST_STRETCH and moment.until > before:
            times += [before, moment.until]
            rates += [amount / (moment.until - before)] * 2
            before, amount = moment.until, 0
    axes.plot(times, rates, color=_COLOUR)
    axes.set_ylim(bottom=0)
    axes.set_title("Output tokens a second" if of_tokens else "Records a second")
    axes.set_xlabel("seconds")
