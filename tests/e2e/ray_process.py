"""A corpus run over Ray with toys, as a process that can be killed: ``python -m tests.e2e.ray_process FOLDER COUNT``.

Signs are left in the folder that a variable names: ``outcomes.json`` at the end, ``worked`` with the positions that
actors were given. A text with DIE ends its actor, once. Where there is a file "gate", actors take two batches and then
wait for the file "open". Where there is a file "tear", the second commit kills the driver and the worker, after the
block was written.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from glossd.config import Settings
from glossd.corpus.engine import CorpusEngine
from glossd.corpus.local import LocalEngine
from glossd.corpus.ray_engine import RayEngine, RayLimits
from glossd.corpus.ray_files import result_to_json
from glossd.corpus.recipe import Recipe
from glossd.corpus.records import Outcome, Place, Record
from glossd.tasks.api import build_services
from glossd.types import DocumentInput

from tests.toys import ToyGenerator, to_chinese, toy_hub, toy_model

CONTROL = "GLOSSD_TEST_CONTROL"
RECIPE = Recipe("zh-Hans", segments=True)
BLOCK = 4
WAIT_SECONDS = 100.0


def records(count: int, words: Mapping[int, str]) -> list[Record]:
    """Records of which some have a word that misbehaves."""
    text = "The ship number {0} is free. A port official said so. The tugs {1} and the crew are glad."
    return [
        Record(number, f"r{number}", DocumentInput(text.format(number, words.get(number, ""))), Place("a", number))
        for number in range(count)
    ]


def control() -> Path:
    """Where this process and its actors leave signs for each other."""
    return Path(os.environ[CONTROL])


def once(name: str) -> bool:
    """Whether this is the first time, in any process."""
    try:
        (control() / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def wait_at_gate() -> None:
    """Hold the third batch until the gate is open; not for ever."""
    if not (control() / "gate").exists() or not (control() / "worked").exists():
        return
    if len((control() / "worked").read_text(encoding="utf-8").splitlines()) < 2:
        return
    (control() / "waits").write_text(str(os.getpid()))
    for _ in range(int(WAIT_SECONDS / 0.02)):
        if (control() / "open").exists():
            return
        time.sleep(0.02)


def convert(text: str) -> str:
    """As the toy does, after what the text's word does."""
    if "DIE" in text and once("died"):
        os._exit(1)
    return to_chinese(text)


def set_up_worker() -> None:
    """Runs first in every process of Ray's: where there is a file "tear", the second commit is torn."""
    from ray.data.checkpoint.checkpoint_writer import BatchBasedCheckpointWriter

    whole = BatchBasedCheckpointWriter.commit_checkpoint

    def commit(self: Any, pending: Any) -> None:
        if (control() / "tear").exists() and not once("first commit") and once("torn"):
            os.kill(int((control() / "driver").read_text()), signal.SIGKILL)
            os._exit(1)
        whole(self, pending)

    BatchBasedCheckpointWriter.commit_checkpoint = commit  # type: ignore[method-assign]


class Noting:
    """An engine that leaves a list of what it was given."""

    def __init__(self, inner: CorpusEngine) -> None:
        self.inner = inner
        self.identity = inner.identity
        self.occupancy = inner.occupancy
        self.close = inner.close

    def run(self, given: Iterable[Record]) -> Iterator[Outcome]:
        """As the inner one."""
        batch = list(given)
        wait_at_gate()
        with (control() / "worked").open("a", encoding="utf-8") as file:
            file.write(json.dumps([os.getpid(), [record.position for record in batch]]) + "\n")
        yield from self.inner.run(batch)


def build(settings: Settings, recipe: Recipe) -> CorpusEngine:
    """The engine of an actor."""
    hub = toy_hub(toy_model("toy", generator=ToyGenerator(convert)))
    return Noting(LocalEngine(build_services(Settings(), hub=hub), recipe))


def run(folder: Path, given: list[Record], limits: RayLimits) -> dict[int, str]:
    """The outcomes as JSON by position; no position comes twice."""
    engine = RayEngine(Settings(), RECIPE, folder=folder, identity={"toy": "1"}, limits=limits, build=build)
    try:
        found = [(outcome.position, result_to_json(outcome.result)) for outcome in engine.run(given)]
    finally:
        engine.close()
    assert [position for position, _ in found] == sorted(dict(found))
    return dict(found)


def main() -> None:
    """One run."""
    folder, count, words = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    (control() / "driver").write_text(str(os.getpid()))
    hook = {"worker_process_setup_hook": "tests.e2e.ray_process.set_up_worker"}
    ray.init = functools.partial(ray.init, runtime_env=hook)
    given = records(count, {int(number): word for number, word in words.items()})
    outcomes = run(folder, given, RayLimits(actors=1, block=BLOCK, stall_seconds=90))
    (control() / "outcomes.json").write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
