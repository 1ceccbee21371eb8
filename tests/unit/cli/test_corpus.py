"""`glossd corpus`: its options, what it says while it works, and what Ctrl-C does."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from glossd.cli import corpus_engines
from glossd.cli.corpus_display import Bar, Display, Meter, View, describe, duration
from glossd.corpus.job import Job, JobSettings
from glossd.corpus.recipe import Recipe

from tests.conftest import Checkpoints
from tests.corpus_toys import ToyEngine
from tests.unit.cli.conftest import Run

RECORDS = 300


@pytest.fixture
def articles(tmp_path: Path) -> str:
    path = tmp_path / "in.jsonl"
    rows = [{"id": f"a{number:03d}", "text": f"Article {number}. The ship is free."} for number in range(RECORDS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], None]], ToyEngine]:
    """A function that puts a toy in the place of the local engine."""

    def use(before: Callable[[int], None]) -> ToyEngine:
        engine = ToyEngine(before=before)
        monkeypatch.setattr(corpus_engines, "ENGINES", {**corpus_engines.ENGINES, "local": lambda _: engine})
        return engine

    return use


def nothing(outcome: int) -> None:
    """Does nothing before an outcome."""


def test_a_run_writes_files_and_says_the_rest_on_standard_error(
    run: Run, articles: str, tmp_path: Path, toy: Callable[[Callable[[int], None]], ToyEngine]
) -> None:
    engine = toy(nothing)
    out = tmp_path / "out.jsonl"
    ran = run("corpus", articles, "--out", str(out))
    assert (ran.code, ran.out) == (0, "")
    assert engine.closed
    progress = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert progress[-1]["records"] == RECORDS
    assert progress[-1]["event"] == "progress"
    assert progress[-1]["occupancy"] == 0.5
    assert progress[-1]["done_share"] == 1.0
    assert f"{out}: 300 rows" in ran.err
    assert "out.jsonl.report.json and out.jsonl.report.png have the figures" in ran.err
    row = json.loads(out.read_text().splitlines()[0])
    assert list(row) == [
        *("id", "language", "language_confidence", "title", "date", "summary", "translated_summary"),
        *("translated_body", "warnings", "input_characters", "input_tokens", "output_tokens"),
    ]
    again = run("corpus", articles, "--out", str(out))
    assert (again.code, again.err) == (0, f"{out} is done already: 300 rows, 0 errors\n")
    other = run("corpus", articles, "--out", str(out), "--no-body")
    assert other.code == 1
    assert other.err.startswith(f"glossd: {out} was begun with another recipe.translated_body (true, now false)")


def test_a_dry_run_counts_and_tries_and_writes_nothing(
    run: Run, articles: str, tmp_path: Path, toy: Callable[[Callable[[int], None]], ToyEngine]
) -> None:
    with Path(articles).open("a") as file:
        file.write("{half a line\n")
    engine = toy(nothing)
    before = sorted(tmp_path.iterdir())
    ran = run("corpus", articles, "--out", str(tmp_path / "out.jsonl"), "--dry-run")
    assert ran.code == 0
    assert sorted(tmp_path.iterdir()) == before
    assert "records     301" in ran.out
    assert "errors      1 BAD_RECORD" in ran.out
    assert "tokens      about 1,8" in ran.out
    assert "from 48 records that were tried" in ran.out
    assert len(set(engine.worked_on)) == 48
    assert engine.closed


def test_ctrl_c_finishes_what_is_begun_and_the_same_command_goes_on(
    run: Run, articles: str, tmp_path: Path, toy: Callable[[Callable[[int], None]], ToyEngine]
) -> None:
    first = toy(lambda outcome: os.kill(os.getpid(), signal.SIGINT) if outcome == 20 else None)
    arguments = ("corpus", articles, "--out", str(tmp_path / "out.jsonl"), "--shard-records", "50")
    ran = run(*arguments)
    assert ran.code == 130
    assert "finishing " in ran.err
    assert "stopped: 1 shards are safe" in ran.err
    assert "the same command goes on from there" in ran.err
    assert len(first.worked_on) == 50
    second = toy(nothing)
    ran = run(*arguments)
    assert ran.code == 0
    assert "going on with" in ran.err
    assert len(second.worked_on) == RECORDS - 50
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == RECORDS


def test_a_second_ctrl_c_stops_at_once(
    run: Run, articles: str, tmp_path: Path, toy: Callable[[Callable[[int], None]], ToyEngine]
) -> None:
    def press(outcome: int) -> None:
        if outcome in (20, 25):
            os.kill(os.getpid(), signal.SIGTERM if outcome == 20 else signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    engine = toy(press)
    ran = run("corpus", articles, "--out", str(tmp_path / "out.jsonl"), "--shard-records", "50")
    assert ran.code == 130
    assert len(engine.worked_on) <= 26
    assert engine.closed
    assert signal.getsignal(signal.SIGINT) is before


def test_a_corpus_of_nothing_but_errors_is_a_failure(
    run: Run, tmp_path: Path, toy: Callable[[Callable[[int], None]], ToyEngine]
) -> None:
    toy(nothing)
    (tmp_path / "in.jsonl").write_text("{half\n")
    ran = run("corpus", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl"))
    assert ran.code == 1
    assert "1 errors (1 BAD_RECORD)" in ran.err
    assert (tmp_path / "out.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["/nowhere", "--out", "x.jsonl"], 1, "/nowhere: no such file or directory"),
        (["{articles}", "--out", "x.txt"], 2, "its suffix is none of"),
        (["{articles}", "--out", "x.jsonl", "--engine", "abacus"], 2, "is not one of"),
        (["{articles}", "--out", "x.jsonl", "--format", "doc"], 2, "is not one of"),
        (["{articles}", "--out", "x.jsonl", "--to", "xx"], 2, "unknown language"),
        (["{articles}", "--out", "x.jsonl", "--sample", "2"], 2, "--sample"),
        (["{articles}", "--out", "x.jsonl", "--no-summary", "--no-translated-summary", "--no-body"], 2, "nothing"),
        (["{articles}"], 2, "--out"),
    ],
)
def test_a_wrong_call_is_said(run: Run, articles: str, arguments: list[str], code: int, said: str) -> None:
    ran = run("corpus", *(each.format(articles=articles) for each in arguments))
    assert ran.code == code
    assert said in ran.err


def test_a_model_gives_the_same_rows_however_a_directory_is_cut_into_shards(
    run: Run, tmp_path: Path, checkpoints: Checkpoints
) -> None:
    folder = tmp_path / "articles"
    folder.mkdir()
    for number in range(6):
        text = f"# Port number {number}\n\n" + "The ship is free. The crew of the tug is glad.\n\n" * (number + 1)
        (folder / f"{number}.{'md' if number % 2 else 'txt'}").write_text(text)
    model = ("--model", str(checkpoints("marian")), "--set", "models.canary=false", "--set", "models.dtype=float32")
    made = []
    for shard_records in ("1", "4", "100"):
        out = tmp_path / f"{shard_records}.jsonl"
        ran = run("corpus", str(folder), "--out", str(out), *model, "--segments", "--shard-records", shard_records)
        assert ran.code == 0, ran.err
        made.append(out.read_text())
    assert made[0] == made[1] == made[2]
    rows = [json.loads(line) for line in made[0].splitlines()]
    assert [row["id"] for row in rows] == sorted(path.name for path in folder.iterdir())
    for row in rows:
        for segment in row["translated_body_segments"]:
            assert row["translated_body"][segment["target_start"] : segment["target_end"]] == segment["text"]


VIEW = View(1200, 3, 12.34, 5678.9, 0.87, 0.25, 7260, 9)


def test_the_bar_tells_rates_occupancy_errors_and_the_time_that_is_left() -> None:
    assert describe(VIEW) == "1,200 records · 12.3/s · 5,679 tokens/s · batch 87% · 3 errors · 2 h 1 min left"
    unknown = View(0, 0, 0.0, 0.0, None, None, None, 0)
    assert describe(unknown) == "0 records · 0.0/s · 0 tokens/s"
    assert [duration(each) for each in (4, 600, 36000)] == ["4 s", "10 min", "10 h 0 min"]


class Terminal(io.StringIO):
    """A standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_bar(monkeypatch: pytest.MonkeyPatch, articles: str, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    engine = ToyEngine()
    with Job(JobSettings(articles, tmp_path / "out.jsonl", Recipe("zh-Hans"))) as job, Bar(Meter(job, engine)):
        job.run(engine, threading.Event())
    assert "300 records" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_elsewhere_a_line_of_json_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, articles: str, tmp_path: Path
) -> None:
    lines = io.StringIO()
    monkeypatch.setattr("sys.stderr", lines)
    monkeypatch.setattr(Display, "interval", 0.001)
    engine = ToyEngine()
    with Job(JobSettings(articles, tmp_path / "out.jsonl", Recipe("zh-Hans"))) as job, Display(Meter(job, engine)):
        job.run(engine, threading.Event())
    shown = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert shown[-1]["records"] == RECORDS
    assert shown[-1]["output_tokens_per_second"] > 0
    assert shown[-1]["seconds_left"] == 0
