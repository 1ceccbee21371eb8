"""Alignments and the embeddings that start from them."""

from __future__ import annotations

from pathlib import Path

import torch

from training.align import Aligner
from training.parameters import EMBEDDING, OUTPUT_BIAS, Layout, Shape, initial_parameters
from training.store import UNALIGNED
from training.vocabulary import load_vocabulary


def test_a_name_aligns_with_its_translation(prepared: Path) -> None:
    vocabulary = load_vocabulary(prepared / "vocabulary")
    aligner = Aligner.load(prepared / "alignment.npz")
    source = vocabulary.encode_source(["Merkel lives in Moscow."])
    target = vocabulary.encode_target(["默克尔住在莫斯科。"])
    (found,) = aligner.align(source, target)
    assert len(found) == len(target[0])
    assert found[-1] == len(source[0]) - 1  # </s> with </s>
    assert (found != UNALIGNED).mean() > 0.3
    positions = found[found != UNALIGNED]
    assert positions.max() < len(source[0])


def test_embeddings_of_translations_start_alike(prepared: Path) -> None:
    vocabulary = load_vocabulary(prepared / "vocabulary")
    aligner = Aligner.load(prepared / "alignment.npz")
    layout = Layout(Shape(vocabulary.size, vocabulary.target_size, 64, 64, 2, 1, 1))
    flat = initial_parameters(
        layout,
        torch.Generator().manual_seed(0),
        translations=aligner.translations(),
        compact=torch.from_numpy(aligner.compact),
        target_counts=torch.ones(vocabulary.target_size),
    )
    embedding = layout.view(flat, EMBEDDING)
    strength, piece = aligner.translations().max(0)
    joint = {int(compact): row for row, compact in enumerate(aligner.compact) if compact}
    own = set(joint.values())
    chosen = [t for t in strength.argsort(descending=True).tolist() if t not in own and int(piece[t]) in joint][:10]
    likeness = [torch.cosine_similarity(embedding[t], embedding[joint[int(piece[t])]], dim=0).item() for t in chosen]
    assert sum(likeness) / len(likeness) > 0.5
    assert not embedding[-1].any()
    assert layout.view(flat, OUTPUT_BIAS).abs().max() < 1e-5  # equal counts
