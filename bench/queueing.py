"""What waiting costs: ``python -m bench.queueing``. Time of each segment in the queue, from 1,000 to 100,000 queued.

Only the waiting queue and the scheduler run: segments of mixed lengths come in, and are taken out again as 64 rows that
are freed eight at a time ask for them. No model. The lengths of the queue take turns, and the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

QUEUED = (1_000, 10_000, 100_000)
ROWS = 64


def microseconds(queued: int, *, seed: int) -> float:
    """For each of so many segments: to queue it and to take it out with its batch."""
    from glossd.engine.scheduler import Scheduler
    from glossd.engine.sequence import Sequence
    from glossd.engine.waiting import WaitingQueue
    from glossd.types import GenerationParams, GenerationRequest

    chance = random.Random(seed)
    params = GenerationParams(decoder_start_token_id=0, eos_token_ids=(1,), max_new_tokens=8)
    kinds = [
        GenerationRequest(tuple(range(length)), params, fairness_key=f"key{length % 7}") for length in range(2, 60)
    ]
    sequences = [Sequence(chance.choice(kinds), number) for number in range(queued)]
    waiting = WaitingQueue(ageing_ns=10**12)
    scheduler = Scheduler(waiting, rows=ROWS, batch_tokens=2048)
    started = time.process_time()
    for sequence in sequences:
        waiting.put(sequence)
    free, live, taken = ROWS, 0, 0
    while taken < queued:
        step = scheduler.next(free_rows=free, free_sources=free, live=live, now_ns=queued)
        taken += sum(map(len, step.admit))
        free, live = 8, ROWS - 8
    return (time.process_time() - started) / queued * 1e6


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    rounds = [{queued: microseconds(queued, seed=number) for queued in QUEUED} for number in range(chosen.rounds)]
    medians = {queued: statistics.median(entry[queued] for entry in rounds) for queued in QUEUED}
    results: list[dict[str, Any]] = [
        {"queued": queued, "cost_ratio": round(value / medians[QUEUED[0]], 3), "microseconds": round(value, 2)}
        for queued, value in medians.items()
    ]
    print(json.dumps(results, indent=1))
    if chosen.json:
        chosen.json.write_text(json.dumps({"results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
