"""Offline decoding speed, side by side: ``python -m bench.offline --json FILE [--checkpoint opus-mt]``.

Every system has a process of its own with one compute thread. They take turns, round after round, and the medians of
the rounds are compared, in seconds of processor time, so that a busy machine harms none of them. A first short round
tells how many segments the time that is left allows; ``generate``, whose batches are fixed, decodes the first quarter
of the same segments.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.shapes import SHAPES, Shape, prepare

SYSTEMS = ("transformers", "ctranslate2-float32", "ctranslate2-int8", "glossd-float32", "glossd-int8")


class Worker:
    """A running :mod:`bench.worker`."""

    def __init__(self, system: str, shape: Shape, checkpoint: Path, directory: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "bench.worker", system, shape.name, str(checkpoint), str(directory)]
        self.system = system
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment
        )
        self._answer()

    def run(self, *, segments: int, beams: int) -> dict[str, Any]:
        """Decode once and return the measurement."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"segments": segments, "beams": beams}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise SystemExit(f"{self.system} stopped:\n{self._errors.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)
        self._errors.close()


def measure(shape: Shape, workers: list[Worker], *, beams: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Medians of ``rounds`` interleaved rounds that take about ``seconds`` in all, after a warm-up and a short round.

    Where the short round takes all the time already, it is what counts.
    """
    for worker in workers:
        worker.run(segments=max(1, shape.least // 8), beams=beams)
    started = time.perf_counter()
    answers = {
        worker.system: [worker.run(segments=share_of(worker.system, shape.least), beams=beams)] for worker in workers
    }
    took = time.perf_counter() - started
    segments = min(shape.segments, int(shape.least * (seconds - took) / (took * rounds)))
    if segments >= shape.least:
        answers = {worker.system: [] for worker in workers}
        for _ in range(rounds):
            for worker in workers:
                answers[worker.system].append(worker.run(segments=share_of(worker.system, segments), beams=beams))
    return [summary(worker.system, shape, beams, answers[worker.system]) for worker in workers]


def share_of(system: str, segments: int) -> int:
    """How many of the segments a system decodes: the slowest, whose rate does not depend on it, fewer."""
    return max(2, segments // 4) if system == "transformers" else segments


def summary(system: str, shape: Shape, beams: int, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of the result file."""
    seconds = statistics.median(entry["seconds"] for entry in rounds)
    return {
        "system": system,
        "checkpoint": shape.name,
        "beams": beams,
        "output_tokens_per_second": round(rounds[0]["output_tokens"] / seconds, 1),
        "source_tokens_per_second": round(rounds[0]["source_tokens"] / seconds, 1),
        "output_tokens": rounds[0]["output_tokens"],
        "segments": rounds[0]["segments"],
        "rounds": len(rounds),
        "peak_memory_bytes": max(entry["peak_memory_bytes"] for entry in rounds),
    }


def show(results: list[dict[str, Any]]) -> None:
    """A table with each system's ratio to every peer of the same checkpoint and beams."""
    for key in dict.fromkeys((entry["checkpoint"], entry["beams"]) for entry in results):
        rows = [entry for entry in results if (entry["checkpoint"], entry["beams"]) == key]
        print(f"\n{key[0]}, {key[1]} beam{'s' if key[1] > 1 else ''}")
        best = {row["system"]: row["output_tokens_per_second"] for row in rows}
        peers = [name for name in ("transformers", "ctranslate2-int8") if name in best]
        print(
            f"  {'system':22}{'output tokens/s':>16}{'peak MB':>10}" + "".join(f"{'x ' + name:>22}" for name in peers)
        )
        for row in rows:
            speed = row["output_tokens_per_second"]
            ratios = "".join(f"{speed / best[name]:22.2f}" for name in peers)
            print(f"  {row['system']:22}{speed:16.0f}{row['peak_memory_bytes'] / 1e6:10.0f}{ratios}")


def others(file: Path, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a result file holds of checkpoints and beams that were not measured now."""
    known = json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else []
    measured = {(entry["checkpoint"], entry["beams"]) for entry in results}
    return [entry for entry in known if (entry["checkpoint"], entry["beams"]) not in measured]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here, beside what it holds of others")
    parser.add_argument("--checkpoint", choices=SHAPES, action="append", help="measure this one alone")
    parser.add_argument("--beams", type=int, action="append", help="1 and 4 unless told")
    parser.add_argument("--system", choices=SYSTEMS, action="append", help="all unless told")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="about how long one checkpoint and beams may take")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="where checkpoints are made and kept")
    chosen = parser.parse_args()
    results = []
    for name in chosen.checkpoint or list(SHAPES):
        shape = SHAPES[name]
        checkpoint = prepare(shape, chosen.work)
        workers = [Worker(system, shape, checkpoint, chosen.work) for system in chosen.system or SYSTEMS]
        for beams in chosen.beams or [1, 4]:
            results += measure(shape, workers, beams=beams, rounds=chosen.rounds, seconds=chosen.seconds)
        for worker in workers:
            worker.close()
    show(results)
    if chosen.json:
        results = [*others(chosen.json, results), *results]
        report = {"machine": platform.processor() or platform.machine(), "threads": 1, "results": results}
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
