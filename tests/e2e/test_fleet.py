"""A corpus over servers that run elsewhere: the rows of one process, whatever becomes of the servers meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from glossd.config import Settings
from glossd.corpus.engine import Window
from glossd.corpus.fleet import FleetEngine, FleetLimits
from glossd.corpus.local import LocalEngine
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Failure, Outcome, Place, Record, Row
from glossd.errors import InvalidInputError, RemoteError
from glossd.tasks.api import build_services
from glossd.types import DocumentInput

from tests.toys import toy_hub, toy_model

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe("zh-Hans")
SMALL = FleetLimits(in_flight=16, give_up_seconds=60)
TEXT = (
    "The ship number {0} is free. A port official said so on day {0}. The tugs and the crew are glad.\n\n"
    "The canal is open again. The queue of {0} ships is long."
)


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "service"), str(ROOT)])}


class Process:
    """A replica that runs."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.e2e.fleet_process", *arguments, "serve", "--port", str(port)]
        self.popen = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

    def endpoint(self) -> str:
        """Where it serves, once it does."""
        assert self.popen.stderr is not None
        seen = []
        for line in self.popen.stderr:
            seen.append(line)
            if line.startswith("{") and json.loads(line)["message"] == "ready":
                return str(json.loads(line)["address"])
        raise AssertionError("".join(seen))

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.popen.send_signal(number)


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def begin(*arguments: str) -> Process:
        started.append(Process(*arguments))
        return started[-1]

    yield begin
    for process in started:
        process.popen.kill()
        process.popen.communicate()


def records(count: int) -> list[Record]:
    return [Record(number, f"r{number}", DocumentInput(TEXT.format(number)), Place("a", 1)) for number in range(count)]


def local(given: Sequence[Record], recipe: Recipe) -> dict[int, Row | Failure]:
    engine = LocalEngine(build_services(Settings(), hub=toy_hub(toy_model("toy"))), recipe)
    try:
        return {outcome.position: outcome.result for outcome in engine.run(given)}
    finally:
        engine.close()


def fleet(
    endpoints: Sequence[str],
    given: Sequence[Record],
    recipe: Recipe = RECIPE,
    *,
    limits: FleetLimits = SMALL,
    after: Callable[[int], None] = lambda count: None,
) -> dict[int, Row | Failure]:
    """The outcomes of a fleet, each position once. ``after`` is told how many have come."""
    engine = FleetEngine(endpoints, recipe, limits=limits)
    found: list[Outcome] = []
    try:
        for outcome in engine.run(given):
            found.append(outcome)
            after(len(found))
    finally:
        engine.close()
    assert len({outcome.position for outcome in found}) == len(found)
    return {outcome.position: outcome.result for outcome in found}


def test_the_rows_are_those_of_one_process_whatever_is_asked_for(start: Start) -> None:
    replicas = [start(), start()]
    endpoints = [replica.endpoint() for replica in replicas]
    given = [*records(40), Record(40, "fr", DocumentInput("Le chat est une bête.", language_code="fr"), Place("a", 1))]
    given.append(Record(41, "half", DocumentInput("The \ud800 text."), Place("a", 1)))
    for recipe in (
        RECIPE,
        Recipe("zh-Hans", segments=True),
        Recipe("zh-Hans", summary=False, translated_summary=False),
        Recipe("zh-Hans", translated_body=False),
        Recipe("zh-Hans", translated_summary=False),
    ):
        there, here = fleet(endpoints, given, recipe), local(given, recipe)
        assert {key: there[key] for key in range(40)} == {key: here[key] for key in range(40)}
        failures = (there[40], here[40], there[41])
        assert all(isinstance(each, Failure) for each in failures), (recipe, failures)
        reasons = [each.reason for each in failures if isinstance(each, Failure)]
        assert reasons == ["UNSUPPORTED_LANGUAGE", "UNSUPPORTED_LANGUAGE", "INVALID_INPUT"]


def test_a_replica_killed_in_mid_run_loses_nothing(start: Start) -> None:
    doomed, healthy = start("hold=1"), start()
    endpoints = [doomed.endpoint(), healthy.endpoint()]
    given = records(80)

    def kill(count: int) -> None:
        if count == 30:
            doomed.end()

    assert fleet(endpoints, given, after=kill) == local(given, RECIPE)
    assert doomed.popen.wait() == -signal.SIGKILL


def test_a_draining_replica_answers_what_it_has_and_gets_no_more(start: Start) -> None:
    leaving, staying = start(), start()
    endpoints = [leaving.endpoint(), staying.endpoint()]
    given = records(90)

    def stop(count: int) -> None:
        if count == 30:
            leaving.end(signal.SIGTERM)

    assert fleet(endpoints, given, after=stop) == local(given, RECIPE)
    assert leaving.popen.wait() == 0


def test_a_busy_replica_is_left_alone_for_as_long_as_it_asks_and_nothing_fails(start: Start) -> None:
    endpoint = start("busy=40").endpoint()
    given = records(40)
    assert fleet([endpoint], given) == local(given, RECIPE)


def test_a_record_that_kills_replicas_is_sent_alone_and_given_up_and_its_neighbours_are_not(start: Start) -> None:
    replicas = [start() for _ in range(5)]
    endpoints = [replica.endpoint() for replica in replicas]
    given = records(24)
    poison = Record(24, "poison", DocumentInput("The text has POISON in it."), Place("a", 1))
    found = fleet(endpoints, [*given, poison])
    result = found.pop(24)
    assert isinstance(result, Failure)
    assert result.reason == "REPLICA_LOST"
    assert found == local(given, RECIPE)
    assert [replica.popen.poll() for replica in replicas].count(9) == 4


def test_a_run_ends_when_no_replica_serves_any_more(start: Start) -> None:
    only = start("hold=1")
    engine = FleetEngine([only.endpoint()], RECIPE, limits=FleetLimits(give_up_seconds=0.5))
    only.end()
    with pytest.raises(RemoteError, match=r"no replica has served for 0.5 s"):
        list(engine.run(records(3)))
    engine.close()


def test_replicas_that_do_not_serve_the_same_are_refused(start: Start) -> None:
    one, other = start(), start("name=other")
    with pytest.raises(InvalidInputError, match=r"serves other float32.* serves toy float32|toy.*other"):
        FleetEngine([one.endpoint(), other.endpoint()], RECIPE)


def test_no_replica_at_all_is_told_at_once() -> None:
    with pytest.raises(RemoteError, match="none of 1 replicas answers"):
        FleetEngine(["127.0.0.1:9"], RECIPE)
    with pytest.raises(InvalidInputError, match="neither HOST:PORT nor"):
        FleetEngine(["nowhere"], RECIPE)
    with pytest.raises(InvalidInputError, match="summaries alone"):
        FleetEngine(["127.0.0.1:9"], Recipe("zh", translated_summary=False, translated_body=False))


def test_the_command_line_runs_a_corpus_over_a_fleet_and_is_told_what_is_missing(start: Start, tmp_path: Path) -> None:
    endpoint = start().endpoint()
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"id": each.id, "text": each.document.text}) for each in records(12)]
    source.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "glossd", "corpus", str(source), "--out", str(out), "--engine", "grpc"]
    refused = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--engine grpc needs one" in refused.stderr
    command += ["--endpoint", f"dns:///{endpoint}", "--full"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["id"]: row["translated_body"] for row in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    here = [row for row in local(records(12), RECIPE).values() if isinstance(row, Row)]
    assert rows == {row.id: row.translated_body for row in here}


def test_no_more_is_read_than_is_at_work_and_in_the_window(start: Start) -> None:
    endpoint = start().endpoint()
    limits = FleetLimits(in_flight=8, window=Window(records=16))
    read = 0

    def feed() -> Iterator[Record]:
        nonlocal read
        for each in records(120):
            read += 1
            yield each

    engine = FleetEngine([endpoint], RECIPE, limits=limits)
    for done, _ in enumerate(engine.run(feed())):
        assert read <= done + 1 + limits.in_flight + limits.window.records
    engine.close()
    assert read == 120
