"""`python -m training.export`: a training checkpoint as a `transformers` Marian directory, with manifest and card."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, MarianConfig, MarianMTModel

from training.card import licence_text, model_card
from training.checkpoint import load_position, load_tensor
from training.parameters import EMBEDDING, OUTPUT_BIAS, Layout, Shape
from training.store import write_atomically

FORBIDDEN_BIAS = -1e4
MAX_LENGTH = 512
NAME = "glossd-en-zh"


def marian_config(shape: Shape) -> MarianConfig:
    """Configuration of the equivalent `MarianMTModel`."""
    pad = shape.vocabulary - 1
    return MarianConfig(
        architectures=["MarianMTModel"],
        vocab_size=shape.vocabulary,
        decoder_vocab_size=shape.vocabulary,
        d_model=shape.width,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.feed_forward,
        decoder_ffn_dim=shape.feed_forward,
        activation_function="swish",
        scale_embedding=True,
        max_position_embeddings=MAX_LENGTH,
        dropout=0.0,
        decoder_start_token_id=pad,
        pad_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
    )


def generation_config(shape: Shape, length_penalty: float) -> GenerationConfig:
    """Decoding defaults: four beams, <pad> never an output."""
    pad = shape.vocabulary - 1
    return GenerationConfig(
        bad_words_ids=[[pad]],
        decoder_start_token_id=pad,
        pad_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        max_length=MAX_LENGTH,
        num_beams=4,
        length_penalty=length_penalty,
    )


def marian_model(shape: Shape, flat: torch.Tensor) -> MarianMTModel:
    """A float32 `MarianMTModel` with the values of a flat parameter vector; ids that are no target pieces get a bias
    that keeps them from ever being an output, so that scoring target rows alone is exact.
    """
    layout = Layout(shape)
    model: MarianMTModel = MarianMTModel(marian_config(shape)).eval()
    state = {name: tensor.float().clone() for name, tensor in layout.tensors(flat).items()}
    bias = torch.full((1, shape.vocabulary), FORBIDDEN_BIAS)
    bias[0, : shape.target_vocabulary] = state.pop(OUTPUT_BIAS)
    state["final_logits_bias"] = bias
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"):
        state[name] = state[EMBEDDING]
    missing, unexpected = model.load_state_dict(state, strict=False)
    unset = [name for name in missing if "embed_positions" not in name]
    if unset or unexpected:
        raise ValueError(f"parameters do not match: missing {unset}, unexpected {unexpected}")
    return model


def read_model(directory: Path) -> tuple[Shape, torch.Tensor]:
    """Size and flat float32 parameters of a directory that `write_model` wrote: the place to train on from."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(directory / "model.safetensors")
    bias = tensors["final_logits_bias"][0].float()
    shape = Shape(
        vocabulary=config["vocab_size"],
        target_vocabulary=int((bias > FORBIDDEN_BIAS / 2).sum()),
        width=config["d_model"],
        feed_forward=config["encoder_ffn_dim"],
        heads=config["encoder_attention_heads"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
    )
    layout = Layout(shape)
    flat = torch.zeros(layout.size)
    for name in layout.slots:
        value = bias[: shape.target_vocabulary] if name == OUTPUT_BIAS else tensors[name]
        layout.view(flat, name).copy_(value)
    return shape, flat


def write_model(
    directory: Path, shape: Shape, flat: torch.Tensor, vocabulary: Path, *, length_penalty: float = 1.0
) -> None:
    """Write the checkpoint files that `transformers` reads, weights in half precision."""
    directory.mkdir(parents=True, exist_ok=True)
    model = marian_model(shape, flat).half()
    model.generation_config = generation_config(shape, length_penalty)
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    for name in ("source.spm", "target.spm", "vocab.json"):
        shutil.copyfile(vocabulary / name, directory / name)
    tokenizer = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": "en",
        "target_lang": "zh",
        "unk_token": "<unk>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": MAX_LENGTH,
        "separate_vocabs": False,
        "additional_special_tokens": [],
    }
    _write_text(directory / "tokenizer_config.json", json.dumps(tokenizer, indent=2) + "\n")


def write_manifest(directory: Path, version: str, scores: dict[str, Any]) -> None:
    """Write manifest.json: what the directory is, what it scores, and size and SHA-256 of every other file."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(".")
    }
    manifest = {
        "name": NAME,
        "version": version,
        "family": "marian",
        "source_languages": ["en"],
        "target_languages": ["zh-Hans"],
        "licence": "CC-BY-SA-4.0 AND LicenseRef-data-terms (see LICENSES)",
        "scores": scores,
        "files": files,
    }
    _write_text(directory / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def main(arguments: list[str] | None = None) -> None:
    """Read flags and export."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".train"), help="folder of the training run")
    parser.add_argument("--checkpoint", type=Path, help="default: checkpoint.safetensors in --work")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--vector", default="average", choices=("average", "master"), help="averaged or last weights")
    parser.add_argument(
        "--blend", type=Path, help="earlier export of this run: write the mean of it and the checkpoint"
    )
    parser.add_argument("--version", default="0", help="version for the manifest")
    parser.add_argument("--length-penalty", type=float, default=1.0)
    parser.add_argument(
        "--before",
        type=float,
        nargs=4,
        default=(0, 0, 0, 0),
        metavar=("UPDATES", "PAIRS", "PIECES", "HOURS"),
        help="what the card of the model says that this run went on from",
    )
    parser.add_argument("--scores", type=Path, help="JSON that `training.evaluate --json` wrote, for card and manifest")
    flags = parser.parse_args(arguments)
    checkpoint = flags.checkpoint or flags.work / "checkpoint.safetensors"
    shape, position = load_position(checkpoint)
    trained = position.after(*flags.before)
    flat = load_tensor(checkpoint, flags.vector)
    if flags.blend:
        flat = (flat + read_model(flags.blend)[1]) / 2
    write_model(flags.out, shape, flat, flags.work / "vocabulary", length_penalty=flags.length_penalty)
    scores = json.loads(flags.scores.read_text(encoding="utf-8")) if flags.scores else {}
    _write_text(flags.out / "MODEL_CARD.md", model_card(shape, trained, scores, flags.version))
    _write_text(flags.out / "LICENSES", licence_text())
    write_manifest(flags.out, flags.version, scores)
    print(f"step {position.step:,} ({flags.vector}) written to {flags.out}")


if __name__ == "__main__":
    main()
