"""Tells an article's headline, date line and body from the lists of links around it, in plain text, by its lines alone.

Each line gets a score that is positive for prose (``cues``); the body is the contiguous run of lines with the largest
sum. Inside it sub-heads stay and captions, credits and furniture go; headline and date line are looked for above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate

from glossd.text.cues import Cues, read_cues
from glossd.text.lines import Line, LineForm
from glossd.text.words import terms

_LEAST_KEPT_SHARE = 0.3
_LEAST_TRUSTED_SHARE = 0.75
_LINES_ABOVE = 14
_LEAST_TITLE_SCORE = 0.3
_TITLE_WORDS = 4
_DECK_OVERLAP = 0.6
_LIST_OVERLAP = 0.4
_STEM = 5
_BOX_LINES = 12
_BOX_COST = 3.0
_LEAST_WORDS_AFTER_BOX = 20
_WRAP_LEAST = 40
_WRAP_MOST = 100
_WRAPPED_LINES = 3
_TOPIC_CHARACTERS = 20_000


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
    """One label and keep mark for each line. ``uncertain`` says why no body could be told apart, "" when it could."""

    labels: tuple[Label, ...]
    keeps: tuple[bool, ...]
    title: str = ""
    date: str = ""
    uncertain: str = ""

    def keeping_everything(self) -> Labels:
        """The same labels with every line kept."""
        return replace(self, keeps=(True,) * len(self.keeps))

    def keeping_unlinked(self, source: str, lines: Sequence[Line]) -> Labels:
        """The same labels, and no residue dropped but what holds a link: a writer's own lists and tables stay."""
        judged = zip(self.labels, self.keeps, lines, strict=True)
        return replace(self, keeps=tuple(keep or _is_unlinked(label, source, line) for label, keep, line in judged))


def _is_unlinked(label: Label, source: str, line: Line) -> bool:
    text = source[line.span.start : line.span.end]
    return label is Label.RESIDUE and "](" not in text and "://" not in text


def label_lines(
    source: str, lines: Sequence[Line], *, title: str = "", date: str = "", trusted: bool = False
) -> Labels:
    """Labels every line; ``title`` and ``date`` are what is known from elsewhere (a page's metadata).

    ``trusted`` says that somebody has already taken most of the residue away: what is judged to be some must then be
    less than a quarter of the words, else no line is called that.
    When no prose is found, or what would be kept holds less than 30 % of the words, every line is kept and
    ``uncertain`` says so.
    """
    cues = _with_wrapped([read_cues(source, line) for line in lines])
    run = _best_run(cues, _with_cheap_boxes(cues, list(_scores(cues))))
    labels = _Labeller(lines, cues, run).label()
    kept = [label not in (Label.CAPTION, Label.RESIDUE) for label in labels]
    reason = _doubt(lines, cues, kept, run)
    if trusted and (reason or _share_of_words(cues, kept) < _LEAST_TRUSTED_SHARE):
        labels = [
            _plain_label(line) if label is Label.RESIDUE else label for line, label in zip(lines, labels, strict=True)
        ]
        kept, reason = [True] * len(lines), ""
    elif reason:
        labels = [_plain_label(line) for line in lines]
        kept = [True] * len(lines)
    known = dict(_heads(cues, labels))
    return Labels(
        tuple(labels), tuple(kept), title or known.get(Label.TITLE, ""), date or known.get(Label.DATE, ""), reason
    )


def _with_wrapped(cues: Sequence[Cues]) -> list[Cues]:
    """The cues with hard-wrapped paragraphs marked: lines of like length, most of them broken inside a sentence."""
    marked = list(cues)
    start = 0
    for index in range(len(cues) + 1):
        if index < len(cues) and _may_be_wrapped(cues[index]) and len(cues[index].text) >= _WRAP_LEAST:
            continue
        stop = index + 1 if index < len(cues) and _may_be_wrapped(cues[index]) else index
        if stop - start >= _WRAPPED_LINES:
            broken = sum(cue.text[0].islower() or cue.text[0].isdigit() for cue in cues[start + 1 : stop])
            if 2 * broken >= stop - start - 1:
                marked[start:stop] = [replace(cue, wrapped=True) for cue in cues[start:stop]]
        start = index + 1
    return marked


def _may_be_wrapped(cue: Cues) -> bool:
    apart = cue.caption or cue.date or cue.credit or cue.furniture or cue.section or cue.piped
    return cue.form is LineForm.TEXT and not apart and 0 < len(cue.text) <= _WRAP_MOST


def _plain_label(line: Line) -> Label:
    return Label.HEADING if line.form is LineForm.HEADING else Label.BODY


def _heads(cues: Sequence[Cues], labels: Sequence[Label]) -> Iterator[tuple[Label, str]]:
    for cue, label in zip(cues, labels, strict=True):
        if label is Label.TITLE:
            yield label, cue.text
        elif label is Label.DATE:
            yield label, cue.date


def _doubt(lines: Sequence[Line], cues: Sequence[Cues], kept: Sequence[bool], run: range) -> str:
    """Why the labels should not be trusted; "" when they can be."""
    filled = sum(line.form is not LineForm.BLANK for line in lines)
    if not run:
        return "no paragraph was found; the whole text is kept" if filled > 2 else ""
    share = _share_of_words(cues, kept)
    if share < _LEAST_KEPT_SHARE:
        return f"the likely body has only {share:.0%} of the words; the whole text is kept"
    return ""


def _share_of_words(cues: Sequence[Cues], kept: Sequence[bool]) -> float:
    total = sum(cue.words for cue in cues)
    return sum(cue.words for cue, keep in zip(cues, kept, strict=True) if keep) / max(total, 1.0)


def _scores(cues: Sequence[Cues]) -> Iterator[float]:
    """The score of each line; list items under a paragraph that ends in a colon speak for the body."""
    introduced = False
    for cue in cues:
        if cue.form is LineForm.LIST_ITEM:
            yield max(cue.score, 0.1) if introduced and not cue.piped else cue.score
            continue
        if cue.form is not LineForm.BLANK:
            introduced = cue.prose and cue.open_end
        yield cue.score


def _with_cheap_boxes(cues: Sequence[Cues], scores: list[float]) -> list[float]:
    """The scores with those of a list of links between two paragraphs cut down, so that it does not part an article."""
    for index, cue in enumerate(cues):
        if not cue.section or not any(cues[place].prose for place in range(max(index - 2, 0), index)):
            continue
        inside = range(index, min(index + _BOX_LINES, len(cues)))
        after = next((place for place in inside if _strong(cues[place])), index)
        cost = -sum(scores[index:after])
        if cost > _BOX_COST:
            scores[index:after] = [score * _BOX_COST / cost for score in scores[index:after]]
    return scores


def _strong(cue: Cues) -> bool:
    return cue.prose and cue.terminal and cue.words >= _LEAST_WORDS_AFTER_BOX


def _best_run(cues: Sequence[Cues], scores: Sequence[float]) -> range:
    """The run of lines with the largest sum of scores (Kadane's algorithm), cut at a heading of links near its end."""
    best, best_sum, start, running = range(0), 0.0, 0, 0.0
    for index, score in enumerate(scores):
        if running <= 0:
            start, running = index, 0.0
        running += score
        if running > best_sum:
            best, best_sum = range(start, index + 1), running
    prose = list(accumulate((max(score, 0.0) for score in scores), initial=0.0))
    for index in best:
        before, after = prose[index] - prose[best.start], prose[best.stop] - prose[index]
        if cues[index].section and before and after < 0.5 * before:
            return range(best.start, _last_prose(cues, best.start, index) + 1)
    return best


def _stems(text: str) -> set[str]:
    """The beginnings of a text's longer words, and its pairs of wide characters."""
    return {term[:_STEM] for term in terms(text) if len(term) > 3 or not term.isascii()}


def _share(text: str, topic: set[str]) -> float:
    """The share of a text's word beginnings that a topic has too."""
    own = _stems(text)
    return len(own & topic) / len(own) if own else 0.0


def _last_prose(cues: Sequence[Cues], start: int, stop: int) -> int:
    return max((place for place in range(start, stop) if cues[place].prose), default=start)


class _Labeller:
    """Gives every line its label, knowing the run that holds the body."""

    def __init__(self, lines: Sequence[Line], cues: Sequence[Cues], run: range) -> None:
        self._lines = lines
        self._cues = cues
        self._run = run
        self._labels = [Label.CAPTION if cue.caption else Label.RESIDUE for cue in cues]
        self._topic = self._topic_stems()

    def label(self) -> list[Label]:
        """All labels, one for each line."""
        if self._run:
            self._label_body()
            self._label_head()
        else:
            self._labels = [_plain_label(line) for line in self._lines]
        return self._labels

    def _topic_stems(self) -> set[str]:
        """The word beginnings of the body's prose."""
        prose = [self._cues[index].text for index in self._run if self._cues[index].prose]
        return _stems("\n".join(prose)[:_TOPIC_CHARACTERS])

    def _overlap(self, text: str) -> float:
        return _share(text, self._topic)

    def _label_body(self) -> None:
        """Labels the run: prose and code are body; short lines and lists are judged group by group."""
        in_links = False
        group: list[int] = []
        before = -1
        for index in self._run:
            cue, form = self._cues[index], self._lines[index].form
            if cue.furniture and group and self._cues[index + 1 : index + 2] and self._cues[index + 1].furniture:
                group.pop()  # two pleas in a row are a box, and the line above them its heading
            if form in (LineForm.BLANK, LineForm.BARE) or cue.caption or cue.credit or cue.date or cue.furniture:
                continue
            if cue.section:
                in_links = True
            elif cue.prose or form is LineForm.CODE:
                in_links = in_links and cue.words < 15
                if not in_links:
                    self._label_group(group, before, index)
                    group, before = [], index
                    self._labels[index] = Label.BODY
            elif not in_links:
                group.append(index)
        self._label_group(group, before, -1)

    def _label_group(self, group: Sequence[int], before: int, after: int) -> None:
        """Labels consecutive lines that are no prose by themselves, between two lines that are."""
        headings = [index for index in group if self._lines[index].form is LineForm.HEADING]
        items = [index for index in group if self._lines[index].form in (LineForm.LIST_ITEM, LineForm.TABLE)]
        short = sorted(set(group) - set(items) - set(headings))
        introduced = before >= 0 and self._cues[before].open_end
        if items and (introduced or self._mean_overlap(items) >= _LIST_OVERLAP):
            for index in items:
                self._labels[index] = Label.BODY
        if len(short) == 1 or introduced or self._mean_overlap(short) >= _LIST_OVERLAP:
            headings += short
        for index in headings:
            if not self._cues[index].piped and (after >= 0 or index < (items or [-1])[-1]):
                self._labels[index] = Label.HEADING if self._cues[index].short else Label.BODY

    def _mean_overlap(self, indices: Sequence[int]) -> float:
        return sum(self._overlap(self._cues[index].text) for index in indices) / len(indices) if indices else 0.0

    def _label_head(self) -> None:
        """Finds the date line, the headline and the lines between headline and body that speak of the same thing."""
        above = [index for index in range(self._run.start) if self._lines[index].form is not LineForm.BLANK]
        above = above[-_LINES_ABOVE:]
        dates = [index for index in above if self._cues[index].date]
        titles = [index for index in above if self._may_be_title(index)]
        scores = {index: self._title_score(index, above, dates) for index in titles}
        title = max(titles, key=lambda index: scores[index], default=-1)
        if title < 0 or scores[title] <= _LEAST_TITLE_SCORE:
            title = -1
        else:
            self._labels[title] = Label.TITLE
        date = min(dates, key=lambda index: (index < title, abs(index - title)), default=-1)
        if date >= 0:
            self._labels[date] = Label.DATE
        for index in titles:
            if 0 <= title < index and self._overlap(self._cues[index].text) >= _DECK_OVERLAP:
                self._labels[index] = Label.HEADING

    def _may_be_title(self, index: int) -> bool:
        cue, form = self._cues[index], self._lines[index].form
        if form is LineForm.HEADING:
            return not cue.section
        other = cue.date or cue.caption or cue.credit or cue.furniture or cue.section or cue.piped or cue.path
        return form is LineForm.TEXT and not other and 1.5 <= cue.words <= 30

    def _title_score(self, index: int, above: Sequence[int], dates: Sequence[int]) -> float:
        """Shared words with the body, and a little each for length, for standing first or last, by a date or credit."""
        cue, place = self._cues[index], above.index(index)
        long = cue.words >= _TITLE_WORDS
        own = _stems(cue.text)
        score = len(own & self._topic) / (len(own) + 2) - 0.2 * own.isdisjoint(self._topic)
        score += 0.25 * (place == 0 and long) + 0.15 * (place == len(above) - 1) + 0.15 * long
        beside = [other in dates or self._cues[other].credit for other in above[max(place - 1, 0) : place + 2]]
        below = [other in dates or self._cues[other].credit for other in above[place + 2 : place + 3]]
        score += 0.3 if any(beside) else 0.15 * any(below)
        score -= 0.2 * any(other in dates for other in above[:place])
        return score + 0.5 * (self._lines[index].form is LineForm.HEADING)
