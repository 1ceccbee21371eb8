"""From an epoch of token ids to steps of batches without source padding, in an order fixed by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from training.network import UNLABELLED, Batch
from training.store import UNALIGNED, Epoch
from training.vocabulary import UNKNOWN_ID


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """`batch_pieces`: source plus padded target pieces in one batch; `step_pieces`: target pieces in one step;
    `curriculum`: short pairs first, loosely; `input_dropout`: share of decoder inputs that are read as <unk>, so
    that the model looks at its source rather than at what it wrote.
    """

    batch_pieces: int = 3000
    step_pieces: int = 6000
    curriculum: bool = False
    input_dropout: float = 0.0


Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """Batches whose gradients are added before one update."""

    batches: tuple[Rows, ...]
    target_pieces: int


def plan_steps(epoch: Epoch, settings: PlanSettings, seed: int) -> list[Step]:
    """Group pairs of equal source length and similar target length, shuffle the groups, gather them into steps."""
    rng = np.random.default_rng(seed)
    source_lengths, target_lengths = np.diff(epoch.source_offsets), np.diff(epoch.target_offsets)
    order = np.lexsort((rng.random(len(epoch)), target_lengths, source_lengths))
    batches = _cut(order, source_lengths, target_lengths, settings.batch_pieces)
    ranks = rng.random(len(batches))
    if settings.curriculum:
        ranks = np.array([source_lengths[rows[0]] + 4.0 for rows in batches]) * (0.4 + ranks)
    steps: list[Step] = []
    gathered: list[Rows] = []
    pieces = 0
    for index in np.argsort(ranks, kind="stable"):
        gathered.append(batches[index])
        pieces += int(target_lengths[batches[index]].sum())
        if pieces >= settings.step_pieces:
            steps.append(Step(tuple(gathered), pieces))
            gathered, pieces = [], 0
    return steps


def _cut(order: Rows, source_lengths: Rows, target_lengths: Rows, limit: int) -> list[Rows]:
    batches, start = [], 0
    for stop in range(1, len(order) + 1):
        rows = stop - start
        if stop < len(order):
            following = order[stop]
            same = source_lengths[following] == source_lengths[order[start]]
            near = target_lengths[following] <= 1.3 * target_lengths[order[start]] + 3
            full = (rows + 1) * (source_lengths[following] + target_lengths[following]) > limit
            if same and near and not full:
                continue
        batches.append(order[start:stop])
        start = stop
    return batches


def make_batch(epoch: Epoch, rows: Rows, pad: int, input_dropout: float = 0.0) -> Batch:
    """Tensors of one batch. The dropped inputs follow from the rows alone, so a resumed run reads the same batch."""
    source = np.stack([_slice(epoch.source, epoch.source_offsets, row) for row in rows]).astype(np.int64)
    starts, stops = epoch.target_offsets[rows], epoch.target_offsets[rows + 1]
    longest = int((stops - starts).max())
    labels = np.full((len(rows), longest), UNLABELLED, dtype=np.int64)
    inputs = np.full((len(rows), longest), pad, dtype=np.int64)
    alignment = np.full((len(rows), longest), UNALIGNED, dtype=np.int64)
    for place, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        length = stop - start
        labels[place, :length] = epoch.target[start:stop]
        inputs[place, 1:length] = epoch.target[start : stop - 1]
        alignment[place, :length] = epoch.alignment[start:stop]
    if input_dropout:
        dropped = np.random.default_rng(rows).random(inputs.shape) < input_dropout
        dropped[:, 0] = False
        inputs[dropped & (inputs != pad)] = UNKNOWN_ID
    return Batch(*(torch.from_numpy(array) for array in (source, inputs, labels, alignment)))


def _slice(flat: npt.NDArray[np.uint16], offsets: Rows, row: np.int64) -> npt.NDArray[np.uint16]:
    return flat[offsets[row] : offsets[row + 1]]
