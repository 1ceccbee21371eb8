"""One system in a process of its own: loads, says so, then decodes once for every line it is sent.

Speaks JSON lines on standard input and output; what libraries print goes to standard error. Seconds are those of the
processor, which other work on the machine hardly changes; every system computes in one thread.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

from bench.shapes import SHAPES, draw_segments
from bench.systems import load


def peak_memory() -> int:
    """The most bytes that this process has had in memory; ``ru_maxrss`` would begin with what its parent had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Arguments: system, shape, checkpoint directory, work directory."""
    system, shape_name, checkpoint, directory = sys.argv[1:5]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    shape = SHAPES[shape_name]
    segments = draw_segments(shape, Path(checkpoint))
    run = load(system, shape, Path(checkpoint), Path(directory))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        chosen = segments[: order["segments"]]
        started = time.process_time()
        produced = run(chosen, order["beams"])
        elapsed = time.process_time() - started
        tokens = sum(map(len, chosen))
        answer = {
            "segments": len(chosen),
            "seconds": elapsed,
            "output_tokens": produced,
            "source_tokens": tokens,
            "peak_memory_bytes": peak_memory(),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
