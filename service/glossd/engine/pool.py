"""Several engines over the same weights, each with a thread and rows of its own, behind one :class:`Generator`.

On a CPU, workers with one compute thread each are faster than one worker with as many threads: the small operators of
a decode step do not split well.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import replace

import torch

from glossd.engine.engine import Engine, EngineLimits
from glossd.engine.statistics import EngineStatistics, total
from glossd.engine.watch import OnDeath, Post, Watch
from glossd.models.base import Seq2SeqModel
from glossd.types import Alignment, AlignmentRequest, Generation, GenerationRequest

_REMEMBERED = 65_536


class EnginePool:
    """Sends each request to the worker with the least work, and an identical one to where the first went."""

    def __init__(
        self,
        model: Seq2SeqModel,
        *,
        limits: EngineLimits | None = None,
        name: str = "model",
        device: torch.device | None = None,
        on_death: OnDeath | None = None,
    ) -> None:
        """``on_death`` is told, from any thread, when a worker is lost that cannot be replaced."""
        limits = limits or EngineLimits()
        device = device or torch.device("cpu")
        cores = len(os.sched_getaffinity(0))
        count = limits.workers or (cores if device.type == "cpu" else 1)
        own = replace(
            limits, threads=limits.threads or max(1, cores // count), queue_tokens=max(1, limits.queue_tokens // count)
        )
        self._posts = [_post(model, own, f"{name}-{number}", device, on_death) for number in range(count)]
        self._watch = Watch(self._posts, limits=own, name=name, on_lost=on_death)
        self._lock = threading.Lock()
        self._loads = [0] * count
        self._homes: OrderedDict[int, int] = OrderedDict()

    @property
    def alive(self) -> bool:
        """Whether every worker is well."""
        return not self.condition

    @property
    def condition(self) -> str:
        """What is wrong with a worker, or "" when all are well."""
        if not self._watch.alive:
            return "nobody watches its engines"
        return next((post.condition for post in self._posts if post.condition), "")

    @property
    def restarts(self) -> int:
        """How often a worker that died was replaced."""
        return sum(post.restarts for post in self._posts)

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """See :class:`glossd.engine.generator.Generator`."""
        key = hash((request.source_ids, request.params))
        length = len(request.source_ids)
        with self._lock:
            number = self._homes.get(key, -1)
            if number < 0:
                number = self._loads.index(min(self._loads))
                self._homes[key] = number
                if len(self._homes) > _REMEMBERED:
                    self._homes.popitem(last=False)
            self._loads[number] += length
        try:
            future = self._posts[number].engine.submit(request)
        except BaseException:
            self._unload(number, length)
            raise
        future.add_done_callback(lambda _: self._unload(number, length))
        return future

    @property
    def aligns(self) -> bool:
        """Whether :meth:`align` can be called for this model."""
        return all(post.engine.alignments.possible for post in self._posts)

    def align(self, request: AlignmentRequest) -> Future[Alignment]:
        """See :class:`glossd.engine.generator.Aligner`: by the worker with the least work."""
        with self._lock:
            number = self._loads.index(min(self._loads))
        return self._posts[number].engine.alignments.align(request)

    def close(self) -> None:
        """Finish what is queued, then stop all workers. Idempotent. A worker that hangs is left behind."""
        for post in self._posts:
            post.close()
        self._watch.close()

    def statistics(self) -> EngineStatistics:
        """The workers' statistics added up."""
        return total([post.statistics() for post in self._posts])

    def _unload(self, number: int, length: int) -> None:
        with self._lock:
            self._loads[number] -= length


def _post(model: Seq2SeqModel, limits: EngineLimits, name: str, device: torch.device, on_lost: OnDeath | None) -> Post:
    def start(on_death: OnDeath) -> Engine:
        return Engine(model, limits=limits, name=name, device=device, on_death=on_death)

    return Post(start, limits=limits, name=name, on_lost=on_lost)
