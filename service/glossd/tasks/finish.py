"""From what the engine generated for a segment to its finished text: decoded, put in the target's form, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glossd.tasks.lengths import join_parts
from glossd.tasks.plan import Direction, SegmentPlan, addresses
from glossd.tasks.served import ServedModel
from glossd.text.checks import check_translation
from glossd.text.target import finish_target
from glossd.types import FinishReason, Generation, RequestOptions, Span, Warning, WarningCode

_MESSAGES = {
    WarningCode.OMISSION_SUSPECTED: "part of the sentence, or a number in it, seems to be missing",
    WarningCode.REPETITION_SUSPECTED: "the translation repeats itself or is much too long",
    WarningCode.LANGUAGE_MISMATCH: "the translation is not in the script of its language",
}
_DOUBTS = frozenset({WarningCode.REPETITION_SUSPECTED, WarningCode.OUTPUT_TRUNCATED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one segment. ``generations`` is all that was computed for it, repairs too."""

    plan: SegmentPlan
    text: str
    score: float
    finish_reason: FinishReason
    warnings: tuple[Warning, ...]
    generations: tuple[Generation, ...] = ()


def finish(
    plan: SegmentPlan,
    generations: Sequence[Generation],
    model: ServedModel,
    direction: Direction,
    options: RequestOptions,
) -> Outcome:
    """Decode the segment's pieces, join them and check the text against its source."""
    parts = [
        finish_target(model.tokenizer.decode(generation.token_ids), direction.target) for generation in generations
    ]
    text = join_parts(parts, direction.target)
    cut = any(generation.finish_reason is FinishReason.LENGTH for generation in generations)
    warnings = [*plan.warnings, *_checked(plan, text, direction), *_missed_terms(plan, text, options)]
    if cut:
        most = max(len(generation.token_ids) for generation in generations)
        message = f"cut at {most} new tokens"
        warnings.append(Warning(WarningCode.OUTPUT_TRUNCATED, message, plan.segment.source))
    return Outcome(
        plan=plan,
        text=text,
        score=mean_score(generations),
        finish_reason=_reason(text, cut),
        warnings=tuple(warnings),
        generations=tuple(generations),
    )


def _reason(text: str, cut: bool) -> FinishReason:
    if not text.strip():
        return FinishReason.FAILED
    return FinishReason.LENGTH if cut else FinishReason.COMPLETE


def passed_through(plan: SegmentPlan) -> Outcome:
    """A segment that needs no model."""
    return Outcome(plan, plan.segment.text, 0.0, FinishReason.PASSTHROUGH, ())


def partial(plan: SegmentPlan) -> Outcome:
    """A segment that was not done at the deadline: its source, and a warning."""
    message = "not translated before the deadline; the source stands in its place"
    warning = Warning(WarningCode.PASSED_THROUGH, message, plan.segment.source)
    return Outcome(plan, plan.segment.text, 0.0, FinishReason.DEADLINE, (*plan.warnings, warning))


def needs_repair(outcome: Outcome) -> bool:
    """Whether a second try is worth its cost: nothing came, it was cut, or it repeats itself."""
    return outcome.finish_reason is FinishReason.FAILED or bool(_doubts(outcome))


def better(first: Outcome, second: Outcome) -> Outcome:
    """The one with fewer doubts, the first if they are equal; what both cost is kept."""
    chosen = second if _badness(second) < _badness(first) else first
    return Outcome(
        plan=chosen.plan,
        text=chosen.text,
        score=chosen.score,
        finish_reason=chosen.finish_reason,
        warnings=chosen.warnings,
        generations=first.generations + second.generations,
    )


def mean_score(generations: Sequence[Generation]) -> float:
    """The mean of the scores, weighted by length."""
    tokens = sum(len(generation.token_ids) for generation in generations)
    total = sum(generation.score * len(generation.token_ids) for generation in generations)
    return total / tokens if tokens else 0.0


def _badness(outcome: Outcome) -> tuple[bool, int, int]:
    return outcome.finish_reason is FinishReason.FAILED, len(_doubts(outcome)), len(outcome.warnings)


def _doubts(outcome: Outcome) -> frozenset[WarningCode]:
    return _DOUBTS & {warning.code for warning in outcome.warnings}


def _checked(plan: SegmentPlan, text: str, direction: Direction) -> tuple[Warning, ...]:
    source: Span = plan.segment.source
    found = check_translation(plan.text, text, source_language=direction.source, target_language=direction.target)
    return tuple(Warning(code, _MESSAGES[code], source) for code in found)


def _missed_terms(plan: SegmentPlan, text: str, options: RequestOptions) -> list[Warning]:
    """Terms that stand in the source and whose translation does not stand in the text; addresses stay as they are."""
    wanted = [(address, address, False) for address in addresses(plan.text)]
    wanted += [(entry.source, entry.target, entry.ignore_case) for entry in options.glossary]
    wanted += [(term, term, False) for term in options.do_not_translate]
    warnings: list[Warning] = []
    for source, target, ignore_case in wanted:
        present = source.casefold() in plan.text.casefold() if ignore_case else source in plan.text
        if present and target not in text:
            message = f"{source!r} was to become {target!r}"
            warnings.append(Warning(WarningCode.TERM_MISSED, message, plan.segment.source))
    return warnings
