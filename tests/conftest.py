"""What tests of several parts share: an offline environment and tiny checkpoints that are made once per run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Before anything imports torch or the hub library: no network, and no thread pool that would cost the toys more
# than it gives and fight with the pools of other tests.
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

Checkpoints = Callable[..., Path]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """A function from a family (and a seed) to the directory of its tiny random checkpoint."""
    made: dict[tuple[str, int], Path] = {}

    def checkpoint(family: str, *, seed: int = 0) -> Path:
        from tests.checkpoints import make_checkpoint

        if (family, seed) not in made:
            made[family, seed] = make_checkpoint(family, tmp_path_factory.mktemp(family), seed=seed)
        return made[family, seed]

    return checkpoint


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of articles and reference data that may lie beside the checkout."""
    folder = ROOT.parent / "shared"
    if not (folder / "articles").is_dir():
        pytest.skip("no folder of shared articles beside the checkout")
    return folder
