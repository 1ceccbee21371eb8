"""A corpus run that is killed anywhere and run again gives what a run gives that nobody disturbed, to the byte.

The short form ends the process at some points. ``GLOSSD_PARITY=full`` ends it at all points between two operations on
files and in the middle of each, and at 50 random moments.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus_toys import contents

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("GLOSSD_PARITY") == "full"
RECORDS = 40
RANDOM_KILLS = 50 if FULL else 3
FAMILY = ("out.jsonl", "out.jsonl.errors.jsonl")


def command(source: Path, output: Path, fault: str = "none", at: int = 0) -> list[str]:
    return [sys.executable, "-m", "tests.e2e.corpus_process", str(source), str(output), fault, str(at)]


def run(source: Path, output: Path, fault: str = "none", at: int = 0) -> subprocess.CompletedProcess[str]:
    line = command(source, output, fault, at)
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Articles with some lines among them that are none."""
    path = tmp_path_factory.mktemp("input") / "articles.jsonl"
    lines = []
    for number in range(RECORDS):
        text = f"Article {number}. " + "The ship is free. " * (number % 9)
        line = json.dumps({"id": f"a{number:02d}", "text": "Refuse".lower() if number % 13 == 5 else text})
        lines.append(line[: len(line) // 2] if number % 11 == 7 else line)
    path.write_text("\n".join([*lines, lines[3]]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[bytes]], int]:
    """What a run gives that nobody disturbs, sorted by id, and how many operations it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = run(source, folder / "out.jsonl")
    assert ran.returncode == 0, ran.stderr
    return made(folder), int(ran.stdout.split()[-1])


def made(folder: Path) -> dict[str, list[bytes]]:
    return {name: sorted((folder / name).read_bytes().splitlines()) for name in FAMILY}


def check_resumed(source: Path, folder: Path, expected: dict[str, list[bytes]]) -> None:
    """Run again, and look at all that is there then."""
    ran = run(source, folder / "out.jsonl")
    assert ran.returncode == 0, ran.stderr
    assert made(folder) == expected
    assert sum(map(len, expected.values())) == RECORDS + 1
    left = sorted(path.name for path in (folder / "out.jsonl.parts").iterdir())
    assert left == ["journal.jsonl", "lock"]
    assert [name for name in contents(folder) if name.endswith(".tmp")] == []


def points(operations: int) -> list[tuple[str, int]]:
    """Every operation, ended before it and in the middle of it; in the short form one shard's and the end's."""
    chosen = range(operations) if FULL else (*range(11, 20, 2), operations - 9, operations - 3, operations - 1)
    return [(fault, at) for at in chosen for fault in (("before", "half") if FULL else ("half",))]


def test_an_end_between_or_inside_any_two_operations_loses_nothing(
    source: Path, undisturbed: tuple[dict[str, list[bytes]], int], tmp_path: Path
) -> None:
    expected, operations = undisturbed
    for number, (fault, at) in enumerate(points(operations)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert run(source, folder / "out.jsonl", fault, at).returncode == -signal.SIGKILL, (fault, at)
        check_resumed(source, folder, expected)


def test_a_kill_at_any_moment_loses_nothing(
    source: Path, undisturbed: tuple[dict[str, list[bytes]], int], tmp_path: Path
) -> None:
    expected, _ = undisturbed
    chance = random.Random(7)
    for number in range(RANDOM_KILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number % 2:
            at = chance.randrange(RECORDS - 10)
            assert run(source, folder / "out.jsonl", "outcome", at).returncode == -signal.SIGKILL
        else:
            kill_from_outside(source, folder, after_seconds=chance.uniform(0, 0.05))
        check_resumed(source, folder, expected)


def kill_from_outside(source: Path, folder: Path, *, after_seconds: float) -> None:
    """Kill -9 some time after the first outcome, or after the end: it comes when it comes."""
    with subprocess.Popen(command(source, folder / "out.jsonl"), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            process.kill()


def test_kills_one_after_another_lose_nothing(
    source: Path, undisturbed: tuple[dict[str, list[bytes]], int], tmp_path: Path
) -> None:
    expected, _ = undisturbed
    for fault, at in (("outcome", 12), ("half", 9), ("before", 14)):
        assert run(source, tmp_path / "out.jsonl", fault, at).returncode == -signal.SIGKILL
    check_resumed(source, tmp_path, expected)


def test_a_disk_that_is_full_at_any_point_is_said_and_the_run_goes_on_when_it_is_not(
    source: Path, undisturbed: tuple[dict[str, list[bytes]], int], tmp_path: Path
) -> None:
    expected, operations = undisturbed
    for at in range(1, operations) if FULL else (1, 3, 12, 15, operations - 8):
        folder = tmp_path / str(at)
        folder.mkdir()
        ran = run(source, folder / "out.jsonl", "full", at)
        assert ran.returncode == 1
        assert "refused: cannot write" in ran.stderr
        assert "No space left on device" in ran.stderr
        assert "Traceback" not in ran.stderr
        check_resumed(source, folder, expected)
