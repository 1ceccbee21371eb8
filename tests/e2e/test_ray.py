"""A corpus over a Ray cluster: whatever is killed, every record has one outcome, that of a process without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from glossd.config import Settings
from glossd.corpus.local import LocalEngine
from glossd.corpus.records import Record
from glossd.errors import InvalidInputError
from glossd.tasks.api import build_services

from tests.toys import toy_hub, toy_model

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'glossd[ray]'")

from glossd.corpus.ray_engine import RayEngine, RayLimits, StalledError  # noqa: E402  # needs ray
from glossd.corpus.ray_files import KEY, Staged, result_to_json  # noqa: E402

from tests.e2e.ray_process import BLOCK, CONTROL, RECIPE, build, records, run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # Ray warns of itself

ROOT = Path(__file__).resolve().parents[2]
COUNT = 16
ACTOR_CPUS = 3
WORDS = {2: "DIE"}
PATIENCE_SECONDS = 240.0


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "control"
    folder.mkdir()
    monkeypatch.setenv(CONTROL, str(folder))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # or they starve where anything else runs beside the tests
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "service"), str(ROOT)]))
    return folder


def drive(folder: Path) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "tests.e2e.ray_process", str(folder), str(COUNT), json.dumps(WORDS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(holds: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Look again and again until something holds; not for ever, and not when the process has ended."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the run ended with {process.returncode}: {process.communicate()[0]}")
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def local(given: list[Record]) -> dict[int, str]:
    """What a process without Ray makes of the records."""
    engine = LocalEngine(build_services(Settings(), hub=toy_hub(toy_model("toy"))), RECIPE)
    try:
        return {outcome.position: result_to_json(outcome.result) for outcome in engine.run(given)}
    finally:
        engine.close()


def committed(folder: Path) -> list[Path]:
    """Checkpoints whose blocks are whole."""
    return [path for path in folder.glob("ray-*/checkpoint/*.parquet") if not path.name.endswith(".pending.parquet")]


def worked(control: Path) -> list[tuple[int, list[int]]]:
    """Which process was given which positions, in order."""
    return [json.loads(line) for line in (control / "worked").read_text(encoding="utf-8").splitlines()]


def is_alive(process: int) -> bool:
    """Whether a process is there and not just waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_actor_and_then_the_driver_between_write_and_commit_are_killed_and_nothing_is_lost_or_made_twice(
    tmp_path: Path, control: Path
) -> None:
    folder = tmp_path / "shared"
    (control / "tear").touch()
    with drive(folder) as first:
        assert first.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    until(lambda: not any(is_alive(process) for process, _ in worked(control)))
    done, before = len(committed(folder)), len(worked(control))
    assert done >= 1
    assert list(folder.glob("ray-*/checkpoint/*.pending.parquet")), "a block was written and not committed"
    assert not (control / "outcomes.json").exists()

    with drive(folder) as second:
        assert second.wait(PATIENCE_SECONDS) == 0, second.communicate()[0]
    again = {position // BLOCK for _, batch in worked(control)[before:] for position in batch}
    assert 0 < len(again) <= COUNT // BLOCK - done, "a committed block is not worked on again"
    outcomes = {int(key): value for key, value in json.loads((control / "outcomes.json").read_text()).items()}
    assert outcomes == local(records(COUNT, WORDS))
    assert (control / "died").exists()
    assert not list(folder.glob("ray-*")), "what has been taken over is not kept"


@pytest.fixture
def cluster(control: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A machine that only coordinates and two that can hold an actor, as Ray sees it."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=ACTOR_CPUS)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def machine_of(cluster: Any, process: int) -> Any:
    """The machine that a process runs on."""
    parent = int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    (found,) = [node for node in cluster.worker_nodes if node.all_processes["raylet"][0].process.pid == parent]
    return found


def test_a_machine_that_goes_in_mid_run_takes_nothing_with_it(cluster: Any, control: Path, tmp_path: Path) -> None:
    given = records(COUNT, {})
    limits = RayLimits(address=cluster.address, actors=1, actor_cpus=ACTOR_CPUS, block=BLOCK, stall_seconds=120)
    refuse_what_does_not_fit(cluster.address, tmp_path)
    (control / "gate").touch()

    def kill() -> None:
        try:
            until(lambda: (control / "waits").exists() and (control / "waits").read_text() != "")
            machine = machine_of(cluster, int((control / "waits").read_text()))
            cluster.remove_node(machine, allow_graceful=False)
        finally:
            (control / "open").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        outcomes = run(tmp_path / "shared", given, limits)
    finally:
        killer.join()
    assert outcomes == local(given)
    assert len({process for process, _ in worked(control)}) == 2, "another actor went on"


def refuse_what_does_not_fit(address: str, folder: Path) -> None:
    """Too many actors, a plan that Ray cannot checkpoint, a job that does not get on: errors, and none hangs."""
    with pytest.raises(InvalidInputError, match="ray needs 11 processors here; the cluster has 8"):
        RayEngine(
            Settings(), RECIPE, folder=folder, identity={}, limits=RayLimits(address=address, actors=9), build=build
        )
    staged = Staged((), 1)
    limits = RayLimits(address=address, stall_seconds=0.2)
    stalled = Stalled(Settings(), RECIPE, folder=folder, identity={}, limits=limits, build=build)
    with pytest.raises(StalledError, match=r"nothing for 0\.2 s"):
        stalled._work(staged)
    stalled.go_on.set()
    limits = RayLimits(address=address, stall_seconds=60)
    engine = Unsupported(Settings(), RECIPE, folder=folder, identity={}, limits=limits, build=build)
    with pytest.raises(UserWarning, match="Checkpointing will be disabled"):
        engine._work(staged)
    engine.close()


class Stalled(RayEngine):
    """Its job waits."""

    go_on = threading.Event()

    def _execute(self, staged: Staged) -> None:
        self.go_on.wait(60)


class Unsupported(RayEngine):
    """Its job writes no files, which Ray does not checkpoint."""

    def _execute(self, staged: Staged) -> None:
        from ray.data.checkpoint import CheckpointConfig

        context = ray.data.DataContext.get_current()
        context.checkpoint_config = CheckpointConfig(id_column=KEY, checkpoint_path=str(self._folder / "checkpoint"))
        ray.data.range(4).materialize()
