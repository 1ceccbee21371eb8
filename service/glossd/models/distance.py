"""T5's positions: a bias on attention scores by the distance between query and key, spelled out for every distance.

Source: Raffel et al. 2019; the buckets are those of the ``transformers`` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from glossd.models.program import Distances


@dataclass(frozen=True, slots=True)
class DistanceBias:
    """What attention scores gain by distance: ``table`` (2 * reach + 1, H), row ``reach`` is distance 0.

    Distance is key position minus query position; beyond ``reach`` all are one, so every text length is covered.
    """

    table: Tensor
    reach: int

    @classmethod
    def of(cls, attention: Any, config: Any, *, both_ways: bool) -> DistanceBias:
        """Spell out a bucketed embedding (buckets, H) for every distance that has a bucket of its own."""
        reach = int(config.relative_attention_max_distance)
        distances = torch.arange(-reach, reach + 1)
        numbers = bucket_numbers(distances, int(config.relative_attention_num_buckets), reach, both_ways=both_ways)
        weight: Tensor = attention.relative_attention_bias.weight.detach()
        return cls(weight[numbers.to(weight.device)].contiguous(), reach)

    def spelled(self) -> Distances:
        """The table as the C operators read it."""
        return Distances(self.table.float().t().contiguous(), self.reach)

    def between(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Bias (..., H, Q, K) between query positions (..., Q) int64 and key positions (K,) int64.

        Contiguous, or a GPU's fused attention would not take it.
        """
        distances = (keys - queries.unsqueeze(-1)).clamp(-self.reach, self.reach) + self.reach
        return functional.embedding(distances, self.table).movedim(-1, -3).contiguous()


def bucket_numbers(distances: Tensor, buckets: int, reach: int, *, both_ways: bool) -> Tensor:
    """T5's bucket of each distance (N,) int64: near ones exactly, far ones by logarithm, all past ``reach`` the last.

    ``both_ways``: half of the buckets are for keys after the query; else those all fall into the first.
    """
    numbers = torch.zeros_like(distances)
    if both_ways:
        buckets //= 2
        numbers += (distances > 0) * buckets
        distances = distances.abs()
    else:
        distances = (-distances).clamp_min(0)
    exact = buckets // 2
    ratio = torch.log(distances.float() / exact) / math.log(reach / exact) * (buckets - exact)
    far = (exact + ratio.clamp_min(0).to(torch.int64)).clamp_max(buckets - 1)
    return numbers + torch.where(distances < exact, distances, far)
