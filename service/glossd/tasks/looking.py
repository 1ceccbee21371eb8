"""From a model's attention to places in what it wrote: the characters that came from the words inside of each mark."""

from __future__ import annotations

from collections.abc import Sequence

from glossd.tasks.plan import Form, Planner
from glossd.text.alignment import aligned_run
from glossd.text.sentence import Sentence
from glossd.types import Alignment, Span


def mark_places(
    planner: Planner, sentence: Sentence, form: Form, token_ids: Sequence[int], alignment: Alignment
) -> tuple[Span | None, ...]:
    """For each mark of a form of one piece the range of the decoded text; None where nothing came of its words.

    Raises nothing: an alignment of other sizes than the tokens has no places.
    """
    tokens = planner.mark_tokens(sentence, form)
    if len(alignment.weights) != len(token_ids) or any(len(row) < tokens.content.stop for row in alignment.weights):
        return ()
    runs = [aligned_run(alignment.weights, marked, tokens.content) if marked else range(0) for marked in tokens.marks]
    ends = {0: 0}
    for run in runs:
        for place in (run.start, run.stop):
            if place not in ends:
                ends[place] = len(planner.decoded(token_ids[:place]))
    return tuple(Span(ends[run.start], ends[run.stop]) if run else None for run in runs)
