"""A run from toy data to a checkpoint: it learns, resumes to the same numbers, and survives a kill at any time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch

from tests.training.toys import train_settings
from training.batches import PlanSettings, plan_steps
from training.checkpoint import Position, load_position, load_tensor
from training.export import write_model
from training.parameters import Shape
from training.store import read_epoch
from training.train import open_run, train
from training.vocabulary import load_vocabulary
from training.workers import TrainSettings, next_moment

ROOT = Path(__file__).resolve().parents[2]


def small_shape(work: Path) -> Shape:
    vocabulary = load_vocabulary(work / "vocabulary")
    return Shape(vocabulary.size, vocabulary.target_size, 32, 48, 1, 1, 1)


def fresh(prepared: Path, directory: Path) -> Path:
    shutil.copytree(prepared, directory)
    return directory


def go(work: Path, last_step: int) -> torch.Tensor:
    run = open_run(work, small_shape(work), "general", seed=3)
    train(run, train_settings(work, last_step))
    return load_tensor(work / "checkpoint.safetensors", "master")


def test_a_resumed_run_equals_an_uninterrupted_one(prepared: Path, tmp_path: Path) -> None:
    whole = fresh(prepared, tmp_path / "whole")
    straight = go(whole, 8)
    parts = fresh(prepared, tmp_path / "parts")
    go(parts, 3)
    assert load_position(parts / "checkpoint.safetensors")[1].step == 3
    resumed = go(parts, 8)
    assert torch.equal(straight, resumed)
    for name in ("first", "second", "average"):
        vectors = [load_tensor(work / "checkpoint.safetensors", name) for work in (whole, parts)]
        assert torch.equal(*vectors), name


def test_a_killed_run_goes_on_from_a_whole_checkpoint(prepared: Path, tmp_path: Path) -> None:
    straight = go(fresh(prepared, tmp_path / "whole"), 40)
    work = fresh(prepared, tmp_path / "killed")
    code = (
        "import sys; from pathlib import Path; from tests.training.test_train import small_shape, open_run, train;"
        "from tests.training.toys import train_settings; work = Path(sys.argv[1]);"
        "train(open_run(work, small_shape(work), 'general', seed=3), train_settings(work, 40, save_seconds=0))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(work)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()  # the line after step 2: at least one checkpoint was written
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert load_position(work / "checkpoint.safetensors")[1].step >= 1
    assert torch.equal(straight, go(work, 40))


def test_the_loss_falls_and_is_logged(prepared: Path, tmp_path: Path) -> None:
    work = fresh(prepared, tmp_path / "work")
    go(work, 60)
    lines = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines[:3]] == [2, 4, 6]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5


def test_an_exported_model_is_a_place_to_go_on_from(prepared: Path, tmp_path: Path) -> None:
    work = fresh(prepared, tmp_path / "work")
    parameters = go(work, 4)
    shape = small_shape(work)
    write_model(tmp_path / "model", shape, parameters, work / "vocabulary")
    (work / "checkpoint.safetensors").unlink()
    run = open_run(work, shape, "general", seed=3, initial=tmp_path / "model")
    assert run.shape == shape
    assert torch.allclose(run.state.master, parameters, atol=2e-3)
    assert (run.position.step, run.position.data) == (0, "general")


def test_other_epochs_start_at_their_beginning(prepared: Path, tmp_path: Path) -> None:
    work = fresh(prepared, tmp_path / "work")
    go(work, 3)
    run = open_run(work, small_shape(work), "news", seed=3)
    assert (run.position.data, run.position.epoch, run.position.step_in_epoch, run.position.step) == ("news", 0, 0, 3)


def test_a_plan_reads_every_pair_once_without_source_padding(prepared: Path) -> None:
    epoch = read_epoch(prepared / "epochs" / "general-00.npz")
    steps = plan_steps(epoch, PlanSettings(batch_pieces=300, step_pieces=1), seed=1)
    rows = [int(row) for step in steps for batch in step.batches for row in batch]
    assert sorted(rows) == list(range(len(epoch)))
    lengths = epoch.source_offsets[1:] - epoch.source_offsets[:-1]
    assert all(len({int(lengths[row]) for row in batch}) == 1 for step in steps for batch in step.batches)


@pytest.mark.parametrize(("step", "factor"), [(150, 0.5), (300, 1.0), (3000, 1.0), (12000, 0.5)])
def test_the_rate_warms_up_and_falls_with_the_square_root(step: int, factor: float) -> None:
    assert TrainSettings(Path()).factor(step, datetime(2030, 1, 1)) == pytest.approx(factor)


def test_the_rate_reaches_zero_at_the_end() -> None:
    now = datetime(2030, 1, 1, 12, 0)
    settings = TrainSettings(Path(), until=now + timedelta(minutes=10), decay_seconds=1200)
    assert settings.factor(300, now) == pytest.approx(0.5)
    assert settings.factor(300, now + timedelta(minutes=10)) == 0.0
    assert settings.finished(300, now + timedelta(minutes=10))
    assert TrainSettings(Path(), last_step=500, decay_steps=100).factor(451, now) == pytest.approx(0.5)


def test_a_clock_time_is_the_next_one_to_come() -> None:
    now = datetime(2030, 1, 1, 12, 0)
    assert next_moment("12:30", now) == datetime(2030, 1, 1, 12, 30)
    assert next_moment("11:30", now) == datetime(2030, 1, 2, 11, 30)


def test_a_run_that_went_on_from_a_model_counts_what_that_model_had_read() -> None:
    position = Position(step=2, pairs=30, target_pieces=400, seconds=1800.0)
    whole = position.after(10, 200, 3000, 1.5)
    assert (whole.step, whole.pairs, whole.target_pieces, whole.seconds) == (12, 230, 3400, 7200.0)
