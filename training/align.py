"""Word alignment of sub-word pieces: IBM model 1 with a diagonal prior in both directions, dense tables, vectorized.

Brown et al. 1993 for the model, Dyer et al. 2013 (fast_align) for the prior. Alignments guide the first part of the
training (cross-attention) and the initial embeddings; they are not needed to use a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.store import UNALIGNED, write_atomically
from training.vocabulary import Ids, Vocabulary

_FLOOR = 1e-7
_SHARPNESS = 5.0


@dataclass(frozen=True, slots=True)
class _Block:
    """Sentence pairs padded to one shape: `rows` are their numbers, ids are compact, masks true at real pieces."""

    rows: npt.NDArray[np.int64]
    source: torch.Tensor  # int64 [pairs, source pieces]
    target: torch.Tensor  # int64 [pairs, target pieces]
    source_mask: torch.Tensor  # bool [pairs, source pieces]
    target_mask: torch.Tensor  # bool [pairs, target pieces]

    def keys(self, width: int) -> torch.Tensor:
        """Index into a flat [source, target] table, int64 [pairs, source, target]."""
        return self.source[:, :, None] * width + self.target[:, None, :]

    def prior(self) -> torch.Tensor:
        """Unnormalized diagonal prior, zero on padding, float32 [pairs, source, target]."""
        positions = [
            torch.arange(mask.shape[1])[None, :] / mask.sum(1, keepdim=True)
            for mask in (self.source_mask, self.target_mask)
        ]
        near = torch.exp(-_SHARPNESS * (positions[0][:, :, None] - positions[1][:, None, :]).abs())
        return near * (self.source_mask[:, :, None] & self.target_mask[:, None, :])


def _blocks(sources: list[Ids], targets: list[Ids], cells: int = 2_000_000) -> Iterator[_Block]:
    order = sorted(range(len(sources)), key=lambda i: (len(sources[i]), len(targets[i])))
    start = 0
    while start < len(order):
        stop, longest = start, 0
        while stop < len(order):
            longest = max(longest, len(targets[order[stop]]))
            if stop > start and (stop - start + 1) * longest * len(sources[order[stop]]) > cells:
                break
            stop += 1
        rows = order[start:stop]
        yield _Block(np.array(rows), *_padded([sources[i] for i in rows], [targets[i] for i in rows]))
        start = stop


def _padded(sources: list[Ids], targets: list[Ids]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    filled = []
    for rows in (sources, targets):
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max())[None, :] < lengths[:, None]
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = np.concatenate(rows)
        filled.append((torch.from_numpy(ids), torch.from_numpy(mask)))
    (source, source_mask), (target, target_mask) = filled
    return source, target, source_mask, target_mask


class Aligner:
    """Two dense tables over compact source ids and target ids: how likely each names the other."""

    def __init__(self, compact: npt.NDArray[np.int64], forward: torch.Tensor, backward: torch.Tensor) -> None:
        self.compact = compact
        self.forward = forward  # float32 [source, target], sums to 1 over targets
        self.backward = backward  # float32 [source, target], sums to 1 over sources

    def align(self, sources: list[Ids], targets: list[Ids], threshold: float = 0.03) -> list[npt.NDArray[np.uint8]]:
        """For each target piece the position of the source piece that both directions support most, or UNALIGNED."""
        result: list[npt.NDArray[np.uint8]] = [np.zeros(0, dtype=np.uint8)] * len(sources)
        for block in _blocks([self.compact[row].astype(np.uint16) for row in sources], targets):
            score = _posterior(block, self.forward, 1) * _posterior(block, self.backward, 2)
            best, position = score.max(1)
            chosen = torch.where(best >= threshold, position, UNALIGNED).to(torch.uint8).numpy()
            for place, row in enumerate(block.rows):
                length = len(targets[row])
                chosen[place, length - 1] = len(sources[row]) - 1
                result[row] = chosen[place, :length]
        return result

    def translations(self) -> torch.Tensor:
        """How much each target piece is made of each source piece: product of both tables, float32 [source, target]."""
        return self.forward * self.backward

    def save(self, path: Path) -> None:
        """Write the tables in half precision."""
        write_atomically(
            path,
            lambda file: np.savez(
                file,
                compact=self.compact,
                forward=self.forward.half().numpy(),
                backward=self.backward.half().numpy(),
            ),
        )

    @classmethod
    def load(cls, path: Path) -> Aligner:
        """Read tables written by `save`."""
        with np.load(path) as arrays:
            tables = [torch.from_numpy(arrays[name]).float() for name in ("forward", "backward")]
            return cls(arrays["compact"], tables[0], tables[1])


def _posterior(block: _Block, table: torch.Tensor, axis: int) -> torch.Tensor:
    weights = table.view(-1)[block.keys(table.shape[1])].clamp_min(_FLOOR) * block.prior()
    normalized: torch.Tensor = weights / weights.sum(axis, keepdim=True).clamp_min(1e-30)
    return normalized


def compact_source_ids(vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
    """Number of each joint id among the source model's pieces (0 for ids that the source model never yields)."""
    compact = np.zeros(vocabulary.size, dtype=np.int64)
    for index in range(vocabulary.source.get_piece_size()):
        compact[vocabulary.ids[vocabulary.source.id_to_piece(index)]] = index
    return compact


def estimate(vocabulary: Vocabulary, pairs: list[tuple[str, str]], iterations: int = 4) -> Aligner:
    """Estimate both tables by expectation maximization over sentence pairs."""
    compact = compact_source_ids(vocabulary)
    sources = [compact[row].astype(np.uint16) for row in vocabulary.encode_source([source for source, _ in pairs])]
    targets = vocabulary.encode_target([target for _, target in pairs])
    keep = [i for i in range(len(pairs)) if len(sources[i]) <= 64 and len(targets[i]) <= 64]
    sources, targets = [sources[i] for i in keep], [targets[i] for i in keep]
    shape = (vocabulary.source.get_piece_size(), vocabulary.target_size)
    forward, backward = torch.full(shape, 1.0 / shape[1]), torch.full(shape, 1.0 / shape[0])
    for _ in range(iterations):
        forward_counts, backward_counts = torch.zeros(shape), torch.zeros(shape)
        for block in _blocks(sources, targets):
            keys = block.keys(shape[1]).reshape(-1)
            for table, counts, axis in ((forward, forward_counts, 1), (backward, backward_counts, 2)):
                counts.view(-1).scatter_add_(0, keys, _posterior(block, table, axis).reshape(-1))
        forward = forward_counts / (forward_counts.sum(1, keepdim=True) + 0.5)
        backward = backward_counts / (backward_counts.sum(0, keepdim=True) + 0.5)
    return Aligner(compact, forward, backward)
