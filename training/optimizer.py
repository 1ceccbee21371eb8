"""Muon for the layers' matrices and Adam for everything else, on flat vectors, split between workers by slots.

Muon: Jordan et al. 2024, with the step scaled to Adam's size (Liu et al. 2025), as `torch.optim.Muon` with
`adjust_lr_fn="match_rms_adamw"`; here it works on shards of one flat vector and on stacks of equal matrices.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch

from training.kernel import adam_fits, compiled_adam
from training.parameters import EMBEDDING, Layout, Slot

_QUINTIC = (3.4445, -4.7750, 2.0315)
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """Rates are peak values; the schedule multiplies both by one factor."""

    matrix_rate: float = 3e-3
    rate: float = 1.5e-3
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.98
    decay: float = 0.02
    iterations: int = 4


@dataclass(frozen=True, slots=True)
class State:
    """Flat float32 vectors of the layout's size: parameters, first and second moment, and their running average."""

    master: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    average: torch.Tensor

    @classmethod
    def start(cls, parameters: torch.Tensor) -> State:
        """Moments at zero, average at the parameters."""
        return cls(parameters, torch.zeros_like(parameters), torch.zeros_like(parameters), parameters.clone())

    def tensors(self) -> dict[str, torch.Tensor]:
        """By field name."""
        return {name: getattr(self, name) for name in ("master", "first", "second", "average")}


def orthogonalize(stack: torch.Tensor, iterations: int) -> torch.Tensor:
    """Nearest orthogonal matrices by a quintic Newton-Schulz iteration, bfloat16; input [matrices, rows, columns]."""
    a, b, c = _QUINTIC
    x = stack.to(torch.bfloat16)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / x.float().norm(dim=(1, 2), keepdim=True).clamp_min(1e-7).to(torch.bfloat16)
    for _ in range(iterations):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: torch.Tensor = x.transpose(1, 2) if tall else x
    return result


class Optimizer:
    """Updates the slots of one worker's shard; all vectors may lie in memory shared with other workers."""

    def __init__(
        self, layout: Layout, state: State, settings: OptimizerSettings, *, worker: int = 0, workers: int = 1
    ) -> None:
        self.layout, self.state, self.settings = layout, state, settings
        by_shape: dict[tuple[int, ...], list[Slot]] = defaultdict(list)
        for slot in layout.slots.values():
            if slot.is_matrix:
                by_shape[slot.shape].append(slot)
        self.matrices = [slots[worker::workers] for slots in by_shape.values()]
        self.ranges = self._plain_ranges(worker, workers)

    def _plain_ranges(self, worker: int, workers: int) -> list[tuple[int, int]]:
        embedding = self.layout.slots[EMBEDDING]
        rows = embedding.shape[0]
        width = embedding.shape[1]
        ranges = [(rows * worker // workers * width, rows * (worker + 1) // workers * width)]
        plain = [slot for slot in self.layout.slots.values() if not slot.is_matrix and slot.name != EMBEDDING]
        return ranges + [(slot.offset, slot.offset + slot.size) for slot in plain[worker::workers]]

    @torch.no_grad()
    def step(self, gradients: torch.Tensor, live: torch.Tensor, *, factor: float, number: int) -> None:
        """Apply one update from the sum of `gradients` (float32 [workers, size]), with rates times `factor`; `number`
        counts from 1. The updated values are also written to `live`, the low-precision vector the network reads.
        """
        width = self.layout.shape.width
        pad = self.layout.slots[EMBEDDING].size - width
        for start, stop in self.ranges:
            if stop == pad + width:
                gradients[:, pad:stop] = 0.0  # <pad> stays the zero vector
            self._adam(gradients, live, start, stop, factor, number)
        for slots in self.matrices:
            if slots:
                self._muon(slots, gradients, live, factor)

    def _adam(
        self, gradients: torch.Tensor, live: torch.Tensor, start: int, stop: int, factor: float, number: int
    ) -> None:
        settings, state = self.settings, self.state
        rate = settings.rate * factor / (1 - settings.beta1**number)
        scale = (1 - settings.beta2**number) ** -0.5
        if adam_fits(start, stop, live):
            values = [1 - settings.beta1, 1 - settings.beta2, rate, scale, _EPSILON]
            vectors = (state.first, state.second, state.master, live)
            compiled_adam(gradients, vectors, start, stop, values)
            return
        gradient = gradients[:, start:stop].sum(0)
        first, second = state.first[start:stop], state.second[start:stop]
        first.lerp_(gradient, 1 - settings.beta1)
        second.mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
        master = state.master[start:stop]
        master.addcdiv_(first, second.sqrt().mul_(scale).add_(_EPSILON), value=-rate)
        live[start:stop].copy_(master)

    def _muon(self, slots: list[Slot], gradients: torch.Tensor, live: torch.Tensor, factor: float) -> None:
        settings, state = self.settings, self.state
        updates = []
        for slot in slots:
            start, stop = slot.offset, slot.offset + slot.size
            gradient = gradients[:, start:stop].sum(0)
            momentum = state.first[start:stop]
            momentum.lerp_(gradient, 1 - settings.momentum)
            updates.append(gradient.lerp_(momentum, settings.momentum).view(slot.shape))
        directions = orthogonalize(torch.stack(updates), settings.iterations)
        rate = settings.matrix_rate * factor
        size = 0.2 * max(slots[0].shape) ** 0.5
        for slot, direction in zip(slots, directions, strict=True):
            master = self.layout.view(state.master, slot.name)
            master.mul_(1 - rate * settings.decay).add_(direction.float(), alpha=-rate * size)
            self.layout.view(live, slot.name).copy_(master)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the running average of this worker's shard towards the parameters."""
        spans = self.ranges + [(s.offset, s.offset + s.size) for slots in self.matrices for s in slots]
        for start, stop in spans:
            self.state.average[start:stop].lerp_(self.state.master[start:stop], 1 - decay)
