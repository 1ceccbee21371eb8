"""From what the engine generated for a sentence to its finished text: decoded, guarded spans put back, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from glossd.tasks.inline import Wording, Written, with_figures, write_masked, write_plain
from glossd.tasks.lengths import join_parts
from glossd.tasks.plan import Direction, Form, SegmentPlan
from glossd.tasks.served import ServedModel
from glossd.text.checks import check_translation, loops
from glossd.text.placeholders import without_placeholders
from glossd.text.target import finish_target, fit_end
from glossd.types import FinishReason, Generation, Warning, WarningCode

_MESSAGES = {
    WarningCode.OMISSION_SUSPECTED: "part of the sentence, or a number in it, seems to be missing",
    WarningCode.REPETITION_SUSPECTED: "the translation repeats itself or is much too long",
    WarningCode.LANGUAGE_MISMATCH: "the translation is not in the script of its language",
}
_HARD = frozenset({WarningCode.REPETITION_SUSPECTED, WarningCode.OUTPUT_TRUNCATED, WarningCode.LANGUAGE_MISMATCH})
_FAULTS = _HARD | {WarningCode.OMISSION_SUSPECTED, WarningCode.TERM_MISSED}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one segment. ``generations`` is all that was computed for it, repairs too.
    ``form`` is what the text was made from, if from anything.
    """

    plan: SegmentPlan
    text: str
    score: float
    finish_reason: FinishReason
    warnings: tuple[Warning, ...]
    generations: tuple[Generation, ...] = ()
    form: Form | None = None

    @property
    def faults(self) -> frozenset[WarningCode]:
        """What a second try may put right."""
        return _FAULTS & {warning.code for warning in self.warnings}

    @property
    def failed(self) -> bool:
        """Whether nothing came out at all."""
        return self.finish_reason is FinishReason.FAILED

    @property
    def badness(self) -> tuple[bool, int, int, int]:
        """Of two outcomes the one with less is the better one."""
        missed = sum(warning.code is WarningCode.TERM_MISSED for warning in self.warnings)
        return self.failed, len(_HARD & self.faults), missed, len(self.warnings)


def finish(
    plan: SegmentPlan,
    form: Form,
    generations: Sequence[Generation],
    wording: Wording,
    model: ServedModel,
) -> Outcome:
    """Decode the pieces, join them, put back what was guarded and check the text against its source.

    ``generations`` are those of the pieces that were sent, in order.
    """
    direction = wording.direction
    made = iter(generations)
    parts = [model.tokenizer.decode(next(made).token_ids) if piece.ids else piece.text for piece in form.pieces]
    if len(parts) > 1:
        parts = [
            fit_end(part, piece.text, direction.target) if piece.ids else part
            for part, piece in zip(parts, form.pieces, strict=True)
        ]
    raw = join_parts(parts, direction.target)
    write = write_masked if form.masked else write_plain
    written = write(raw, plan, form, wording)
    warnings = [*plan.warnings, *_checked(plan, written, direction), *written.warnings]
    cut = [generation for generation in generations if generation.finish_reason is FinishReason.LENGTH]
    if cut:
        most = max(len(generation.token_ids) for generation in cut)
        warnings.append(Warning(WarningCode.OUTPUT_TRUNCATED, f"cut at {most} new tokens", plan.segment.source))
    return Outcome(
        plan=plan,
        text=written.text,
        score=mean_score(generations),
        finish_reason=_reason(written.text, bool(cut)),
        warnings=tuple(warnings),
        generations=tuple(generations),
        form=form,
    )


def decode_inner(source: str, generation: Generation, model: ServedModel, direction: Direction) -> str:
    """The translation of words that stand inside of a sentence: without the mark that ends one."""
    text = finish_target(model.tokenizer.decode(generation.token_ids), direction.target)
    return fit_end(text, source, direction.target)


def passed_through(plan: SegmentPlan) -> Outcome:
    """A segment that needs no model."""
    return Outcome(plan, plan.segment.written, 0.0, FinishReason.PASSTHROUGH, plan.warnings)


def given_up(outcome: Outcome) -> Outcome:
    """The source in the place of a translation that is worse than none: nothing, a loop, the wrong script."""
    source = outcome.plan.sentence.plain
    loop = WarningCode.REPETITION_SUSPECTED in outcome.faults and loops(outcome.text) and not loops(source)
    if not (outcome.failed or loop or WarningCode.LANGUAGE_MISMATCH in outcome.faults):
        return outcome
    message = "no usable translation came out; the source stands in its place"
    warning = Warning(WarningCode.PASSED_THROUGH, message, outcome.plan.segment.source)
    return replace(
        outcome,
        text=outcome.plan.segment.written,
        score=0.0,
        finish_reason=FinishReason.PASSTHROUGH,
        warnings=(*outcome.plan.warnings, warning),
    )


def partial(plan: SegmentPlan) -> Outcome:
    """A segment that was not done at the deadline: its source, and a warning."""
    message = "not translated before the deadline; the source stands in its place"
    warning = Warning(WarningCode.PASSED_THROUGH, message, plan.segment.source)
    return Outcome(plan, plan.segment.written, 0.0, FinishReason.DEADLINE, (*plan.warnings, warning))


def better(first: Outcome, second: Outcome) -> Outcome:
    """The one with fewer doubts, the first if they are equal; what both cost is kept."""
    chosen = second if second.badness < first.badness else first
    return replace(chosen, generations=first.generations + second.generations)


def mean_score(generations: Sequence[Generation]) -> float:
    """The mean of the scores, weighted by length."""
    tokens = sum(len(generation.token_ids) for generation in generations)
    total = sum(generation.score * len(generation.token_ids) for generation in generations)
    return total / tokens if tokens else 0.0


def _reason(text: str, cut: bool) -> FinishReason:
    if not text.strip():
        return FinishReason.FAILED
    return FinishReason.LENGTH if cut else FinishReason.COMPLETE


def _checked(plan: SegmentPlan, written: Written, direction: Direction) -> tuple[Warning, ...]:
    """The checks, on both sides without what was guarded: an address is in no language's script."""
    source = without_placeholders(with_figures(plan.sentence.masked, plan.sentence.guards))
    found = check_translation(
        source, written.checked, source_language=direction.source, target_language=direction.target
    )
    return tuple(Warning(code, _MESSAGES[code], plan.segment.source) for code in found)
