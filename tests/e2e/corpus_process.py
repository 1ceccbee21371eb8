"""A corpus run as a process of its own, with a toy engine, that can be ended anywhere.

``python -m tests.e2e.corpus_process INPUT OUTPUT FAULT AT``: ``FAULT`` is one of ``FaultyDisk``'s, or ``outcome`` to
end before outcome number ``AT``, or ``none``. Prints ``begun``, and at the end how many operations on files it took.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from glossd.corpus.job import Job, JobSettings
from glossd.corpus.recipe import Recipe
from glossd.errors import GlossdError

from tests.corpus_toys import FaultyDisk, ToyEngine, kill_self

SHARD_RECORDS = 7


def main() -> None:
    """Runs to the end, or as far as it comes."""
    source, output, fault, number = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    disk = FaultyDisk(fault, number)

    def before(outcome: int) -> None:
        if outcome == 0:
            print("begun", flush=True)
        if fault == "outcome" and outcome == number:
            kill_self()

    settings = JobSettings(source, output, Recipe("zh-Hans", segments=True), shard_records=SHARD_RECORDS)
    try:
        with Job(settings, disk=disk) as job:
            if job.finished is None:
                job.run(ToyEngine(before=before), threading.Event())
    except GlossdError as error:
        sys.exit(f"refused: {error}")
    print(disk.operations)


if __name__ == "__main__":
    main()
