"""From outcomes to an answer: separators and spans of the target, scores, warnings and what it all cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from glossd.languages import find_language
from glossd.tasks.finish import Outcome
from glossd.tasks.inline import count_terms
from glossd.tasks.plan import Direction
from glossd.tasks.reading import Reading
from glossd.text.document import Document, rebuild
from glossd.text.target import is_unspaced, joins_without_space
from glossd.types import FinishReason, Generation, SegmentResult, Span, TextResult, Usage, Warning


class Separators:
    """What stands before each target, known as soon as the targets up to it are: for streams.

    Between two sentences :func:`rebuild` chooses by what stands on both sides whether they are joined or kept apart;
    both forms of every separator are taken from it once.
    """

    def __init__(self, document: Document, language_code: str) -> None:
        count = len(document.segments)
        self._joined = rebuild(document, [""] * count, language_code=language_code).separators
        self._apart = rebuild(document, ["."] * count, language_code=language_code).separators
        self._unspaced = is_unspaced(language_code)

    def before(self, index: int, previous: str, target: str) -> str:
        """The separator between the target ``previous`` and ``target``, which is number ``index``."""
        if self._unspaced:
            join = joins_without_space(previous, target)
        else:
            join = not previous or not target or previous[-1].isspace()
        return (self._joined if join else self._apart)[index]


def segment_result(outcome: Outcome, start: int, document: Document) -> SegmentResult:
    """An outcome whose text begins at ``start`` of the target. Its source is counted in the caller's text."""
    return SegmentResult(
        text=outcome.text,
        source=document.original(outcome.plan.segment.source),
        target=Span(start, start + len(outcome.text)),
        score=outcome.score,
        finish_reason=outcome.finish_reason,
    )


def assemble(reading: Reading, outcomes: Sequence[Outcome], direction: Direction, model: str) -> TextResult:
    """The whole text with every segment in its place."""
    document = reading.document
    texts = [outcome.text for outcome in outcomes]
    rebuilt = rebuild(document, texts, language_code=direction.target)
    segments = tuple(
        segment_result(outcome, span.start, document) for outcome, span in zip(outcomes, rebuilt.targets, strict=True)
    )
    done = [outcome for outcome in outcomes if outcome.finish_reason is not FinishReason.DEADLINE]
    return TextResult(
        text=rebuilt.text,
        language_code=direction.target,
        model=model,
        finish_reason=overall_reason([outcome.finish_reason for outcome in outcomes]),
        segments=segments,
        score=_score(outcomes),
        source_coverage=len(done) / len(outcomes) if outcomes else 1.0,
        warnings=reading.warnings
        + in_original((warning for outcome in outcomes for warning in outcome.warnings), document),
        usage=_usage(document, outcomes),
    )


def in_original(warnings: Iterable[Warning], document: Document) -> tuple[Warning, ...]:
    """Warnings with their places counted in the caller's text."""
    return tuple(
        replace(warning, source=document.original(warning.source)) if warning.source else warning
        for warning in warnings
    )


def overall_reason(reasons: Sequence[FinishReason]) -> FinishReason:
    """Why a text of several segments ended: its worst segment says it."""
    for reason in (FinishReason.CANCELLED, FinishReason.DEADLINE, FinishReason.LENGTH):
        if reason in reasons:
            return reason
    for reason in (FinishReason.FAILED, FinishReason.PASSTHROUGH):
        if reasons and all(each is reason for each in reasons):
            return reason
    return FinishReason.COMPLETE


def empty_text(language_code: str) -> TextResult:
    """The text of a document, or of a part of it, that was left out."""
    language = find_language(language_code)
    return TextResult(
        text="",
        language_code=language.code if language else language_code,
        model="",
        finish_reason=FinishReason.PASSTHROUGH,
        source_coverage=0.0,
    )


def usage_of(generations: Iterable[Generation]) -> Usage:
    """What generations cost; input and segments are the caller's to add."""
    made = tuple(generations)
    return Usage(
        output_tokens=sum(len(generation.token_ids) for generation in made),
        cached_segments=sum(generation.cached for generation in made),
        queue_ns=sum(generation.queue_ns for generation in made),
        compute_ns=sum(generation.compute_ns for generation in made),
    )


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of several texts' costs."""
    all_usages = tuple(usages)
    return Usage(
        input_characters=sum(usage.input_characters for usage in all_usages),
        input_tokens=sum(usage.input_tokens for usage in all_usages),
        output_tokens=sum(usage.output_tokens for usage in all_usages),
        segments=sum(usage.segments for usage in all_usages),
        cached_segments=sum(usage.cached_segments for usage in all_usages),
        queue_ns=sum(usage.queue_ns for usage in all_usages),
        compute_ns=sum(usage.compute_ns for usage in all_usages),
        terms_found=sum(usage.terms_found for usage in all_usages),
        terms_kept=sum(usage.terms_kept for usage in all_usages),
    )


def _usage(document: Document, outcomes: Sequence[Outcome]) -> Usage:
    terms = [count_terms(outcome.plan.sentence, outcome.text) for outcome in outcomes]
    cost = usage_of(generation for outcome in outcomes for generation in outcome.generations)
    return Usage(
        input_characters=len(document.source),
        input_tokens=sum(outcome.plan.tokens for outcome in outcomes if outcome.generations),
        output_tokens=cost.output_tokens,
        segments=len(outcomes),
        cached_segments=cost.cached_segments,
        queue_ns=cost.queue_ns,
        compute_ns=cost.compute_ns,
        terms_found=sum(found for found, _ in terms),
        terms_kept=sum(kept for _, kept in terms),
    )


def _score(outcomes: Sequence[Outcome]) -> float:
    weights = [sum(len(each.token_ids) for each in outcome.generations) for outcome in outcomes]
    total = sum(weights)
    if not total:
        return 0.0
    return sum(outcome.score * weight for outcome, weight in zip(outcomes, weights, strict=True)) / total
