"""Where a decode step's time goes: ``python -m bench.steps --json FILE``. One thread, 64 rows, float32 and int8.

Method: the calls that make up a step (linear maps, attention, norms, rules and search) are wrapped with a timer that
keeps a stack, so that each moment of the engine's ``Runner.step`` counts for the innermost wrapped call; what none of
them covers is overhead. An int8 step is one call of C operators, which add up the time of each operation themselves.
The share of the arithmetic limit compares the step with the multiplications of its linear
maps at the rate of one large product of the same format, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.shapes import SHAPES, draw_segments, prepare
from bench.systems import open_engine, requests

PARTS = ("projection", "attention", "feed-forward", "vocabulary", "norms", "search", "overhead")
_PEAK_SIZE = 1024


class Stopwatch:
    """Nanoseconds of processor time by part, each moment counted once, for the innermost part.

    Counts inside the root part only.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._stack: list[str] = []
        self._since = 0
        self.spent: dict[str, int] = defaultdict(int)

    def around(self, function: Callable[..., Any], part: Callable[[tuple[Any, ...]], str]) -> Callable[..., Any]:
        """``function`` with its time counted for ``part`` of its arguments."""

        def timed(*arguments: Any, **named: Any) -> Any:
            name = part(arguments)
            if not self._stack and name != self._root:
                return function(*arguments, **named)
            self._switch()
            self._stack.append(name)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._stack.pop()

        return timed

    def _switch(self) -> None:
        now = time.thread_time_ns()
        if self._stack:
            self.spent[self._stack[-1]] += now - self._since
        self._since = now


def watch(model: Any) -> Stopwatch:
    """Wrap the classes of the engine and of a BART-like model in this process."""
    from glossd.decoding.ruling import Ruling
    from glossd.engine.runner import Runner
    from glossd.models.layers import CrossAttention, LayerNorm, Linear, SelfAttention

    roles = {id(model._head): "vocabulary"}
    for layer in model._decoder:
        roles |= {id(layer.expand): "feed-forward", id(layer.contract): "feed-forward"}
    stopwatch = Stopwatch("overhead")
    wrapped: list[tuple[Any, str, Callable[[tuple[Any, ...]], str]]] = [
        (Runner, "step", lambda _: "overhead"),
        (Runner, "_choose", lambda _: "search"),
        (Ruling, "apply", lambda _: "search"),
        (SelfAttention, "over_cache", lambda _: "attention"),
        (CrossAttention, "over_cache", lambda _: "attention"),
        (LayerNorm, "__call__", lambda _: "norms"),
        (LayerNorm, "after_sum", lambda _: "norms"),
        (Linear, "__call__", lambda given: roles.get(id(given[0]), "projection")),
    ]
    for holder, name, part in wrapped:
        setattr(holder, name, stopwatch.around(getattr(holder, name), part))
    return stopwatch


def watch_program(engine: Any) -> Any:
    """What runs a whole int8 step, told to add up the time of each operation; None for other formats."""
    from glossd.models.program import ProgramCache

    cache = engine._runner._cache
    if not isinstance(cache, ProgramCache):
        return None
    cache.decoder.measure()
    return cache.decoder


def count_program(worker: Any, spent: dict[str, int]) -> None:
    """Take what the operations of a whole step took out of the overhead, each for its part."""
    for part, nanoseconds in zip(worker.program.parts, worker.spent, strict=True):
        spent["norms" if part == "embedding" else part] += nanoseconds
        spent["overhead"] -= nanoseconds


def peak_operations(kind: str) -> float:
    """Multiplications and additions a second of one large product on one thread: the best of several."""
    import torch
    from glossd.models.quantized import Int8Linear, Int8Matrix
    from glossd.native import load_kernels

    torch.set_num_threads(1)
    left, right = torch.randn(_PEAK_SIZE, _PEAK_SIZE), torch.randn(_PEAK_SIZE, _PEAK_SIZE)
    product: Callable[[], object] = partial(torch.mm, left, right)
    if kind == "int8":
        kernels = load_kernels()
        if kernels is not None and kernels.level:
            product = partial(Int8Matrix.of(right, None, kernels=kernels), left)
        else:
            rounded = (left * 30).clamp(-127, 127).to(torch.int8)
            product = partial(Int8Linear.of(right, None).product, rounded)
    best = float("inf")
    for _ in range(8):
        started = time.thread_time()
        product()
        best = min(best, time.thread_time() - started)
    return 2.0 * _PEAK_SIZE**3 / best


def multiplied_weights(model: Any) -> int:
    """Weights that every row of a decode step is multiplied with."""
    layers = [
        part
        for layer in model._decoder
        for part in (layer.attention.qkv, layer.attention.output, layer.cross.query, layer.cross.output)
    ]
    layers += [part for layer in model._decoder for part in (layer.expand, layer.contract)]
    return sum(_size(part) for part in [*layers, model._head])


def _size(linear: Any) -> int:
    """The number of weights."""
    shape = linear.weight.shape if hasattr(linear, "weight") else (linear.matrix.inputs, linear.matrix.outputs)
    return int(shape[0]) * int(shape[1])


def measure(name: str, kind: str, *, beams: int, segments: int, work: Path) -> dict[str, Any]:
    """One checkpoint in one format: parts of a step, share of the limit, occupancy and padding."""
    shape = SHAPES[name]
    checkpoint = prepare(shape, work)
    drawn = draw_segments(shape, checkpoint)[:segments]
    engine, model = open_engine(checkpoint, kind)
    for future in [engine.submit(request) for request in requests(shape, model.info, drawn[:8], beams)]:
        future.result()
    stopwatch, worker = watch(model), watch_program(engine)
    before = engine.statistics().counters
    for future in [engine.submit(request) for request in requests(shape, model.info, drawn, beams)]:
        future.result()
    engine.close()
    statistics = engine.statistics()
    steps = statistics.counters.steps - before.steps
    row_steps = statistics.counters.row_steps - before.row_steps
    source = statistics.counters.source_tokens - before.source_tokens
    padded = statistics.counters.padded_source_tokens - before.padded_source_tokens
    encode_ns = statistics.counters.encode_ns - before.encode_ns
    spent = {part: stopwatch.spent.get(part, 0) for part in PARTS}
    if worker is not None:
        count_program(worker, spent)
    whole = sum(spent.values())
    peak = peak_operations(kind)
    limit_ns = 2.0 * multiplied_weights(model) * row_steps / peak * 1e9
    return {
        "checkpoint": name,
        "format": kind,
        "beams": beams,
        "steps": steps,
        "microseconds_per_step": round(whole / steps / 1e3, 1),
        "share": {part: round(nanoseconds / whole, 4) for part, nanoseconds in spent.items()},
        "peak_operations_per_second": round(peak),
        "share_of_arithmetic_limit": round(limit_ns / whole, 4),
        "encoder_share": round(encode_ns / (whole + encode_ns), 4),
        "batch_occupancy": round(row_steps / (steps * statistics.rows), 4),
        "padding_share": round(1 - source / padded, 4) if padded else 0.0,
    }


def main() -> None:
    """Command line. Each measurement wraps classes, so it has a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--checkpoint", choices=("opus-mt", "embedded"), action="append")
    parser.add_argument("--format", choices=("float32", "int8"), action="append")
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--segments", type=int, default=192)
    parser.add_argument("--work", type=Path, default=Path("build/bench"))
    chosen = parser.parse_args()
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    results = []
    for name in chosen.checkpoint or ["opus-mt", "embedded"]:
        for kind in chosen.format or ["float32", "int8"]:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                task = pool.submit(measure, name, kind, beams=chosen.beams, segments=chosen.segments, work=chosen.work)
                results.append(task.result())
            print(json.dumps(results[-1]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
