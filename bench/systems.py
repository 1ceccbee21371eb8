"""The systems that are measured, each behind the same call: token ids in, number of output tokens out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.shapes import Shape, vocabulary

Run = Callable[[list[list[int]], int], int]
"""Decode all segments with so many beams; returns the number of output tokens."""


def load(system: str, shape: Shape, checkpoint: Path, directory: Path) -> Run:
    """Load a system on one compute thread. Names: transformers, ctranslate2-FORMAT, glossd-FORMAT."""
    name, _, kind = system.partition("-")
    loaders = {"transformers": _transformers, "ctranslate2": _ctranslate2, "glossd": _glossd}
    return loaders[name](shape, checkpoint, directory, kind or "float32")


def reference_model(checkpoint: Path) -> Any:
    """A checkpoint as ``transformers`` loads it, in float32."""
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(checkpoint, local_files_only=True, use_safetensors=True).eval()


def _transformers(shape: Shape, checkpoint: Path, directory: Path, kind: str, batch_size: int = 32) -> Run:
    import torch

    torch.set_num_threads(1)
    model = reference_model(checkpoint)
    pad = int(model.config.pad_token_id)
    model.generation_config.max_length = None

    def run(segments: list[list[int]], beams: int) -> int:
        produced = 0
        ordered = sorted(segments, key=len)
        size = max(1, batch_size // beams)
        for start in range(0, len(ordered), size):
            batch = ordered[start : start + size]
            longest = max(map(len, batch))
            ids = torch.tensor([[*segment, *[pad] * (longest - len(segment))] for segment in batch])
            options = _limits(shape, "min_new_tokens", "max_new_tokens")
            output = model.generate(
                ids, attention_mask=(ids != pad).long(), num_beams=beams, do_sample=False, **options
            )
            made = output[:, 1:]  # random weights may well choose padding; their outputs all have the forced length
            produced += int((made != pad).sum()) if shape.build is None else made.numel()
        return produced

    return run


def _limits(shape: Shape, least: str, most: str) -> dict[str, int]:
    """Forced output length; the embedded checkpoint ends by itself within its limit."""
    if shape.build is None:
        return {most: 200}
    return {least: shape.output_tokens, most: shape.output_tokens}


def _ctranslate2(shape: Shape, checkpoint: Path, directory: Path, kind: str, batch_tokens: int = 1024) -> Run:
    import ctranslate2

    converted = directory / f"{shape.name}-ct2"
    if not (converted / "model.bin").exists():
        convert(checkpoint, converted)
    translator = ctranslate2.Translator(str(converted), compute_type=kind, inter_threads=1, intra_threads=1)
    words = vocabulary(checkpoint)

    def run(segments: list[list[int]], beams: int) -> int:
        results = translator.translate_batch(
            [[words[token] for token in segment] for segment in segments],
            beam_size=beams,
            max_batch_size=batch_tokens,
            batch_type="tokens",
            max_input_length=0,
            return_end_token=True,
            **_limits(shape, "min_decoding_length", "max_decoding_length"),
        )
        return sum(len(result.hypotheses[0]) for result in results)

    return run


def convert(checkpoint: Path, target: Path) -> None:
    """Convert with the peer's own loader for the architecture, over a vocabulary of plain words."""
    from ctranslate2.converters import transformers as converters

    model = reference_model(checkpoint)
    for name, value in (("normalize_before", False), ("normalize_embedding", True)):  # transformers 5 dropped them
        if not hasattr(model.config, name):
            setattr(model.config, name, value)
    loader = converters._MODEL_LOADERS[type(model.config).__name__]
    words = vocabulary(checkpoint)
    specification = loader.get_model_spec(model)
    words = (
        words[:-1] if loader.architecture_name == "MarianMTModel" else words
    )  # it starts from nothing, without <pad>
    specification.register_source_vocabulary(words)
    specification.register_target_vocabulary(words)
    end = int(model.config.eos_token_id)
    start = model.config.decoder_start_token_id
    specification.config.bos_token = specification.config.eos_token = words[end]
    specification.config.unk_token = words[1]
    specification.config.decoder_start_token = words[start if start is not None and start < len(words) else end]
    specification.validate()
    specification.optimize(quantization="float32")
    target.mkdir(parents=True, exist_ok=True)
    specification.save(str(target))


def open_engine(checkpoint: Path, kind: str, rows: int = 64) -> Any:
    """Our engine over a checkpoint, on one compute thread, with nothing remembered; and its model."""
    import torch
    from glossd.engine.engine import Engine, EngineLimits
    from glossd.models.loading import take_over
    from glossd.models.placement import choose_placement
    from glossd.models.verify import verify_checkpoint
    from glossd.models.weights import load_transformers

    torch.set_num_threads(1)
    verified, placement = verify_checkpoint(checkpoint), choose_placement(kind, "cpu")
    model = take_over(load_transformers(verified, placement), verified, placement)
    limits = EngineLimits(rows=rows, sources=rows, batch_tokens=2048, cache_entries=0, threads=1)
    return Engine(model, limits=limits, name="bench"), model


def requests(shape: Shape, info: Any, segments: list[list[int]], beams: int) -> list[Any]:
    """The segments as our engine takes them, outputs of the length that all systems are held to."""
    from glossd.types import GenerationParams, GenerationRequest

    pad = info.pad_token_id
    params = GenerationParams(
        decoder_start_token_id=info.decoder_start_token_id,
        eos_token_ids=info.eos_token_ids,
        max_new_tokens=200 if shape.build is None else shape.output_tokens,
        min_new_tokens=0 if shape.build is None else shape.output_tokens,
        num_beams=beams,
        bad_words=((pad,),) if pad not in info.eos_token_ids else (),
        renormalize=True,
    )
    return [GenerationRequest(tuple(segment), params) for segment in segments]


def _glossd(shape: Shape, checkpoint: Path, directory: Path, kind: str) -> Run:
    engine, model = open_engine(checkpoint, kind)

    def run(segments: list[list[int]], beams: int) -> int:
        futures = [engine.submit(request) for request in requests(shape, model.info, segments, beams)]
        return sum(len(future.result().token_ids) for future in futures)

    return run
