"""Decoding on a GPU, side by side: ``python -m bench.gpu --json FILE``. Without a GPU it says so and measures nothing.

One process; the systems take turns, round after round, and the medians of the rounds are compared in wall time, since
it is the device that works. BART-large-CNN's size with random weights, bfloat16, 128 rows, 260 to 440 tokens in, 128
out. ``--device cpu --tiny`` rehearses the whole of it on a toy; its figures say nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.shapes import Shape, draw_segments, prepare, vocabulary
from bench.systems import convert, reference_model

Run = Callable[[list[list[int]]], list[list[int]]]
"""Decode all segments; returns the new tokens of each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured where: ``rows`` at once, source tokens with padding in one encoder run, a format by its name."""

    shape: Shape
    rows: int
    batch_tokens: int
    device: str
    dtype: str


def _bart_large() -> Any:
    return _bart(vocab_size=50_264, d_model=1024, layers=12, heads=16, ffn=4096, positions=1024)


def _bart_tiny() -> Any:
    return _bart(vocab_size=400, d_model=32, layers=2, heads=4, ffn=64, positions=64)


def _bart(*, vocab_size: int, d_model: int, layers: int, heads: int, ffn: int, positions: int) -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=ffn,
        decoder_ffn_dim=ffn,
        max_position_embeddings=positions,
    )
    return BartForConditionalGeneration(config)


LARGE = Shape("bart-large-cnn", _bart_large, (260, 440), 128, 256, 128)
TINY = Shape("bart-tiny", _bart_tiny, (26, 44), 12, 16, 8)


class Again:
    """Stands for CUDA graphs in a rehearsal: what is recorded is done again."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """See :class:`glossd.models.capture.Capture`."""
        return work


def _glossd(plan: Plan, checkpoint: Path, opened: ExitStack, *, graphs: bool) -> Run:
    import torch
    from glossd.engine.engine import Engine, EngineLimits
    from glossd.models.compute import Compute
    from glossd.models.registry import find_family, load_adapter
    from glossd.types import GenerationParams, GenerationRequest

    device, dtype = torch.device(plan.device), getattr(torch, plan.dtype)
    reference = reference_model(checkpoint)
    adapter: Any = load_adapter(find_family(reference.config.model_type, file="config.json"))
    if graphs and device.type == "cpu":
        compute = replace(Compute.choose(dtype=dtype, device=device), kernels=None, captures=Again)
        model = adapter(reference.to(dtype), compute)
    else:
        model = adapter.from_transformers(reference, dtype=dtype, device=device, graphs=graphs)
    limits = EngineLimits(rows=plan.rows, sources=plan.rows, batch_tokens=plan.batch_tokens, cache_entries=0)
    engine = Engine(model, limits=limits, name="bench", device=device)
    opened.callback(engine.close)
    params = GenerationParams(
        decoder_start_token_id=model.info.decoder_start_token_id,
        eos_token_ids=model.info.eos_token_ids,
        max_new_tokens=plan.shape.output_tokens,
        min_new_tokens=plan.shape.output_tokens,
    )

    def run(segments: list[list[int]]) -> list[list[int]]:
        futures = [engine.submit(GenerationRequest(tuple(segment), params)) for segment in segments]
        return [list(future.result().token_ids) for future in futures]

    return run


def _transformers(plan: Plan, checkpoint: Path) -> Run:
    import torch

    model = reference_model(checkpoint).to(device=plan.device, dtype=getattr(torch, plan.dtype))
    pad, length = int(model.config.pad_token_id), plan.shape.output_tokens
    model.generation_config.max_length = None
    model.generation_config.forced_eos_token_id = None

    def run(segments: list[list[int]]) -> list[list[int]]:
        made: dict[int, list[int]] = {}
        order = sorted(range(len(segments)), key=lambda number: len(segments[number]))
        for start in range(0, len(order), plan.rows):
            numbers = order[start : start + plan.rows]
            longest = max(len(segments[number]) for number in numbers)
            padded = [[*segments[number], *[pad] * (longest - len(segments[number]))] for number in numbers]
            ids = torch.tensor(padded, device=plan.device)
            options = {"num_beams": 1, "do_sample": False, "min_new_tokens": length, "max_new_tokens": length}
            output = model.generate(ids, attention_mask=(ids != pad).long(), **options)
            made |= zip(numbers, output[:, 1:].tolist(), strict=True)
        return [made[number] for number in range(len(segments))]

    return run


def _ctranslate2(plan: Plan, checkpoint: Path, directory: Path) -> Run:
    import ctranslate2

    converted = directory / f"{plan.shape.name}-ct2"
    if not (converted / "model.bin").exists():
        convert(checkpoint, converted)
    translator = ctranslate2.Translator(str(converted), device=plan.device, compute_type=plan.dtype)
    words, length = vocabulary(checkpoint), plan.shape.output_tokens
    numbers = {word: number for number, word in enumerate(words)}

    def run(segments: list[list[int]]) -> list[list[int]]:
        results = translator.translate_batch(
            [[words[token] for token in segment] for segment in segments],
            beam_size=1,
            max_batch_size=plan.rows,
            max_input_length=0,
            return_end_token=True,
            min_decoding_length=length,
            max_decoding_length=length,
        )
        return [[numbers[word] for word in result.hypotheses[0]] for result in results]

    return run


def open_systems(plan: Plan, directory: Path, opened: ExitStack) -> dict[str, Run]:
    """All systems that are there, loaded, by name; what has to be closed is left with ``opened``."""
    checkpoint = prepare(plan.shape, directory)
    systems = {
        "transformers": _transformers(plan, checkpoint),
        "glossd": _glossd(plan, checkpoint, opened, graphs=False),
        "glossd-graphs": _glossd(plan, checkpoint, opened, graphs=True),
    }
    if importlib.util.find_spec("ctranslate2") is not None:
        systems["ctranslate2"] = _ctranslate2(plan, checkpoint, directory)
    return systems


def measure(systems: dict[str, Run], segments: list[list[int]], *, rounds: int) -> list[dict[str, Any]]:
    """Medians of ``rounds`` after one that is not counted, in which libraries set up and steps are recorded."""
    outputs = {name: run(segments) for name, run in systems.items()}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, run in systems.items():
            started = time.perf_counter()
            run(segments)
            seconds[name].append(time.perf_counter() - started)
    results = []
    for name, made in outputs.items():
        tokens = sum(len(output) for output in made)
        same = sum(one == other for one, other in zip(made, outputs["transformers"], strict=True))
        results.append(
            {
                "system": name,
                "output_tokens": tokens,
                "output_tokens_per_second": round(tokens / statistics.median(seconds[name]), 1),
                "outputs_equal_to_transformers": round(same / len(segments), 3),
            }
        )
    return results


def show(results: list[dict[str, Any]]) -> None:
    """Each system's ratio to every other one."""
    names = [entry["system"] for entry in results]
    print(f"{'output tokens a second':24}" + "".join(f"{'x ' + name:>18}" for name in names))
    for entry in results:
        speed = entry["output_tokens_per_second"]
        ratios = "".join(f"{speed / other['output_tokens_per_second']:18.2f}" for other in results)
        print(f"{entry['system']:24}{ratios}")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a toy instead of BART-large, to rehearse")
    parser.add_argument("--rows", type=int, default=0, help="128, or 8 of the toy, unless told")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="where checkpoints are made and kept")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no CUDA device: nothing was measured (--device cpu --tiny rehearses)")
        return
    shape, rows = (TINY, 8) if chosen.tiny else (LARGE, 128)
    on_gpu = chosen.device == "cuda"
    plan = Plan(shape, chosen.rows or rows, 16_384, chosen.device, "bfloat16" if on_gpu else "float32")
    segments = draw_segments(shape, prepare(shape, chosen.work))
    with ExitStack() as opened:
        results = measure(open_systems(plan, chosen.work, opened), segments, rounds=chosen.rounds)
    show(results)
    report = {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu (a rehearsal)",
        "torch": torch.__version__,
        "checkpoint": shape.name,
        "dtype": plan.dtype,
        "rows": plan.rows,
        "segments": len(segments),
        "results": results,
    }
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
