"""One decode step as the layers see it: where its rows stand, what they see, and the way into the cache's stores.

The same for a step that runs once and for one that is recorded and run again; no arithmetic of a layer is here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glossd.models.cache import KVCache, Layout
from glossd.native import Kernels


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """What every layer of one decode step needs: each row's position (R,) and how many positions the oldest row sees.

    ``seen`` (R, 1, 1, T) bool masks what lies after a row's own position, and ``mask`` is that as attention takes it.
    With ``kernels`` the attention reads each row's own ``counts`` (R,) positions and no mask; ``scratch`` is theirs.
    """

    cache: KVCache
    layout: Layout
    positions: Tensor
    time: int
    seen: Tensor
    mask: Tensor
    kernels: Kernels | None
    counts: Tensor
    scratch: Tensor

    @classmethod
    def begin(cls, positions: Tensor, cache: KVCache, kernels: Kernels | None = None) -> DecodeStep:
        """A step of the live rows; reserves room for it."""
        return cls.over(cache, cache.layout, positions, cache.begin(positions), kernels)

    @classmethod
    def over(
        cls, cache: KVCache, layout: Layout, positions: Tensor, time: int, kernels: Kernels | None = None
    ) -> DecodeStep:
        """A step of rows at ``positions`` that stand as ``layout`` says, with room for ``time`` positions."""
        numbers = torch.arange(time, device=positions.device)
        seen = (numbers <= positions[:, None])[:, None, None, :]
        scratch = torch.empty(3 * max(time, layout.time) if kernels else 0)
        return cls(cache, layout, positions, time, seen, cache.mask_of(seen), kernels, positions + 1, scratch)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new ``keys`` and ``values`` (R, H, D) at each row's own position.

        Returns views (R, H, T, D) of everything up to the oldest row's position.
        """
        rows = len(self.positions)
        past_keys, past_values = self.cache.self_store(layer)
        past_keys[self.layout.numbers, :, self.positions] = keys
        past_values[self.layout.numbers, :, self.positions] = values
        return past_keys[:rows, :, : self.time], past_values[:rows, :, : self.time]

    def cross(self, layer: int) -> tuple[Tensor, Tensor]:
        """Cross keys and values of the layout's sources: views (S, H, L, D)."""
        keys, values = self.cache.cross_store(layer)
        sources, time = self.layout.sources, self.layout.time
        return keys[:sources, :, :time], values[:sources, :, :time]
