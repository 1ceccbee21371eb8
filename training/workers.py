"""Training processes that share one memory: each takes the next batch of a step when free, then updates its shard.

A step's batches are dealt out by a shared counter, so a worker whose core is busy with something else takes fewer;
gradients meet in shared vectors, and every worker updates its own part of the parameters.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from training.batches import PlanSettings, Step, make_batch, plan_steps
from training.checkpoint import Position, save_checkpoint
from training.network import Network
from training.optimizer import Optimizer, OptimizerSettings, State
from training.parameters import Layout, Shape
from training.store import Epoch, read_epoch


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything a run needs beside its state. Times are seconds, `until` a moment of the local clock."""

    work: Path
    workers: int = 2
    warmup_steps: int = 300
    flat_steps: int = 3000
    guidance: float = 0.5
    guidance_steps: int = 4000
    smoothing: float = 0.1
    average_every: int = 8
    average_decay: float = 0.95
    last_step: int | None = None
    until: datetime | None = None
    decay_seconds: float = 0.0
    decay_steps: int = 0
    save_seconds: float = 240.0
    log_steps: int = 50
    seed: int = 7
    plan: PlanSettings = field(default_factory=PlanSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)

    def factor(self, step: int, now: datetime) -> float:
        """Rate factor: linear warm-up, flat, inverse square root, and a linear decay to zero at the end."""
        factor = min(step / self.warmup_steps, 1.0) * min(1.0, (self.flat_steps / max(step, 1)) ** 0.5)
        if self.last_step is not None and self.decay_steps:
            factor *= min(1.0, max(0.0, (self.last_step - step + 1) / self.decay_steps))
        if self.until is not None and self.decay_seconds:
            factor *= min(1.0, max(0.0, (self.until - now).total_seconds() / self.decay_seconds))
        return float(factor)

    def guidance_at(self, step: int) -> float:
        """Weight of the guidance loss: falls linearly to zero."""
        return self.guidance * max(0.0, 1.0 - step / self.guidance_steps) if self.guidance_steps else 0.0

    def finished(self, step: int, now: datetime) -> bool:
        """Whether the run ends after `step` steps."""
        over = self.last_step is not None and step >= self.last_step
        return over or (self.until is not None and now >= self.until)


@dataclass(frozen=True, slots=True)
class Shared:
    """Vectors and counters in memory that all workers see. `sums`: per worker loss, guidance; `control`: factor,
    stop flag.
    """

    state: State
    live: torch.Tensor  # bfloat16 [size]: what the networks read
    gradients: torch.Tensor  # float32 [workers, size]
    sums: torch.Tensor  # float64 [workers, 2]
    control: torch.Tensor  # float64 [2]

    @classmethod
    def allocate(cls, state: State, workers: int) -> Shared:
        """Move everything into shared memory."""
        return cls(
            State(**{name: tensor.share_memory_() for name, tensor in state.tensors().items()}),
            state.master.to(torch.bfloat16).share_memory_(),
            torch.zeros(workers, state.master.numel()).share_memory_(),
            torch.zeros(workers, 2, dtype=torch.float64).share_memory_(),
            torch.zeros(2, dtype=torch.float64).share_memory_(),
        )


def next_moment(clock: str, now: datetime) -> datetime:
    """The next time the local clock shows HH:MM."""
    hour, minute = (int(part) for part in clock.split(":"))
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return moment if moment > now else moment + timedelta(days=1)


class Worker:
    """One training process. Worker 0 also keeps the position, the log and the checkpoints."""

    def __init__(
        self,
        shape: Shape,
        shared: Shared,
        settings: TrainSettings,
        position: Position,
        number: int,
        counter: Any,
        barrier: Barrier,
    ) -> None:
        self.settings, self.shared, self.position, self.number = settings, shared, position, number
        self.counter, self.barrier = counter, barrier
        layout = Layout(shape)
        self.network = Network(layout, shared.live)
        self.optimizer = Optimizer(layout, shared.state, settings.optimizer, worker=number, workers=settings.workers)
        self.shape = shape
        self._saved = self._started = self._logged = time.monotonic()
        self._window = [0.0, 0.0, 0, 0]  # loss, guidance, target pieces, pairs since the last line
        self._stop = False

    def run(self) -> None:
        """Train until the budget is used up or SIGTERM arrives; worker 0 saves at the end."""
        if self.number == 0:
            signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_stop", True))
        else:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        files = sorted((self.settings.work / "epochs").glob(f"{self.position.data}-*.npz"))
        if not files:
            raise FileNotFoundError(f"no epoch files {self.position.data}-*.npz in {self.settings.work / 'epochs'}")
        while True:
            files = sorted((self.settings.work / "epochs").glob(f"{self.position.data}-*.npz"))
            number = self.position.epoch
            epoch = read_epoch(files[number % len(files)])
            first = self.position.step == self.position.step_in_epoch and self.position.data == "general"
            plan = replace(self.settings.plan, curriculum=self.settings.plan.curriculum and first)
            steps = plan_steps(epoch, plan, self.settings.seed + number)
            for step in steps[self.position.step_in_epoch :]:
                if not self._step(epoch, step):
                    return
            self.position.epoch, self.position.step_in_epoch = number + 1, 0

    def _step(self, epoch: Epoch, step: Step) -> bool:
        settings, position = self.settings, self.position
        gradients = self.shared.gradients[self.number]
        self.network.clear(gradients)
        self._accumulate(epoch, step, gradients)
        if self.number == 0:
            now = datetime.now()
            self.shared.control[0] = settings.factor(position.step + 1, now)
            self.shared.control[1] = self._stop or settings.finished(position.step + 1, now)
        self.barrier.wait()
        factor, stop = self.shared.control.tolist()
        self.optimizer.step(self.shared.gradients, self.shared.live, factor=factor, number=position.step + 1)
        if position.step % settings.average_every == 0:
            decay = min(settings.average_decay, (position.step + 1) / (position.step + 100))
            self.optimizer.average(decay)
        position.step += 1
        position.step_in_epoch += 1
        position.pairs += sum(len(rows) for rows in step.batches)
        position.target_pieces += step.target_pieces
        if self.number == 0:
            self.counter.value = 0
            self._record(step, factor)
        self.barrier.wait()
        if self.number == 0:
            self._keep(bool(stop))
        return not stop

    def _accumulate(self, epoch: Epoch, step: Step, gradients: torch.Tensor) -> None:
        guidance = self.settings.guidance_at(self.position.step)
        sums = self.shared.sums[self.number]
        sums.zero_()
        while True:
            with self.counter.get_lock():
                taken = self.counter.value
                self.counter.value = taken + 1
            if taken >= len(step.batches):
                self.network.collect(gradients)
                return
            batch = make_batch(epoch, step.batches[taken], self.shape.vocabulary - 1, self.settings.plan.input_dropout)
            scale = 1.0 / step.target_pieces
            loss, guided = self.network.accumulate(
                batch, gradients, scale=scale, smoothing=self.settings.smoothing, guidance=guidance
            )
            sums[0] += loss
            sums[1] += guided

    def _record(self, step: Step, factor: float) -> None:
        loss, guided = self.shared.sums.sum(0).tolist()
        window = self._window
        window[0] += loss
        window[1] += guided
        window[2] += step.target_pieces
        window[3] += sum(len(rows) for rows in step.batches)
        position, now = self.position, time.monotonic()
        if position.step % self.settings.log_steps:
            return
        seconds = now - self._logged
        position.seconds += seconds
        line = {
            "step": position.step, "data": position.data, "epoch": position.epoch, "pairs": position.pairs,
            "loss": round(window[0] / window[2], 4), "guidance": round(window[1] / window[2], 4),
            "factor": round(factor, 4), "pairs_per_second": round(window[3] / seconds, 1),
            "hours": round(position.seconds / 3600, 4), "clock": datetime.now().strftime("%H:%M:%S"),
        }  # fmt: skip
        print(" ".join(f"{name}={value}" for name, value in line.items()), flush=True)
        with open(self.settings.work / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._window, self._logged = [0.0, 0.0, 0, 0], now

    def _keep(self, stop: bool) -> None:
        if stop or time.monotonic() - self._saved > self.settings.save_seconds:
            path = self.settings.work / "checkpoint.safetensors"
            save_checkpoint(path, self.shape, self.shared.state, self.position)
            self._saved = time.monotonic()


def run_worker(
    number: int,
    shape: Shape,
    shared: Shared,
    settings: TrainSettings,
    position: Position,
    counter: Any,
    barrier: Barrier,
) -> None:
    """Entry point of a training process; a failure breaks the barrier so that no worker waits for a dead one."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # moments of rare pieces decay into denormals, which the processor adds slowly
    try:
        Worker(shape, shared, settings, position, number, counter, barrier).run()
    except BaseException:
        barrier.abort()
        raise
    finally:  # one worker alone runs in its caller's process
        torch.set_flush_denormal(False)
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)
