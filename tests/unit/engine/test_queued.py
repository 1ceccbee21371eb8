"""Steps that are queued, as on a GPU: the host reads once a step, and answers, joins and leaves come out the same."""

from __future__ import annotations

import random
from concurrent.futures import Future

import pytest
import torch
from glossd.decoding.search import Hypothesis
from glossd.engine.engine import Engine, EngineLimits
from glossd.engine.runner import Finished, Runner
from glossd.engine.sequence import Sequence
from glossd.errors import ModelFaultError, ModelOutputError
from glossd.models.base import Seq2SeqModel
from glossd.types import GenerationRequest

from tests.checkpoints import parity_segments
from tests.conftest import Checkpoints
from tests.device_road import HostReads, Tape, load_for_device
from tests.faulty import CURSED, Faults, FaultyModel
from tests.parity.reference import params_of
from tests.unit.engine.toy_model import END, POISON, EchoModel, echo_request

EVERY_RULE = {
    "min_new_tokens": 4,
    "max_new_tokens": 14,
    "no_repeat_ngram_size": 2,
    "repetition_penalty": 1.2,
    "length_penalty": 1.4,
    "forced_bos_token_id": 13,
    "suppressed": (21, 22),
    "bad_words": ((30,), (40, 41)),
    "once": (50, 51),
    "renormalize": True,
}


def queued(model: Seq2SeqModel, *, rows: int = 12) -> Runner:
    return Runner(model, rows=rows, sources=rows, device=torch.device("cpu"), queued=True)


def sequence(request: GenerationRequest) -> Sequence:
    return Sequence(request, 0, [Future()])


def tokens_of(finished: Finished) -> tuple[int, ...]:
    assert isinstance(finished.outcome, Hypothesis)
    return finished.outcome.token_ids


def run_out(runner: Runner) -> list[Finished]:
    finished: list[Finished] = []
    while runner.live:
        finished += runner.step()
    return finished


@pytest.mark.parametrize("captures", [None, Tape], ids=["plain", "recorded"])
@pytest.mark.parametrize("family", ["marian", "t5"])
def test_the_host_reads_from_the_device_once_a_step(
    family: str, captures: type[Tape] | None, checkpoints: Checkpoints
) -> None:
    model = load_for_device(checkpoints(family), captures=captures)
    forced = {"forced_eos_token_id": model.info.eos_token_ids[0]}
    chance = torch.Generator().manual_seed(5)
    runner = queued(model)
    counts: list[list[str]] = []
    ended = 0
    for beams in (1, 3, 1, 4):
        ids = tuple(torch.randint(60, 90, (5 + beams,), generator=chance).tolist())
        for options in ({}, EVERY_RULE | forced):
            if beams <= runner.free_rows:
                runner.admit([sequence(GenerationRequest(ids, params_of(model.info, num_beams=beams, **options)))])
        for _ in range(4):
            with HostReads() as names:
                ended += len(runner.step())
            counts.append(names)
    while runner.live:
        with HostReads() as names:
            ended += len(runner.step())
        counts.append(names)
    assert ended >= 4
    assert counts[0] == []
    assert all(names == ["numpy"] for names in counts[1:])


def test_what_reads_from_the_device_is_counted() -> None:
    numbers = torch.tensor([3, 0, 5])
    with HostReads() as names:
        int(numbers.max())
        numbers.nonzero()
        numbers[numbers > 1] = 0
        numbers[numbers > 1]
        numbers.tolist()
        numbers.numpy()
        numbers[torch.tensor([0, 1])] = 4
    assert names == ["_local_scalar_dense", "nonzero", "index_put_ by a mask", "index by a mask", "tolist", "numpy"]


def test_a_step_tells_what_the_one_before_it_ended() -> None:
    runner = queued(EchoModel())
    runner.admit([sequence(echo_request([7, 8])), sequence(echo_request([9]))])
    told = [[tokens_of(finished) for finished in runner.step()] for _ in range(4)]
    assert told == [[], [], [(9, END)], [(7, 8, END)]]
    assert (runner.live, runner.free_rows) == ([], 12)
    assert runner.counters.steps == 3
    assert runner.step() == []


def test_who_joins_while_a_step_is_under_way_is_not_part_of_it() -> None:
    runner = queued(EchoModel())
    runner.admit([sequence(echo_request([7, 8], num_beams=2))])
    runner.step()
    runner.admit([sequence(echo_request([9], num_beams=2)), sequence(echo_request([10, 11, 12]))])
    assert sorted(tokens_of(finished) for finished in run_out(runner)) == [(7, 8, END), (9, END), (10, 11, 12, END)]


def test_who_is_dropped_while_a_step_is_under_way_leaves_with_it_and_is_not_answered() -> None:
    runner = queued(EchoModel())
    gone, stays, over = (sequence(echo_request(ids)) for ids in ([7, 8, 9], [10, 11, 12], [END]))
    runner.admit([gone, over, stays])
    runner.step()
    runner.drop([gone, over])
    assert len(runner.live) == 3
    assert runner.step() == []
    assert runner.live == [stays]
    assert [tokens_of(finished) for finished in run_out(runner)] == [(10, 11, 12, END)]
    assert runner.free_sources == 12


def test_a_sequence_without_finite_scores_fails_alone() -> None:
    runner = queued(EchoModel())
    broken, well = sequence(echo_request([7, POISON, 8])), sequence(echo_request([10, 11, 12, 13]))
    runner.admit([broken, well])
    finished = run_out(runner)
    assert [entry.sequence for entry in finished] == [broken, well]
    assert isinstance(finished[0].outcome, ModelOutputError)
    assert tokens_of(finished[1]) == (10, 11, 12, 13, END)


class QueuedEngine(Engine):
    """An engine on a CPU whose steps are queued as on a GPU."""

    def _new_runner(self) -> Runner:
        return Runner(self._model, rows=16, sources=16, device=self._device, queued=True)


def test_an_engine_answers_all_whoever_is_cancelled_and_whatever_fails() -> None:
    faults = Faults()
    engine = QueuedEngine(FaultyModel(faults), limits=EngineLimits(rows=16, sources=16))
    chance = random.Random(6)
    sources = [[3 + number, *(chance.randrange(70, 150) for _ in range(chance.randrange(9)))] for number in range(60)]
    faults.set("memory 9")
    futures = [engine.submit(echo_request(source, num_beams=1 + number % 3)) for number, source in enumerate(sources)]
    cancelled = {number for number in range(0, 60, 7) if futures[number].cancel()}
    faulty_ones = [engine.submit(echo_request([7, bad, 8])) for bad in (CURSED, POISON)]
    for number, (future, source) in enumerate(zip(futures, sources, strict=True)):
        if number not in cancelled:
            assert future.result(60).token_ids == (*source, END)
    for future, error in zip(faulty_ones, (ModelFaultError, ModelOutputError), strict=True):
        with pytest.raises(error):
            future.result(60)
    engine.close()
    statistics = engine.statistics()
    assert (statistics.live_rows, statistics.waiting) == (0, 0)
    assert not engine._unanswered
    assert not engine._admitted


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_a_queued_crowd_decodes_what_another_one_does(family: str, checkpoints: Checkpoints) -> None:
    from glossd.models.loading import LoadSettings, load_checkpoint

    from tests.parity.reference import decode_in_crowd

    checkpoint = load_checkpoint(str(checkpoints(family)), settings=LoadSettings(dtype="float32", device="cpu"))
    model = load_for_device(checkpoints(family))
    requests = []
    for number, segment in enumerate(parity_segments(60)):
        options = {"no_repeat_ngram_size": 2, "min_new_tokens": 3} if number % 3 == 0 else {}
        params = params_of(model.info, num_beams=(1, 2, 4)[number % 3], **options)
        ids = checkpoint.tokenizer.encode(segment, source_language="en", target_language="zh-Hans")
        requests.append(GenerationRequest(ids, params))
    ours = decode_in_crowd(model, requests, rows=16, seed=4, queued=True)
    theirs = decode_in_crowd(checkpoint.model, requests, rows=16, seed=9)
    assert [entry.token_ids for entry in ours] == [entry.token_ids for entry in theirs]
    assert [entry.score for entry in ours] == pytest.approx([entry.score for entry in theirs], abs=1e-4)
    assert [entry.finish_reason for entry in ours] == [entry.finish_reason for entry in theirs]
