"""A job from end to end with a toy engine: what comes out, what it refuses to go on with, and how it stops."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from glossd.corpus.entries import Fields, ReadSettings
from glossd.corpus.job import Job, JobSettings
from glossd.corpus.numbering import Selection
from glossd.corpus.recipe import Recipe
from glossd.errors import GlossdError, InvalidInputError

from tests.corpus_toys import ToyEngine, contents

RECORDS = 30


def article(number: int, **values: object) -> dict[str, object]:
    return {"id": f"a{number:02d}", "text": f"Article {number}. The ship is free."} | values


@pytest.fixture
def settings(tmp_path: Path) -> JobSettings:
    """A job over thirty articles, of which one is refused, one is no JSON and one has an id again."""
    rows = [article(number, **({"text": "refuse"} if number == 4 else {})) for number in range(RECORDS)]
    lines = [json.dumps(row) for row in rows]
    lines[9] = lines[9][:20]
    lines[20] = lines[3]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return JobSettings(str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", Recipe("zh-Hans"), shard_records=7)


def do(settings: JobSettings, engine: ToyEngine | None = None, stop: threading.Event | None = None) -> ToyEngine:
    engine = engine or ToyEngine()
    with Job(settings) as job:
        job.run(engine, stop or threading.Event())
    return engine


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stop_after(outcomes: int) -> tuple[ToyEngine, threading.Event]:
    """An engine during whose work somebody presses Ctrl-C."""
    stop = threading.Event()
    return ToyEngine(window=4, before=lambda number: stop.set() if number == outcomes else None), stop


def test_every_record_is_a_row_or_an_error_in_the_order_of_the_input(settings: JobSettings) -> None:
    do(settings)
    rows, errors = lines(settings.output), lines(Path(f"{settings.output}.errors.jsonl"))
    assert len(rows) + len(errors) == RECORDS
    assert [row["id"] for row in rows] == [f"a{each:02d}" for each in range(RECORDS) if each not in (4, 9, 20)]
    assert rows[0]["translated_body"] == "ARTICLE 0. THE SHIP IS FREE."
    assert [(each["id"], each["line"], each["reason"]) for each in errors] == [
        ("a04", 5, "TOY"),
        ("", 10, "BAD_RECORD"),
        ("a03", 21, "DUPLICATE_ID"),
    ]
    assert errors[2]["message"] == "the id of in.jsonl, line 4, again"
    assert errors[2]["file"] == "in.jsonl"


def test_a_report_adds_up_what_all_sessions_did(settings: JobSettings) -> None:
    do(settings, *stop_after(5))
    do(settings)
    report = json.loads(Path(f"{settings.output}.report.json").read_text())
    assert (report["records"], report["rows"], report["errors"], report["sessions"]) == (RECORDS, 27, 3, 2)
    assert report["reasons"] == {"TOY": 1, "BAD_RECORD": 1, "DUPLICATE_ID": 1}
    assert report["languages"] == {"en": 27}
    assert report["lengths"] == {"16": 27}
    assert sum(report["compression"].values()) == 27
    assert sum(moment["records"] for moment in report["throughput"]) == RECORDS
    assert report["run"]["engine"] == {"translation": "toy"}
    assert Path(f"{settings.output}.report.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_stopped_goes_on_and_does_nothing_twice(settings: JobSettings) -> None:
    first, stop = stop_after(5)
    with Job(settings) as job:
        assert job.run(first, stop) is None
        assert 0 < job.shards_done < 5
        done = 7 * job.shards_done
    assert not settings.output.exists()
    second = do(settings)
    assert len(first.worked_on) + len(second.worked_on) == RECORDS - 2
    assert set(first.worked_on) & set(second.worked_on) == set()
    assert len(first.worked_on) <= done
    assert len(lines(settings.output)) == 27


def test_a_finished_run_is_done_already(settings: JobSettings) -> None:
    do(settings)
    before = contents(settings.output.parent)
    with Job(settings) as job:
        assert job.finished is not None
        assert (job.finished["rows"], job.finished["errors"]) == (27, 3)
    after = contents(settings.output.parent)
    assert {name: after[name] for name in after if not name.endswith("lock")} == {
        name: before[name] for name in before if not name.endswith("lock")
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: replace(each, recipe=Recipe("de")), 'recipe.target_language_code ("zh-Hans", now "de")'),
        (lambda each: replace(each, recipe=Recipe("zh-Hans", segments=True)), "recipe.segments (false, now true)"),
        (lambda each: replace(each, shard_records=8), "shard_records (7, now 8)"),
        (lambda each: replace(each, models={"translation": "other"}), 'models.translation (null, now "other")'),
        (lambda each: replace(each, selection=Selection(limit=9)), "selection.limit (null, now 9)"),
        (lambda each: replace(each, reading=ReadSettings(fields=Fields("body"))), 'fields.text ("text", now "body")'),
    ],
)
def test_other_settings_are_refused_by_name(
    settings: JobSettings, change: Callable[[JobSettings], JobSettings], said: str
) -> None:
    do(settings, *stop_after(5))
    with pytest.raises(GlossdError, match="was begun with another") as refused, Job(change(settings)):
        pass
    assert said in str(refused.value)
    assert "--start-over begins again" in str(refused.value)


def test_another_model_is_refused_and_starting_over_is_not(settings: JobSettings) -> None:
    do(settings, *stop_after(5))
    with pytest.raises(GlossdError, match=r'another engine.translation \("toy", now "better"\)'):
        do(settings, ToyEngine(name="better"))
    engine = do(replace(settings, start_over=True), ToyEngine(name="better"))
    assert len(engine.worked_on) == RECORDS - 2


def test_a_changed_input_is_refused(settings: JobSettings) -> None:
    do(settings, *stop_after(5))
    with Path(settings.source).open("a") as file:
        file.write("\n" + json.dumps(article(99)))
    with pytest.raises(GlossdError, match=r"another input.bytes \(1,\d+, now 1,\d+\)"):
        do(settings)


@contextmanager
def standard_input(content: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "piped").write_text(content)
    with (tmp_path / "piped").open() as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", file)
        yield


def test_a_stream_that_is_another_one_is_refused_when_its_records_come_by(
    settings: JobSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = Path(settings.source).read_text()
    piped = replace(settings, source="-")
    with standard_input(content, monkeypatch, tmp_path):
        do(piped, *stop_after(5))
    with (
        standard_input(content.replace("Article 2.", "Article X."), monkeypatch, tmp_path),
        pytest.raises(GlossdError, match="records 0 to 6 are other ones"),
    ):
        do(piped)
    with (
        standard_input(content.splitlines()[0], monkeypatch, tmp_path),
        pytest.raises(GlossdError, match="records 0 to 6 are other ones"),
    ):
        do(piped)
    with (
        standard_input("", monkeypatch, tmp_path),
        pytest.raises(GlossdError, match=r"it has 0 records, and \d+ are done"),
    ):
        do(piped)
    with standard_input(content, monkeypatch, tmp_path):
        do(piped)
    assert len(lines(settings.output)) == 27


def test_a_second_run_on_the_same_output_is_refused(settings: JobSettings) -> None:
    with Job(settings), pytest.raises(GlossdError, match=rf"another run writes .* \(process {os.getpid()}\)"):
        do(settings)
    do(settings)


def test_an_output_that_is_no_runs_is_not_overwritten(settings: JobSettings) -> None:
    settings.output.write_text("precious")
    with pytest.raises(GlossdError, match="is there, and no run's; --start-over replaces it"):
        do(settings)
    assert settings.output.read_text() == "precious"
    do(replace(settings, start_over=True))
    assert len(lines(settings.output)) == 27


def test_an_output_that_was_changed_after_the_end_is_said(settings: JobSettings) -> None:
    do(settings)
    settings.output.write_text("changed")
    with Job(settings) as job, pytest.raises(GlossdError, match="is not what the finished run wrote"):
        _ = job.finished


def test_a_shard_whose_file_is_not_as_it_was_is_made_again(settings: JobSettings) -> None:
    do(settings, *stop_after(12))
    parts = Path(f"{settings.output}.parts")
    (parts / "part-00000000").write_bytes(b"damaged")
    with Job(settings) as job:
        job.run(ToyEngine(), threading.Event())
        assert job.lost_shards == (0,)
    assert len(lines(settings.output)) == 27


def test_a_damaged_journal_is_refused(settings: JobSettings) -> None:
    do(settings, *stop_after(5))
    journal = Path(f"{settings.output}.parts/journal.jsonl")
    content = journal.read_bytes()
    for bad in (b"{half\n" + content, content + b'{"kind": "unknown"}\n', content + b"[]\n"):
        journal.write_bytes(bad)
        with pytest.raises(GlossdError, match=r"journal\.jsonl is damaged"):
            do(settings)
    journal.write_bytes(content + b'{"kind": "shard", "num')
    do(settings)
    assert len(lines(settings.output)) == 27


@pytest.mark.parametrize("name", ["out.txt", "out", ".jsonl", "out.csv"])
def test_an_output_of_another_suffix_is_refused(settings: JobSettings, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"its suffix is none of \.jsonl"):
        Job(replace(settings, output=settings.output.with_name(name)))


@pytest.mark.parametrize("place", ["/proc/nothing/out.jsonl", "/dev/full/out.jsonl"])
def test_a_directory_that_cannot_be_written_is_said(settings: JobSettings, place: str) -> None:
    with pytest.raises(GlossdError, match=f"cannot write {place}.parts: "), Job(replace(settings, output=Path(place))):
        pass


def test_a_limit_on_the_size_of_files_is_said_and_what_is_done_is_kept(settings: JobSettings, tmp_path: Path) -> None:
    script = "\n".join(
        [
            "import sys, threading, resource",
            "from pathlib import Path",
            "from glossd.corpus.job import Job, JobSettings",
            "from glossd.corpus.recipe import Recipe",
            "from tests.corpus_toys import ToyEngine",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))",
            "settings = JobSettings(sys.argv[1], Path(sys.argv[2]), Recipe('zh-Hans'), shard_records=7)",
            "with Job(settings) as job: job.run(ToyEngine(), threading.Event())",
        ]
    )
    said = ""
    for limit in (900, 5000, 20_000):
        command = [sys.executable, "-c", script, settings.source, str(settings.output), str(limit)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 1, limit
        assert "GlossdError: cannot write" in ran.stderr
        assert not settings.output.exists()
        said += ran.stderr
    assert "File too large" in said
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    do(settings)
    assert len(lines(settings.output)) == 27


def test_a_sample_is_the_same_each_time_and_a_limit_ends_it(settings: JobSettings) -> None:
    taken = []
    for name in ("x.jsonl", "y.jsonl"):
        some = replace(settings, selection=Selection(sample=0.5), output=settings.output.with_name(name))
        taken.append(do(some).worked_on)
    assert sorted(taken[0]) == sorted(taken[1])
    assert 8 < len(taken[0]) < 22
    few = replace(settings, selection=Selection(limit=4))
    assert sorted(do(few).worked_on) == ["a00", "a01", "a02", "a03"]


def test_what_an_engine_raises_ends_the_run_and_it_goes_on_later(settings: JobSettings) -> None:
    def fail(number: int) -> None:
        if number == 20:
            raise GlossdError("the engine has died")

    with pytest.raises(GlossdError, match="the engine has died"):
        do(settings, ToyEngine(before=fail))
    do(settings)
    assert len(lines(settings.output)) == 27


def test_memory_does_not_hold_what_has_been_written(settings: JobSettings, tmp_path: Path) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps(article(number, text="word " * 2000)) + "\n" for number in range(2000)))
    peaks = {}
    for limit in (500, 2000):
        script = "\n".join(
            [
                "import sys, threading, resource",
                "from pathlib import Path",
                "from glossd.corpus.job import Job, JobSettings",
                "from glossd.corpus.numbering import Selection",
                "from glossd.corpus.recipe import Recipe",
                "from tests.corpus_toys import ToyEngine",
                "one = Selection(limit=int(sys.argv[3]))",
                "settings = JobSettings(sys.argv[1], Path(sys.argv[2]), Recipe('zh-Hans'), selection=one)",
                "with Job(settings) as job: job.run(ToyEngine(), threading.Event())",
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
            ]
        )
        command = [sys.executable, "-c", script, str(many), str(tmp_path / f"{limit}.jsonl"), str(limit)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        peaks[limit] = int(ran.stdout)
    assert peaks[2000] < peaks[500] + 20_000, "kibibytes; the rows of 1,500 articles are 30,000 of them"


def test_a_process_that_is_killed_lets_go_of_the_lock(settings: JobSettings) -> None:
    script = "\n".join(
        [
            "import os, signal, sys",
            "from tests.unit.corpus.test_job import Job, JobSettings, Recipe, Path",
            "job = Job(JobSettings(sys.argv[1], Path(sys.argv[2]), Recipe('zh-Hans'), shard_records=7)).__enter__()",
            "os.kill(os.getpid(), signal.SIGKILL)",
        ]
    )
    command = [sys.executable, "-c", script, settings.source, str(settings.output)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    do(settings)
