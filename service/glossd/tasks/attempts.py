"""Tries at the segments of one document: a first one, then others by a fixed ladder while the checks find fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from glossd.errors import DeadlineError, OverloadedError
from glossd.tasks.finish import Outcome, better, decode_inner, finish, given_up, partial, passed_through
from glossd.tasks.flight import Flight
from glossd.tasks.inline import Wording
from glossd.tasks.looking import mark_places
from glossd.tasks.params import repair_params
from glossd.tasks.plan import Direction, Form, Piece, Planner, SegmentPlan
from glossd.tasks.served import ServedModel
from glossd.types import (
    AlignmentRequest,
    DecodeOptions,
    Generation,
    GenerationParams,
    RequestOptions,
    Span,
    WarningCode,
)

MOST_PIECES = 16
"""A text without sentences that fills more windows than this is not tried again."""

_LOOPS = frozenset({WarningCode.REPETITION_SUSPECTED, WarningCode.OUTPUT_TRUNCATED})
_UNUSABLE = _LOOPS | {WarningCode.LANGUAGE_MISMATCH}

_Futures = list[Future[Generation]]


@dataclass(frozen=True, slots=True)
class Try:
    """A form of a sentence and how to decode it."""

    plan: SegmentPlan
    form: Form
    params: GenerationParams


@dataclass(frozen=True, slots=True)
class Begun:
    """A segment whose first try is in flight, and its inner words with it."""

    plan: SegmentPlan
    futures: _Futures
    inners: _Futures


class Attempts:
    """Submits and awaits what the segments of one document need. One caller, one event loop."""

    def __init__(
        self,
        model: ServedModel,
        direction: Direction,
        planner: Planner,
        flight: Flight,
        *,
        decode: DecodeOptions,
        options: RequestOptions,
    ) -> None:
        self._model = model
        self._direction = direction
        self._planner = planner
        self._flight = flight
        self._decode = decode
        self._options = options
        self._params = planner.params(decode)

    def begin(self, plans: Sequence[SegmentPlan]) -> list[Begun]:
        """Put the first tries of these segments in flight. Raises what the generator raises."""
        return [
            Begun(plan, self._submit(plan.form.pieces, self._params), self._submit(plan.inners, self._params))
            if plan.form
            else Begun(plan, [], [])
            for plan in plans
        ]

    async def outcome(self, begun: Begun) -> Outcome:
        """What becomes of a segment.

        A try that fails its checks is followed by, each only where it can help: figures guarded; other decoding
        settings; no placeholders; the sentence cut at its guarded spans; the sentence cut at clause marks. The best one
        counts; when that is worse than nothing, the source stands in its place. Where the caller chose the decoding
        settings, those are kept. Raises ``DeadlineError`` unless a partial answer will do.
        """
        plan, form = begun.plan, begun.plan.form
        if form is None:
            return passed_through(plan)
        try:
            inners = await self._inner_words(begun)
            best = await self._finished(plan, form, begun.futures, inners)
        except DeadlineError:
            if not self._options.allow_partial:
                raise
            return partial(plan)
        for next_try in (
            self._figures_guarded,
            self._other_settings,
            self._unmasked,
            self._around_terms,
            self._in_clauses,
        ):
            if not (best.faults or best.failed) or len(form.pieces) > MOST_PIECES:
                break
            try:
                chosen = await asyncio.to_thread(next_try, best)
                if chosen is not None:
                    futures = await asyncio.to_thread(self._submit, chosen.form.pieces, chosen.params)
                    best = better(best, await self._finished(chosen.plan, chosen.form, futures, inners))
            except (DeadlineError, OverloadedError):
                break
        return given_up(best)

    def _submit(self, pieces: Sequence[Piece], params: GenerationParams) -> _Futures:
        return [
            self._flight.submit(piece.ids, self._planner.params_for(piece, params, self._decode))
            for piece in pieces
            if piece.ids
        ]

    async def _finished(self, plan: SegmentPlan, form: Form, futures: _Futures, inners: Mapping[str, str]) -> Outcome:
        generations = [await self._flight.result(future) for future in futures]
        places = await self._places(plan, form, generations)
        wording = Wording(self._direction, inners, places)
        return await asyncio.to_thread(finish, plan, form, generations, wording, self._model)

    async def _places(self, plan: SegmentPlan, form: Form, generations: Sequence[Generation]) -> Sequence[Span | None]:
        """What the model wrote for the words inside of each mark, by its attention; () where that cannot be told."""
        aligner = self._model.aligner
        marked = plan.sentence.marks or (plan.sentence.links and not form.masked)
        if aligner is None or not marked or len(form.pieces) != 1 or len(generations) != 1:
            return ()
        ids, tokens = form.pieces[0].ids, generations[0].token_ids
        request = AlignmentRequest(ids, tokens, self._params.decoder_start_token_id)
        alignment = await self._flight.alignment(aligner.align(request))
        return await asyncio.to_thread(mark_places, self._planner, plan.sentence, form, tokens, alignment)

    async def _inner_words(self, begun: Begun) -> dict[str, str]:
        """The words inside of links and emphasis to their translations."""
        texts: dict[str, str] = {}
        futures = iter(begun.inners)
        for raw, piece in zip(begun.plan.sentence.inners, begun.plan.inners, strict=False):
            if not piece.ids:
                texts[raw] = piece.text
                continue
            generation = await self._flight.result(next(futures))
            texts[raw] = decode_inner(piece.text, generation, self._model, self._direction)
        return texts

    def _figures_guarded(self, best: Outcome) -> Try | None:
        if WarningCode.OMISSION_SUSPECTED not in best.faults:
            return None
        plan = self._planner.with_figures(best.plan)
        return Try(plan, plan.form, self._params) if plan and plan.form else None

    def _other_settings(self, best: Outcome) -> Try | None:
        if best.form is None:
            return None
        repeats = best.failed or bool(best.faults & _LOOPS)
        params = repair_params(self._params, self._decode, repeats=repeats, most_beams=self._model.max_beams)
        return Try(best.plan, best.form, params) if params else None

    def _unmasked(self, best: Outcome) -> Try | None:
        if WarningCode.TERM_MISSED not in best.faults or best.form is None or not best.form.masked:
            return None
        return Try(best.plan, self._planner.plain_form(best.plan), self._params)

    def _around_terms(self, best: Outcome) -> Try | None:
        if WarningCode.TERM_MISSED not in best.faults:
            return None
        return Try(best.plan, self._planner.form_around_terms(best.plan), self._params)

    def _in_clauses(self, best: Outcome) -> Try | None:
        if self._decode != DecodeOptions() or not (best.failed or best.faults & _UNUSABLE) or best.form is None:
            return None
        form = self._planner.form_in_clauses(best.plan, best.form)
        return Try(best.plan, form, self._params) if form else None
