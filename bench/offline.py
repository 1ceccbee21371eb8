"""Offline decoding speed, side by side: ``python -m bench.offline --json FILE [--checkpoint opus-mt]``.

Every system has a process of its own with one compute thread. They take turns, round after round, and the medians of
the rounds are compared, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
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
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
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
            _, error = self._process.communicate()
            raise SystemExit(f"{self.system} stopped:\n{error[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def measure(
    shape: Shape, systems: list[str], *, beams: int, rounds: int, segments: int, work: Path
) -> list[dict[str, Any]]:
    """Medians of ``rounds`` interleaved rounds, after one round of warming up."""
    checkpoint = prepare(shape, work)
    workers = [Worker(system, shape, checkpoint, work) for system in systems]
    answers: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
    for number in range(rounds + 1):
        for worker in workers:
            size = segments if number else max(4, segments // 16)
            answer = worker.run(segments=size, beams=beams)
            if number:
                answers[worker.system].append(answer)
    for worker in workers:
        worker.close()
    return [summary(system, shape, beams, answers[system]) for system in systems]


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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--checkpoint", choices=SHAPES, action="append", help="measure this one alone")
    parser.add_argument("--beams", type=int, action="append", help="1 and 4 unless told")
    parser.add_argument("--system", choices=SYSTEMS, action="append", help="all unless told")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=int, default=0, help="fewer segments than the checkpoint's own number")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="where checkpoints are made and kept")
    chosen = parser.parse_args()
    results = []
    for name in chosen.checkpoint or list(SHAPES):
        shape = SHAPES[name]
        for beams in chosen.beams or [1, 4]:
            segments = min(chosen.segments or shape.segments, shape.segments)
            systems = list(chosen.system or SYSTEMS)
            results += measure(shape, systems, beams=beams, rounds=chosen.rounds, segments=segments, work=chosen.work)
    show(results)
    if chosen.json:
        report = {"machine": platform.processor() or platform.machine(), "threads": 1, "results": results}
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
