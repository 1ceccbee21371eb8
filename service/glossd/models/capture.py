"""Recording work on a device once, to run it again without its Python: the seam, and CUDA graphs behind it.

What is recorded reads and writes the same memory each time, and no number of it goes through the host.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import torch

from glossd.errors import ModelFaultError

Work = Callable[[], None]
"""Something to do on the device over memory that stays where it is; run again, or replayed, it does the same."""

_WARM_UPS = 2

_log = logging.getLogger(__name__)


class Capture(Protocol):
    """Records work; all that one capture recorded is dropped with it."""

    def record(self, work: Work) -> Work:
        """What does the same as ``work`` when it is called. ``work`` may be done some times on the way."""
        ...


class CudaCapture:
    """CUDA graphs over one pool of memory; they are replayed one after another, on the caller's stream.

    Not run on a GPU so far. PyTorch allows one capture at a time in a process, hence the lock.
    """

    _alone: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._place: tuple[torch.cuda.Stream, Any] | None = None

    def record(self, work: Work) -> Work:
        """See :class:`Capture`. Raises ``ModelFaultError`` where the device refuses, or what it lacks memory for."""
        try:
            with self._alone, torch.cuda.device(self._device):
                return self._capture(work)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            problem = f"a decode step cannot be captured as a CUDA graph on {self._device}"
            _log.error("%s (%s); set models.cuda_graphs=false to run without", problem, type(error).__name__)
            raise ModelFaultError(f"{problem}; models.cuda_graphs=false runs without") from error

    def _capture(self, work: Work) -> Work:
        """Warm up on the stream of the capture, as libraries set themselves up for each stream, then capture there."""
        if self._place is None:
            self._place = torch.cuda.Stream(self._device), torch.cuda.graph_pool_handle()
        stream, pool = self._place
        current = torch.cuda.current_stream(self._device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                work()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate memory meanwhile; only what this one does must be fit for a graph.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            work()
        return graph.replay
