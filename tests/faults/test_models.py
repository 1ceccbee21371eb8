"""Damaged and hostile model directories: a server refuses to start with any of them, and runs no code of theirs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Checkpoints
from tests.faults.model_directories import CASES, MARKER, Case
from tests.faults.process import GLOSSD, ROOT, ServerProcess, child_environment
from tests.faults.results import Effort, Results


def spoiled(case: Case, good: Path, folder: Path) -> Path:
    """A directory of that kind."""
    directory = folder / case.name.replace(" ", "-").replace(",", "") / "model"
    shutil.copytree(good, directory)
    case.spoil(directory)
    return directory


def refusals(directories: Sequence[Path], environment: dict[str, str]) -> dict[str, str]:
    """What a process that tries to load each of them says."""
    command = [sys.executable, "-m", "tests.faults.load_all", *map(str, directories)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, str] = json.loads(done.stdout)
    return said


def served(directory: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and log of ``glossd serve`` with it; its canary is off, so that only the files decide."""
    arguments = ("--model", str(directory), "--set", "models.canary=false")
    server = ServerProcess(*arguments, program=GLOSSD, environment=environment, wait=False)
    try:
        return server.wait(120), server.log
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class Tried:
    """All bad directories, what a process said that tried to load each, and the file that their code would make."""

    directories: dict[str, Path]
    said: dict[str, str]
    marker: Path


@pytest.fixture(scope="module")
def tried(checkpoints: Checkpoints, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    folder, good = tmp_path_factory.mktemp("bad"), checkpoints("marian")
    marker = folder / "marker"
    directories = {case.name: spoiled(case, good, folder) for case in CASES}
    said = refusals([*directories.values(), good], child_environment() | {MARKER: str(marker)})
    assert said[str(good)] == "", "the directory they were made from is served"
    return Tried(directories, {name: said[str(path)] for name, path in directories.items()}, marker)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(False, marks=pytest.mark.fault(18), id="damaged"),
        pytest.param(True, marks=pytest.mark.fault(19), id="hostile"),
    ],
)
def test_a_bad_model_directory_is_refused_by_name_and_none_of_its_code_runs(
    code: bool, tried: Tried, effort: Effort, results: Results
) -> None:
    cases = [case for case in CASES if case.code == code]
    wrong = [case.name for case in cases if case.names not in tried.said[case.name]]
    started = cases if effort.long else cases[: 0 if code else 1]
    for case in started:
        status, log = served(tried.directories[case.name], {MARKER: str(tried.marker)})
        if status == 0 or case.names not in log or '"message": "ready"' in log:
            wrong.append(case.name)
    ran = tried.marker.exists()
    figure = f"{len(cases)} kinds of directory, {len(started)} of them also with glossd serve: "
    figure += f"{len(set(wrong))} not refused by name" + (f", code run: {int(ran)}" if code else "")
    results.record(19 if code else 18, tried=len(cases) + len(started), failed=len(wrong) + ran, figure=figure)
    assert wrong == []
    assert not ran


@pytest.mark.fault(19)
def test_the_marker_would_be_made_if_the_code_ran(tmp_path: Path, checkpoints: Checkpoints) -> None:
    (case,) = (case for case in CASES if case.name == "pickled weights that run code")
    data = (spoiled(case, checkpoints("marian"), tmp_path) / "pytorch_model.bin").read_bytes()
    os.environ[MARKER] = str(tmp_path / "marker")
    try:
        pickle.loads(data)
    finally:
        del os.environ[MARKER]
    assert (tmp_path / "marker").exists()


@pytest.mark.fault(18)
def test_an_unreadable_file_is_refused_by_name(checkpoints: Checkpoints, tmp_path: Path, results: Results) -> None:
    directory = Path(shutil.copytree(checkpoints("marian"), tmp_path / "model"))
    file = directory / "vocab.json"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # no permission helps; and it leads out of the directory
    said = refusals([directory], child_environment())[str(directory)]
    results.record(18, tried=1, failed=int("vocab.json" not in said))
    assert "vocab.json" in said
