"""Alone and in a crowd: ``python -m bench.crowd --json FILE``. Counts segments whose int8 output differs in any bit.

Ten thousand segments of their own, greedy and with beams, are decoded by a full engine at once, and then one after
another with nothing beside them. A score is the sum of all log-probabilities on the way, so it is compared too.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from bench.shapes import EMBEDDED, SHAPES, draw_segments
from bench.systems import open_engine


def draw_distinct(count: int, *, seed: int = 5) -> list[tuple[int, ...]]:
    """Segments of 2 to 60 tokens, no two alike: pieces of real ones with some tokens changed."""
    chance = random.Random(seed)
    real = draw_segments(SHAPES["embedded"], EMBEDDED)
    words = [token for segment in real for token in segment[:-1]]
    made: dict[tuple[int, ...], None] = {}
    while len(made) < count:
        length = min(60, max(2, round(chance.lognormvariate(2.8, 0.7))))
        start = chance.randrange(len(words) - length)
        piece = [chance.choice(words) if chance.random() < 0.1 else token for token in words[start : start + length]]
        made[*piece, real[0][-1]] = None
    return list(made)


def measure(count: int, *, most: int, dtype: str) -> dict[str, Any]:
    """The number of segments, and of those that differ."""
    from glossd.types import GenerationParams, GenerationRequest

    engine, model = open_engine(EMBEDDED, dtype)
    info, chance = model.info, random.Random(1)
    params = [
        GenerationParams(
            decoder_start_token_id=info.decoder_start_token_id,
            eos_token_ids=info.eos_token_ids,
            max_new_tokens=most,
            num_beams=beams,
            bad_words=info.defaults.bad_words,
        )
        for beams in (1, 1, 1, 2, 4)
    ]
    requests = [GenerationRequest(ids, chance.choice(params)) for ids in draw_distinct(count)]
    crowd = [future.result() for future in [engine.submit(request) for request in requests]]
    alone = [engine.submit(request).result() for request in requests]
    engine.close()
    pairs = zip(crowd, alone, strict=True)
    differing = sum((one.token_ids, one.score) != (other.token_ids, other.score) for one, other in pairs)
    return {
        "checkpoint": "embedded",
        "dtype": dtype,
        "segments": count,
        "output_tokens": sum(len(entry.token_ids) for entry in crowd),
        "differing": differing,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--segments", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=16, help="most output tokens a segment")
    parser.add_argument("--dtype", choices=("int8", "float32"), default="int8")
    chosen = parser.parse_args()
    report = measure(chosen.segments, most=chosen.tokens, dtype=chosen.dtype)
    print(json.dumps(report))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
