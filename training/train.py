"""`python -m training.train`: start or resume a run. The work is in `training.workers`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing
from torch.multiprocessing.spawn import spawn

from training.align import Aligner
from training.batches import PlanSettings
from training.checkpoint import Position, load_position, load_tensor
from training.export import read_model
from training.optimizer import OptimizerSettings, State
from training.parameters import Layout, Shape, initial_parameters
from training.store import read_epoch
from training.vocabulary import load_vocabulary
from training.workers import Shared, TrainSettings, next_moment, run_worker


@dataclass(frozen=True, slots=True)
class Run:
    """State and place of a run that is about to start or to go on."""

    shape: Shape
    state: State
    position: Position


def open_run(work: Path, shape: Shape, data: str, seed: int, initial: Path | None = None) -> Run:
    """Resume from the checkpoint in `work`; else go on from an exported model (`initial`); else start anew with
    embeddings from the alignment tables.
    """
    path = work / "checkpoint.safetensors"
    if path.exists():
        shape, position = load_position(path)
        state = State(**{name: load_tensor(path, name) for name in ("master", "first", "second", "average")})
        if position.data != data:
            position = replace(position, data=data, epoch=0, step_in_epoch=0)
        return Run(shape, state, position)
    if initial is not None:
        shape, parameters = read_model(initial)
        return Run(shape, State.start(parameters), Position(data=data))
    aligner = Aligner.load(work / "alignment.npz")
    epoch = read_epoch(sorted((work / "epochs").glob(f"{data}-*.npz"))[0])
    counts = torch.from_numpy(np.bincount(epoch.target, minlength=shape.target_vocabulary))
    parameters = initial_parameters(
        Layout(shape),
        torch.Generator().manual_seed(seed),
        translations=aligner.translations(),
        compact=torch.from_numpy(aligner.compact),
        target_counts=counts,
    )
    return Run(shape, State.start(parameters), Position(data=data))


def train(run: Run, settings: TrainSettings) -> Position:
    """Train with `settings.workers` processes (one runs in this process) and return the saved position."""
    shared = Shared.allocate(run.state, settings.workers)
    context = torch.multiprocessing.get_context("spawn")
    counter, barrier = context.Value("q", 0), context.Barrier(settings.workers)
    arguments = (run.shape, shared, settings, run.position, counter, barrier)
    if settings.workers == 1:
        run_worker(0, *arguments)
    else:
        spawn(run_worker, args=arguments, nprocs=settings.workers)
    return load_position(settings.work / "checkpoint.safetensors")[1]


def main(arguments: list[str] | None = None) -> None:
    """Read flags and train."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".train"), help="what `training.prepare` filled")
    parser.add_argument("--data", default="general", help="which epoch files: general or news")
    parser.add_argument("--initial", type=Path, help="exported model to go on from where there is no checkpoint")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--until", help="stop when the local clock shows HH:MM")
    parser.add_argument("--last-step", type=int, help="stop after this step")
    parser.add_argument("--decay-minutes", type=float, default=0.0, help="let the rate fall to zero before --until")
    parser.add_argument("--decay-steps", type=int, default=0, help="let the rate fall to zero before --last-step")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--feed-forward", type=int, default=1024)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--encoder-layers", type=int, default=6)
    parser.add_argument("--decoder-layers", type=int, default=2)
    parser.add_argument("--batch-pieces", type=int, default=3000, help="source plus target pieces of one batch")
    parser.add_argument("--step-pieces", type=int, default=6000, help="target pieces of one update")
    parser.add_argument("--matrix-rate", type=float, default=3e-3, help="Muon's peak rate")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="Adam's peak rate")
    parser.add_argument("--warmup-steps", type=int, default=300)
    parser.add_argument("--flat-steps", type=int, default=3000, help="steps before the inverse square root sets in")
    parser.add_argument("--guidance-steps", type=int, default=4000, help="steps with supervised cross-attention")
    parser.add_argument("--input-dropout", type=float, default=0.0, help="share of decoder inputs read as <unk>")
    parser.add_argument("--save-seconds", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=7)
    flags = parser.parse_args(arguments)
    vocabulary = load_vocabulary(flags.work / "vocabulary")
    shape = Shape(
        vocabulary.size, vocabulary.target_size, flags.width, flags.feed_forward, flags.heads,
        flags.encoder_layers, flags.decoder_layers,
    )  # fmt: skip
    settings = TrainSettings(
        work=flags.work,
        workers=flags.workers,
        warmup_steps=flags.warmup_steps,
        flat_steps=flags.flat_steps,
        guidance_steps=flags.guidance_steps,
        last_step=flags.last_step,
        until=next_moment(flags.until, datetime.now()) if flags.until else None,
        decay_seconds=flags.decay_minutes * 60,
        decay_steps=flags.decay_steps,
        save_seconds=flags.save_seconds,
        seed=flags.seed,
        plan=PlanSettings(flags.batch_pieces, flags.step_pieces, curriculum=True, input_dropout=flags.input_dropout),
        optimizer=OptimizerSettings(matrix_rate=flags.matrix_rate, rate=flags.rate),
    )
    run = open_run(flags.work, shape, flags.data, flags.seed, flags.initial)
    print(f"{Layout(run.shape).size:,} parameters, from step {run.position.step:,}", flush=True)
    train(run, settings)


if __name__ == "__main__":
    main()
