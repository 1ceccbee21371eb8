"""Training checkpoints: all state in one safetensors file, replaced atomically, so that a killed run goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from training.optimizer import State
from training.parameters import Shape
from training.store import write_atomically


@dataclass(slots=True)
class Position:
    """Where a run stands. `data` names the epoch files (a prefix such as "general"), `epoch` and `step_in_epoch` the
    place among them; counts are totals over the run's life.
    """

    data: str = "general"
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    pairs: int = 0
    target_pieces: int = 0
    seconds: float = 0.0

    def after(self, steps: float, pairs: float, target_pieces: float, hours: float) -> Position:
        """The same place in a longer life, which began with that much."""
        return replace(
            self,
            step=self.step + int(steps),
            pairs=self.pairs + int(pairs),
            target_pieces=self.target_pieces + int(target_pieces),
            seconds=self.seconds + 3600 * hours,
        )


def save_checkpoint(path: Path, shape: Shape, state: State, position: Position) -> None:
    """Write state and position; the file at `path` is always a whole checkpoint."""
    metadata = {"shape": json.dumps(asdict(shape)), "position": json.dumps(asdict(position))}
    tensors = {name: tensor.contiguous() for name, tensor in state.tensors().items()}
    write_atomically(path, lambda file: file.write(save(tensors, metadata)))


def load_position(path: Path) -> tuple[Shape, Position]:
    """Read a checkpoint's metadata alone."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    known = {field.name for field in fields(Position)}
    position = {name: value for name, value in json.loads(metadata["position"]).items() if name in known}
    return Shape(**json.loads(metadata["shape"])), Position(**position)


def load_tensor(path: Path, name: str) -> torch.Tensor:
    """Read one vector ("master", "average", ...) of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor
