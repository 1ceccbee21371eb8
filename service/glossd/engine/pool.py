"""Several engines over the same weights, each with a thread and rows of its own, behind one :class:`Generator`.

On a CPU, workers with one compute thread each are faster than one worker with as many threads: the small operators of
a decode step do not split well.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import torch

from glossd.engine.engine import Engine, EngineLimits
from glossd.engine.statistics import EngineStatistics, total
from glossd.models.base import Seq2SeqModel
from glossd.types import Generation, GenerationRequest

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
        on_death: Callable[[BaseException], None] | None = None,
    ) -> None:
        limits = limits or EngineLimits()
        device = device or torch.device("cpu")
        cores = len(os.sched_getaffinity(0))
        count = limits.workers or (cores if device.type == "cpu" else 1)
        own = replace(
            limits, threads=limits.threads or max(1, cores // count), queue_tokens=max(1, limits.queue_tokens // count)
        )
        self._workers = [
            Engine(model, limits=own, name=f"{name}-{number}", device=device, on_death=on_death)
            for number in range(count)
        ]
        self._lock = threading.Lock()
        self._loads = [0] * count
        self._homes: OrderedDict[int, int] = OrderedDict()

    @property
    def alive(self) -> bool:
        """Whether every worker still works."""
        return all(worker.alive for worker in self._workers)

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
            future = self._workers[number].submit(request)
        except BaseException:
            self._unload(number, length)
            raise
        future.add_done_callback(lambda _: self._unload(number, length))
        return future

    def close(self) -> None:
        """Finish what is queued, then stop all workers. Idempotent."""
        for worker in self._workers:
            worker.close()

    def statistics(self) -> EngineStatistics:
        """The workers' statistics added up."""
        return total([worker.statistics() for worker in self._workers])

    def _unload(self, number: int, length: int) -> None:
        with self._lock:
            self._loads[number] -= length
