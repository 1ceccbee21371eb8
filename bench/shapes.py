"""The checkpoints that are measured: real architectures at published sizes with random weights, and the embedded one.

Speed does not depend on what the weights say, as long as every system makes outputs of the same length.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EMBEDDED = Path(__file__).resolve().parents[1] / "service/glossd/models/embedded/glossd-en-zh"


@dataclass(frozen=True, slots=True)
class Shape:
    """One measured checkpoint.

    ``source_tokens``: shortest and longest segment; ``output_tokens`` is forced on all. ``segments`` are the most, and
    ``least`` the fewest that are decoded together.
    """

    name: str
    build: Callable[[], Any] | None
    source_tokens: tuple[int, int]
    output_tokens: int
    segments: int
    least: int


def _marian() -> Any:
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=65_001,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_position_embeddings=512,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=65_000,
        eos_token_id=0,
        decoder_start_token_id=65_000,
    )
    return MarianMTModel(config)


def _distilbart() -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=50_264,
        d_model=1024,
        encoder_layers=12,
        decoder_layers=6,
        encoder_attention_heads=16,
        decoder_attention_heads=16,
        encoder_ffn_dim=4096,
        decoder_ffn_dim=4096,
        max_position_embeddings=1024,
    )
    return BartForConditionalGeneration(config)


def _mt5() -> Any:
    from transformers import MT5Config, MT5ForConditionalGeneration

    config = MT5Config(
        vocab_size=250_112,
        d_model=512,
        d_kv=64,
        d_ff=1024,
        num_layers=8,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    return MT5ForConditionalGeneration(config)


SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("opus-mt", _marian, (8, 60), 32, 256, 48),
        Shape("embedded", None, (8, 60), 32, 256, 48),
        Shape("distilbart-cnn", _distilbart, (640, 700), 60, 16, 4),
        Shape("mt5-small", _mt5, (8, 60), 32, 64, 16),
    )
}


def prepare(shape: Shape, directory: Path) -> Path:
    """Write the checkpoint once, with a vocabulary of plain words where the peers ask for one."""
    if shape.build is None:
        return EMBEDDED
    target = directory / shape.name
    if (target / "model.safetensors").exists():
        return target
    import torch

    torch.manual_seed(0)
    shape.build().save_pretrained(target)
    return target


def vocabulary(checkpoint: Path) -> list[str]:
    """A distinct token for each id, as the peers that take tokens rather than ids need them."""
    file = checkpoint / "vocab.json"
    if file.exists():
        entries: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
        return sorted(entries, key=entries.__getitem__)
    size = int(json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    special = {0: "<pad>", 1: "</s>", 2: "<unk>"}
    return [special.get(number, f"w{number}") for number in range(size)]


def draw_segments(shape: Shape, checkpoint: Path, *, seed: int = 1) -> list[list[int]]:
    """Source token ids, lengths drawn as sentence lengths fall: most short, a tail of long ones.

    Real sentences for the embedded checkpoint, whose outputs end by themselves.
    """
    if shape.build is None:
        return _real_segments(shape, checkpoint)
    chance = random.Random(seed)
    low, high = shape.source_tokens
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    size, end = int(config["vocab_size"]), int(config["eos_token_id"])
    segments = []
    for _ in range(shape.segments):
        length = (
            min(high, max(low, round(chance.lognormvariate(3.2, 0.5)))) if high < 200 else chance.randint(low, high)
        )
        segments.append([*(chance.randrange(100, size - 100) for _ in range(length - 1)), end])
    return segments


def _real_segments(shape: Shape, checkpoint: Path) -> list[list[int]]:
    from transformers import AutoTokenizer

    from bench.articles import read_sentences

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    return [tokenizer(sentence)["input_ids"] for sentence in read_sentences(shape.segments)]
